"""How events change what is known of the leak protection: its file, its guard, its outcomes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ncgd.decision.protection import Protection
from ncgd.decision.retry import again
from ncgd.decision.world import Rows, World
from ncgd.model import event as ev
from ncgd.model.fib import RouteChange
from ncgd.model.masquerade import Extra
from ncgd.model.prefix import Prefix

Told = (
    ev.PrefixesRemembered
    | ev.GuardRead
    | ev.GuardCounted
    | ev.ClampsRead
    | ev.EspPortsRead
    | ev.FilterUnreadable
    | ev.TableWritten
)


def fold_protection(world: World, event: Told) -> World:
    """The World after one event about the protection."""
    protection = world.protection
    match event:
        case ev.PrefixesRemembered(prefixes=prefixes, flaw=flaw):
            protection.found(protection.disk, prefixes, world.rib.best)
            return replace(world, flaw=flaw)
        case ev.GuardRead(prefixes=prefixes, exits=exits):
            drift = 0
            if protection.guard.is_read:
                drift = len(protection.guard.held ^ prefixes) + len(protection.exits ^ exits)
            protection.found(protection.guard, prefixes, world.rib.best)
            protection.exits = exits
            return replace(world, drift=world.drift + drift, filter_reason="")
        case ev.GuardCounted(packets=packets):
            before = world.guard_packets or 0
            new = packets - before if packets >= before else packets
            return replace(world, guard_packets=packets, guard_drops=world.guard_drops + new)
        case ev.ClampsRead(clamps=clamps):
            return _fold_read(world, "clamps", dict(clamps.items()))
        case ev.EspPortsRead(ports=ports):
            return _fold_read(world, "esp_ports", dict(ports.items()))
        case ev.FilterUnreadable(reason=reason):
            return replace(world, filter_reason=reason)
        case ev.TableWritten():
            return _fold_written(world, event)


def _fold_read(world: World, table: str, found: Rows) -> World:
    believed = world.written.get(table, {})
    drift = sum(1 for key, row in believed.items() if row is not None and row != found.get(key))
    return replace(world, written={**world.written, table: found}, drift=world.drift + drift)


def _fold_written(world: World, event: ev.TableWritten) -> World:
    """One retry stands for all rows: they fail together."""
    protection, failed = world.protection, event.outcome.failed
    added, removed = event.set.keys() - failed.keys(), event.removed - failed.keys()
    rows = protection.tables[event.table]
    rows.written(_prefixes(event.set), _prefixes(event.removed), _prefixes(failed))
    protection.exits |= {key for key in added if isinstance(key, str)}
    protection.exits -= {key for key in removed if isinstance(key, str)}
    protection.own |= {key for key in added if isinstance(key, Extra)}
    protection.own -= {key for key in removed if isinstance(key, Extra)}
    retries = dict(world.retries)
    before = retries.pop((event.table, ""), None)
    if failed:
        retries[event.table, ""] = again(before, world.now, next(iter(failed.values())))
    return replace(world, retries=retries)


def fold_route_change(protection: Protection, change: RouteChange, failed: Mapping[Prefix, str]) -> None:
    """Routes and backstops were programmed; what has no route any more may lose what protected it."""
    added = {prefix for prefix, is_wanted in change.backstops.items() if is_wanted}
    protection.backstops.written(added, change.backstops.keys() - added, failed.keys() & change.backstops.keys())
    protection.uninstalled(p for p, group in change.routes.items() if (group is None) != (p in failed))


def _prefixes(keys: Iterable[object]) -> set[Prefix]:
    """The prefixes among the keys of a table; the guard's others are exits, the exemption's networks of ours."""
    return {Prefix(key) for key in keys if isinstance(key, int)}
