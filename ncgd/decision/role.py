"""What a role lets ncgd want: everything on a gateway, nothing of tunnels and sessions elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ncgd.decision.tunnels import TunnelPlan, tunnel_state
from ncgd.decision.world import World
from ncgd.model.bgp import Neighbor, SessionState
from ncgd.model.report import Problem
from ncgd.model.role import Part, Role
from ncgd.model.spec import Intent

DRAINED_AFTER_SECONDS = 0.5
"""How long packets that are under way may still come in after the neighbours were told that we are gone."""


def fold_role(world: World, role: Role) -> World:
    """The World after the role was told (again)."""
    if role.is_gateway != world.role.is_gateway:  # nobody has said that what was learned is not the VPC's any more
        world.protection.remember()
    if role.part == Part.ACTIVE and world.role.part == Part.STANDBY:
        world = replace(world, taking_over=world.now)
    if role.is_gateway or not role.is_decided:
        return replace(world, role=role, stood_down=None)
    if world.stood_down is not None:
        return replace(world, role=role)
    # Should it be the gateway again, peers have to send all they have before anything is let go.
    return replace(world, role=role, stood_down=world.now, synced=frozenset())


def has_heard_all(world: World) -> bool:
    """Whether all that is the VPC's has been told since the start, or since the part changed: what is missing is gone.

    A gateway hears it from its peers, another node from the slices that the active one has written in this term.
    """
    role, intent = world.role, world.intent
    if intent is None or not role.is_decided or world.rib.has_more:
        return False
    if role.is_gateway:
        return intent.is_complete and all(name in world.synced for name in intent.peers)
    held = world.packing.held.values()
    return (
        bool(held) and not world.packing.damaged and bool(role.holder) and all(row.epoch >= role.epoch for row in held)
    )


def in_force(intent: Intent, role: Role) -> Intent:
    """What of the intent is brought to life here."""
    return intent if role.is_gateway else replace(intent, tunnels={}, peers={})


def kept_tunnels(plans: Mapping[str, TunnelPlan], world: World) -> dict[str, TunnelPlan]:
    """Of the tunnels, those that are wanted: all, or once the Lease has run out those that still work.

    What is gone by then may well have gone because another has taken over, and is not fought for.
    """
    if world.role.may_initiate:
        return dict(plans)
    return {name: plan for name, plan in plans.items() if not _is_read(plan, world) or tunnel_state(plan, world)[0]}


def kept_neighbors(rows: Mapping[str, Neighbor], world: World) -> dict[str, Neighbor]:
    """Of the neighbours, those that are wanted: all, or once the Lease has run out those with a session."""
    if world.role.may_initiate:
        return dict(rows)
    is_up = {name for name in rows if world.session(name).state == SessionState.ESTABLISHED}
    return {name: row for name, row in rows.items() if name in is_up or not world.speaker.is_read}


def _is_read(plan: TunnelPlan, world: World) -> bool:
    charon = world.charons.get(plan.charon.name)
    return charon is not None and charon.was_read


def is_draining(world: World) -> bool:
    """Whether it has just stood down: the neighbours have heard of it, and what is under way may still come in."""
    if world.stood_down is None:
        return False
    return world.now - max(world.stood_down, world.told) < DRAINED_AFTER_SECONDS


def has_left(world: World) -> bool:
    """Whether nothing is up here any more that another gateway is to have; also when nothing is known to be."""
    if world.role.is_gateway:
        return False
    is_empty = not any(view.sas for view in world.charons.values()) and not world.written.get("neighbors")
    return not world.role.is_decided or (is_empty and not is_draining(world))


def problems_of_role(world: World) -> Iterator[Problem]:
    """What is wrong with the role."""
    role = world.role
    if role.part == Part.UNDECIDED:
        yield Problem(
            reason=str(role.reason),
            object="lease",
            message=f"{role.message}; nothing is begun, and nothing is ended",
            hint="look for what keeps ncgd from the API server: network, service account, config/rbac",
        )
    elif role.part == Part.ACTIVE and not role.may_initiate:
        yield Problem(
            reason=str(role.reason),
            object="lease",
            message=f"{role.message}; what works is kept, what fails is not begun again, since another may be active",
            hint="bring the API server back, or this node's way to it; ncgd then goes on by itself",
        )
