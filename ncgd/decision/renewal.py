"""Renewing the SAs of a tunnel that carries traffic: one tunnel at a time, once its traffic goes through another.

A second IKE SA is made before the first one breaks, and still loses what is under way: the responder sends on the new
SA as soon as it has answered IKE_AUTH (RFC 7296 §2.9 lets it), and the initiator drops that until it has installed the
keys. On a tunnel without traffic nothing is lost. A rekey has no such gap: its responder goes on with the old SA.
"""

from collections.abc import Mapping
from dataclasses import replace

from ncgd.decision.routes import Carriers
from ncgd.decision.tunnels import TunnelPlan, is_orphan
from ncgd.decision.world import SETTLE_SECONDS, Rows, World
from ncgd.model.bgp import SessionState
from ncgd.model.fib import NexthopGroup
from ncgd.model.ike import SaState
from ncgd.model.spec import Intent

DRAIN_SECONDS = 2.0
"""How long the far side is given to follow a better MED before a tunnel counts as empty."""
PATIENCE_SECONDS = 10.0
"""The same when it does not follow: packets still come out of the tunnel."""
QUIET_PACKETS = 5
"""So few a second may be the session's own."""


def renewing(intent: Intent, world: World, tunnels: Mapping[str, TunnelPlan], able: Carriers) -> str | None:
    """The tunnel to renew now, which is to carry nothing meanwhile; None when there is none, or no other to carry.

    A tunnel whose new SA has failed to come up is not kept empty any longer: it is tried on beside its traffic.
    """
    if not intent.is_complete or not world.role.may_initiate:  # what is told, or begun, may be held back until it is
        return None
    carrying = {peer.tunnel for name, peer in intent.peers.items() if name in able.trusted}
    for name in sorted(tunnels):
        if name in carrying and _has_to_be_renewed(tunnels[name], world) and not _has_failed(tunnels[name], world):
            return name if carrying - {name} else None
    return None


def _has_to_be_renewed(plan: TunnelPlan, world: World) -> bool:
    sa = world.sa(plan.tunnel.name)
    is_outdated = sa is not None and sa.state == SaState.INSTALLED and sa.digest != plan.connection.digest
    return is_outdated or is_orphan(plan, world) or has_outdated_charon(plan, world)


def _has_failed(plan: TunnelPlan, world: World) -> bool:
    """Whether the new SA has been asked for and did not come up; what failed before that is another matter."""
    asked = world.retries.get(("sas", plan.tunnel.name))
    return asked is not None and asked.row == plan.connection and plan.tunnel.name in world.ike_failures


def has_outdated_charon(plan: TunnelPlan, world: World) -> bool:
    """Whether the tunnel's IKE daemon is to be started anew, and takes the tunnel along when it ends."""
    process = world.processes.get(plan.charon.name)
    return process is not None and process.is_running and process.is_outdated


def is_settled(world: World, tunnels: Mapping[str, TunnelPlan]) -> bool:
    """Whether it is known which tunnels carry; after SETTLE_SECONDS what is known has to do."""
    names = {plan.charon.name for plan in tunnels.values()}
    is_read = world.speaker.is_read and all(name in world.charons and world.charons[name].was_read for name in names)
    return is_read or world.now - world.started >= SETTLE_SECONDS


def without(able: Carriers, tunnel: str | None, intent: Intent) -> Carriers:
    """The carriers but those of a tunnel."""
    if tunnel is None:
        return able
    return replace(able, trusted=frozenset(name for name in able.trusted if intent.peers[name].tunnel != tunnel))


def is_drained(tunnel: str | None, world: World, tables: Mapping[str, Rows], able: Carriers) -> bool:
    """Whether the tunnel that is to carry nothing has run empty, in both directions, or had time enough to.

    ``tables`` and ``able`` are as desired. Another session has to be up for as long: one that is only about to be
    resumed says nothing to the far side. A speaker that is away tells nobody, and a neighbour that it refuses is not
    waited for.
    """
    observed, told = world.nexthops or {}, world.written.get("neighbors", {})
    if any(isinstance(row, NexthopGroup) and observed.get(row.id) != row for row in tables["nexthops"].values()):
        return False
    if not world.speaker.is_up:
        return True
    is_told = all(
        told.get(name) == row or ("neighbors", name) in world.retries for name, row in tables["neighbors"].items()
    )
    since = [
        world.session(name).since for name in able.trusted if world.session(name).state == SessionState.ESTABLISHED
    ]
    if not is_told or not since:
        return False
    probe = world.probes.get(tunnel or "")
    is_quiet = probe is None or probe.received <= QUIET_PACKETS
    return world.now - max(world.told, min(since)) >= (DRAIN_SECONDS if is_quiet else PATIENCE_SECONDS)
