"""What must have been observed before a table may be written; each gate answers with its reason.

A restarted ncgd finds tunnels, sessions and routes in full flight. Acting before it has seen them would tear them down.
"""

from ncgd.decision.desired import Desired, is_protected
from ncgd.decision.world import SETTLE_SECONDS, World
from ncgd.model.role import Part
from ncgd.model.spec import Intent

PROTECTIVE = frozenset({"backstops", "guard", "memory"})
"""Tables that keep cleartext in; they are right whatever the role turns out to be, and the resources."""


def closed(table: str, world: World, desired: Desired) -> str | None:
    """Why a table may not be written yet, or None when it may."""
    if world.intent is None and (world.role.part == Part.STANDALONE or table not in PROTECTIVE):
        return "the resources have not been read yet"
    if world.capability is None:
        return "the capability probe has not finished"
    if not world.role.is_decided and table not in PROTECTIVE:
        return world.role.message
    if table in {"processes", "ways"}:
        return None
    if table == "memory":
        return None if world.protection.disk.is_read else "the remembered prefixes have not been read yet"
    if world.interfaces is None or world.nexthops is None or not world.routes.is_read:
        return "the kernel's tables have not been read yet"
    if table == "backstops":
        return None
    if _is_filter_unread(table, world):
        return world.filter_reason or "nftables has not been read yet"
    is_told = table == "neighbors" and world.role.is_gateway
    if is_told and world.intent and (reason := _unknown_neighbors(world, world.intent)):
        return reason
    if table == "slices" and (reason := _unpublished(world)):
        return reason
    if table in {"nexthops", "routes", "neighbors", "slices"}:
        return unsettled(world, desired)
    return None


def _is_filter_unread(table: str, world: World) -> bool:
    """Whether it is a table of nftables that nobody has told of yet."""
    protection = world.protection
    is_read = {
        "guard": protection.guard.is_read,
        "masquerade": protection.exempt.is_read,
        "agent": "agent" in world.written,
    }
    return not is_read.get(table, True)


def _unknown_neighbors(world: World, intent: Intent) -> str | None:
    """Why it is not known what the neighbours are to be told, or None."""
    strangers = world.speaker.neighbors - intent.peers.keys()
    if strangers and not intent.is_complete:
        return f"session {min(strangers)} runs, and its resource cannot be read"
    if world.own.is_awaited and world.now - world.started < SETTLE_SECONDS:
        return "the ranges of the cluster's nodes have not been read yet"
    return None


def _unpublished(world: World) -> str | None:
    """Why other nodes are told nothing (new), or None."""
    if world.role.part != Part.ACTIVE:
        return None  # nothing is wanted of them
    if not world.role.may_initiate:
        return world.role.message
    if not world.protection.disk.is_read:
        return "the remembered prefixes have not been read yet"
    if not world.packing.has_spoken and not is_protected(world):
        return "what other nodes will send here is not protected here yet"
    return None


def unsettled(world: World, desired: Desired) -> str | None:
    """Why the picture is not complete yet, or None; after SETTLE_SECONDS what is known has to do."""
    if world.now - world.started >= SETTLE_SECONDS or (world.role.is_decided and not world.role.is_gateway):
        return None
    for name in sorted({plan.charon.name for plan in desired.tunnels.values()}):
        view = world.charons.get(name)
        if view is None or not view.was_read:
            return f"the SAs of {name} have not been read yet"
    if not world.speaker.is_read:
        return "the BGP speaker has not been read yet"
    for tunnel in sorted(desired.tables["probes"].keys() - world.probes.keys(), key=str):
        if ("probes", tunnel) not in world.retries:  # what cannot be probed says nothing
            return f"the probe of tunnel {tunnel} has not said what is known of it"
    return None
