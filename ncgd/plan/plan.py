"""Desired and observed → the steps of this pass, in a safe order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ncgd.decision.desired import Desired
from ncgd.decision.masquerade import exemption_extras
from ncgd.decision.observed import observed
from ncgd.decision.role import has_heard_all, is_draining
from ncgd.decision.sas import plan_sas
from ncgd.decision.world import MEDDLED, World
from ncgd.model.delta import Delta, diff
from ncgd.model.fib import NexthopGroup, RouteChange
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Intent
from ncgd.plan.gates import closed, unsettled
from ncgd.plan.order import BESIDE, BOTTOM_UP, WITHDRAWN_FIRST


@dataclass(frozen=True, slots=True)
class Step:
    """One delta for one small table."""

    table: str
    delta: Delta[object, object]


@dataclass(frozen=True, slots=True)
class RouteStep:
    """Routes to program."""

    change: RouteChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of a pass, and the tables that are held, with the reason."""

    steps: tuple[Step | RouteStep, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    has_more: bool = False
    """There is more to decide or to write than one pass takes."""


def make_plan(world: World, desired: Desired) -> Plan:
    """What to write now. Failover, then withdrawals, then everything wanted bottom up, then removals top down."""
    held: dict[str, str] = {}
    deltas = _plan_small_tables(world, desired, held)
    steps: list[Step | RouteStep] = [*_failover(deltas, world)]
    withdrawn = deltas.get(WITHDRAWN_FIRST, Delta())
    if withdrawn.remove:
        steps.append(Step(WITHDRAWN_FIRST, Delta(remove=withdrawn.remove)))
    change = _plan_routes(world, desired, held)
    deltas |= _plan_protection(world, desired, held)
    for table in BOTTOM_UP:
        if table == "routes" and change:
            steps.append(RouteStep(change))
        elif table in BESIDE:
            if delta := deltas.pop(table, None):
                steps.append(Step(table, delta))
        elif table in deltas and deltas[table].set:
            steps.append(Step(table, Delta(set=deltas[table].set)))
    steps.extend(
        Step(table, Delta(remove=deltas[table].remove))
        for table in reversed(BOTTOM_UP)
        if table != WITHDRAWN_FIRST and table in deltas and deltas[table].remove
    )
    return Plan(steps=tuple(steps), held=held, has_more=_has_more(world, desired, held))


def _plan_small_tables(world: World, desired: Desired, held: dict[str, str]) -> dict[str, Delta[object, object]]:
    """What to change in them now; those that wait are put into ``held``."""
    deltas: dict[str, Delta[object, object]] = {}
    for table in BOTTOM_UP:
        if reason := closed(table, world, desired):
            held[table] = reason
        elif table == "sas":
            deltas[table] = plan_sas(world, desired)
        elif table != "routes" and table not in BESIDE:
            deltas[table] = _due(table, diff(desired.tables[table], observed(table, world)), world)
    intent = world.intent or Intent(is_complete=False)
    if is_draining(world):
        deltas = {table: delta if table == WITHDRAWN_FIRST else Delta(set=delta.set) for table, delta in deltas.items()}
    if world.role.is_gateway and (not intent.is_complete or desired.dataplane.mode is None):
        deltas = {table: _without_unexplained(table, delta, intent) for table, delta in deltas.items()}
    return deltas


def _failover(deltas: dict[str, Delta[object, object]], world: World) -> list[Step]:
    """Taken out of ``deltas``: groups that are there and get other members that are there. They wait for nothing."""
    delta, there = deltas.get("nexthops", Delta()), world.nexthops or {}
    swapped = {
        key: row
        for key, row in delta.set.items()
        if key in there and isinstance(row, NexthopGroup) and all(member in there for member in row.members)
    }
    if not swapped:
        return []
    rest = {key: row for key, row in delta.set.items() if key not in swapped}
    deltas["nexthops"] = Delta(set=rest, remove=delta.remove)
    return [Step("nexthops", Delta(set=swapped))]


def _plan_routes(world: World, desired: Desired, held: Mapping[str, str]) -> RouteChange:
    """Routes once the picture is complete; backstops before, since they hurt nothing that has a route."""
    may_remove = has_heard_all(world)
    if may_remove:
        world.protection.forget()
    if _may_try("routes", world):
        world.routes.retry_failed()
        world.protection.backstops.retry()
    repair = world.retries.get(MEDDLED)
    if repair is None or repair.due <= world.now:
        world.routes.repair()
        world.protection.backstops.repair()
    if world.routes.under_way is not None or is_draining(world):
        return RouteChange(routes={}, backstops={})
    routes = {} if "routes" in held else world.routes.change(may_remove=may_remove)
    backstops: dict[Prefix, bool] = {}
    if not closed("backstops", world, desired):
        backstops = world.protection.change_backstops(world.routes.is_leaving, routes)
    change = RouteChange(routes=routes, backstops=backstops)
    world.routes.under_way = change if change else None
    return change


def _plan_protection(world: World, desired: Desired, held: Mapping[str, str]) -> dict[str, Delta[object, object]]:
    """What to change in the guard, in the exemption from masquerade and in the file of remembered prefixes."""
    protection, intent = world.protection, world.intent
    deltas: dict[str, Delta[object, object]] = {}
    if "guard" not in held and _may_try("guard", world):
        protection.guard.retry()
        # A userspace tunnel's interface is known only once its charon has answered.
        is_known = intent is not None and intent.is_complete and desired.dataplane.mode is not None
        if not world.role.is_gateway:
            is_known = desired.crossing.transport is not None
        deltas["guard"] = protection.change_guard(
            desired.exits,
            world.routes.is_leaving,
            may_close=is_known and not is_draining(world) and unsettled(world, desired) is None,
        )
    if "masquerade" not in held and _may_try("masquerade", world):
        protection.exempt.retry()
        deltas["masquerade"] = protection.change_exemption(exemption_extras(world), world.routes.is_leaving)
    if "memory" not in held and _may_try("memory", world):
        protection.disk.retry()
        deltas["memory"] = protection.change_disk(world.now)
    return deltas


def _may_try(table: str, world: World) -> bool:
    """False while what failed a moment ago waits for its back-off."""
    retry = world.retries.get((table, ""))
    return retry is None or retry.due <= world.now


def _has_more(world: World, desired: Desired, held: Mapping[str, str]) -> bool:
    protection = world.protection
    is_idle = world.routes.under_way is None and not is_draining(world)
    return (
        (world.rib.has_more and world.routes.is_read)
        or (is_idle and "routes" not in held and world.routes.has_more)
        or (is_idle and protection.backstops.is_due and not closed("backstops", world, desired))
        or ("guard" not in held and protection.guard.is_due and _may_try("guard", world))
        or ("masquerade" not in held and protection.exempt.is_due and _may_try("masquerade", world))
        or bool(protection.unjudged)
    )


def _without_unexplained(table: str, delta: Delta[object, object], intent: Intent) -> Delta[object, object]:
    """Without removals: what is not named may well be wanted, it only cannot be told now. A named peer may go."""
    named = frozenset(key for key in delta.remove if table == WITHDRAWN_FIRST and key in intent.peers)
    return Delta(set=delta.set, remove=named)


def _due(table: str, delta: Delta[object, object], world: World) -> Delta[object, object]:
    """The delta without rows that failed a moment ago: they wait for their back-off, unless the row has changed."""
    waiting = {key: retry for (name, key), retry in world.retries.items() if name == table and retry.due > world.now}
    if not waiting:
        return delta
    return Delta(
        set={key: row for key, row in delta.set.items() if key not in waiting or waiting[key].row != row},
        remove=frozenset(key for key in delta.remove if key not in waiting),
    )
