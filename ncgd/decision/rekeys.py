"""Keys that could not be renewed: charon tells it once, and the tunnel goes on until they run out."""

from dataclasses import replace

from ncgd.decision.world import RekeyFailure, World
from ncgd.model.ike import IkeFailure, Repair, SaState

_SILENCE = "PeerUnreachable"


def failed_to_rekey(world: World, failure: IkeFailure) -> World:
    """Remember a failure of a tunnel that is up, and that nobody is setting up anew.

    A peer that does not answer at all is told by other means, if it is that; an attempt too many ends like this, too.
    """
    name = failure.tunnel
    sa = world.sa(name)
    is_anew = ("sas", name) in world.retries or ("sas", Repair(tunnel=name)) in world.retries
    if sa is None or sa.state != SaState.INSTALLED or sa.pending_ike_id or is_anew or failure.reason == _SILENCE:
        return world
    return replace(
        world, rekey_failures={**world.rekey_failures, name: RekeyFailure(child_id=sa.child_id, failure=failure)}
    )


def renewed_keys(world: World) -> World:
    """Forget those that have been followed by new keys, or are gone."""
    if not world.rekey_failures:
        return world
    left = {
        name: each
        for name, each in world.rekey_failures.items()
        if (sa := world.sa(name)) is not None and sa.child_id == each.child_id
    }
    return replace(world, rekey_failures=left)
