"""What must have been observed before a table may be written; each gate answers with its reason.

A restarted ncgd finds tunnels, sessions and routes in full flight. Acting before it has seen them would tear them down.
"""

from ncgd.decision.desired import Desired
from ncgd.decision.world import SETTLE_SECONDS, World

PROTECTIVE = frozenset({"backstops", "guard", "memory"})
"""Tables that keep cleartext in; they are right whatever the role turns out to be."""


def closed(table: str, world: World, desired: Desired) -> str | None:
    """Why a table may not be written yet, or None when it may."""
    if world.intent is None:
        return "the resources have not been read yet"
    if world.capability is None:
        return "the capability probe has not finished"
    if not world.role.is_decided and table not in PROTECTIVE:
        return world.role.message
    if table == "processes":
        return None
    if table == "memory":
        return None if world.protection.disk.is_read else "the remembered prefixes have not been read yet"
    if world.interfaces is None or world.nexthops is None or not world.routes.is_read:
        return "the kernel's tables have not been read yet"
    if table == "backstops":
        return None
    if table == "guard" and not world.protection.guard.is_read:
        return world.filter_reason or "nftables has not been read yet"
    if table == "masquerade" and not world.protection.exempt.is_read:
        return world.filter_reason or "nftables has not been read yet"
    strangers = world.speaker.neighbors - world.intent.peers.keys()
    if table == "neighbors" and strangers and not world.intent.is_complete:
        return f"session {min(strangers)} runs, and its resource cannot be read"
    if table == "neighbors" and world.own.is_awaited and world.now - world.started < SETTLE_SECONDS:
        return "the ranges of the cluster's nodes have not been read yet"
    if table in {"nexthops", "routes", "neighbors"}:
        return unsettled(world, desired)
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


def may_remove_routes(world: World) -> bool:
    """True once every peer in force has sent a whole table, and it is decided: what is missing then is gone."""
    intent = world.intent
    if not world.role.is_gateway:
        return world.role.is_decided
    return intent is not None and all(name in world.synced for name in intent.peers) and not world.rib.has_more
