"""How readings of the kernel change what is known."""

from collections.abc import Callable, Mapping, Set
from dataclasses import replace

from ncgd.decision.retry import Retry
from ncgd.decision.waiting import read_again, retries_without
from ncgd.decision.world import MEDDLED, World
from ncgd.model import event as ev
from ncgd.model.fib import AddressKey, Interface, Nexthop

REPAIR_SECONDS = 1.0
"""Rows of ours that others change are put right at most so often: a fight with another program costs no core."""


def fold_kernel(
    world: World, event: ev.InterfacesRead | ev.NexthopsRead | ev.RoutesRead | ev.RoutesMeddled | ev.ProbesRead
) -> World:
    """The World after one event about the kernel, or about what is probed through it."""
    match event:
        case ev.InterfacesRead(interfaces=interfaces):
            return _fold_interfaces(read_again(world, "links", "addresses"), interfaces)
        case ev.NexthopsRead(nexthops=nexthops):
            # Routes mostly fail for want of their group: there is no need to wait any longer.
            world = replace(world, retries=retries_without(world, "routes"))
            # Also where the device went down and up again too quickly for a reading: its neighbours went with them.
            gone = [row for number, row in (world.nexthops or {}).items() if number not in nexthops]
            hops = {(row.interface, row.gateway) for row in gone if isinstance(row, Nexthop)}
            world = _without_adjacencies(world, lambda key: (key.interface, key.address) in hops)
            return replace(read_again(world, "nexthops"), nexthops=dict(nexthops))
        case ev.RoutesRead(routes=routes, backstops=backstops, shadows=shadows):
            world.routes.shadows = shadows
            world.protection.found(world.protection.backstops, backstops, world.rib.best)
            before = world.routes.installed
            if drift := world.routes.read(routes):
                world.protection.uninstalled(before.keys() - routes.keys())
            return replace(world, drift=world.drift + drift)
        case ev.RoutesMeddled(routes=changed, backstops=guards):
            drift = world.routes.meddled(changed) + world.protection.backstops.meddled(guards)
            world.protection.uninstalled(prefix for prefix, group in changed.items() if group is None)
            return _fold_meddling(world, drift)
        case ev.ProbesRead(probes=probes):
            return replace(world, probes=dict(probes))


def _fold_meddling(world: World, drift: int) -> World:
    """At once when it is the first time for a while, else REPAIR_SECONDS after the last repair."""
    if not drift:
        return world
    last = world.retries.get(MEDDLED)
    if last is None:
        repair = Retry(1, world.now)
    elif last.due <= world.now:
        repair = Retry(last.attempts + 1, max(world.now, last.due + REPAIR_SECONDS))
    else:
        repair = last
    return replace(world, drift=world.drift + drift, retries={**world.retries, MEDDLED: repair})


def _fold_interfaces(world: World, interfaces: Mapping[str, Interface]) -> World:
    before = world.interfaces or {}
    renewed = [name for name, old in before.items() if name not in interfaces or interfaces[name].index != old.index]
    turned = [name for name, old in before.items() if name in interfaces and interfaces[name].is_up != old.is_up]
    # The kernel drops the neighbours, permanent ones too, of a device that goes down (measured).
    world = _without_adjacencies(world, lambda key: key.interface in renewed or key.interface in turned)
    world = replace(world, interfaces=dict(interfaces))
    if not renewed:
        return world
    # What belonged to a device went with it: addresses and settings, and a userspace charon's SAs with its TUN; but a
    # device with another index than the charon's was one before it.
    dead = {
        charon
        for charon, tun in world.tuns.items()
        if tun in renewed and before[tun].index == world.tun_indexes[charon]
    }
    addresses = {
        key: row
        for key, row in world.written.get("addresses", {}).items()
        if not (isinstance(key, AddressKey) and key.interface in renewed)
    }
    sysctls = {
        key: row
        for key, row in world.written.get("sysctls", {}).items()
        if not any(f".{name}." in str(key) for name in renewed)
    }
    return replace(
        without_tuns(world, dead),
        lost_tuns=world.lost_tuns | dead,
        written={**world.written, "addresses": addresses, "sysctls": sysctls},
    )


def _without_adjacencies(world: World, is_void: Callable[[AddressKey], bool]) -> World:
    """Where next hops are is not read back: what the kernel has dropped has to be written again."""
    rows = world.written.get("adjacencies", {})
    kept = {key: row for key, row in rows.items() if not (isinstance(key, AddressKey) and is_void(key))}
    return world if len(kept) == len(rows) else replace(world, written={**world.written, "adjacencies": kept})


def without_tuns(world: World, charons: Set[str]) -> World:
    """These userspace charons have lost their TUN devices, and their SAs with them."""
    dead = charons & world.tuns.keys()
    return replace(
        world,
        tuns={charon: tun for charon, tun in world.tuns.items() if charon not in dead},
        charons={
            name: replace(view, sas={}, is_read=False) if name in dead else view for name, view in world.charons.items()
        },
    )
