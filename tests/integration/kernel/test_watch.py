"""What the driver notices by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event, InterfacesRead, NexthopsRead, RoutesRead
from ncgd.model.fib import NexthopGroup, RouteChange
from ncgd.model.prefix import Prefix, parse
from tests.integration.kernel.host import (
    A4,
    B4,
    GROUP4,
    GROUPS,
    MEMBERS,
    drive,
    eventually,
    host,
    last,
    raise_nexthops,
)

pytestmark = pytest.mark.root

NET = parse("10.128.0.0/20")


@asynccontextmanager
async def watching(kernel: Kernel, events: list[Event]) -> AsyncIterator[None]:
    """The source running, with its first three events in."""
    task = asyncio.create_task(kernel.run())
    try:
        await eventually(
            lambda: {type(event) for event in events} >= {InterfacesRead, NexthopsRead, RoutesRead}, "start"
        )
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def interface_states(events: list[Event]) -> dict[str, bool]:
    seen = last(events, InterfacesRead)
    return {name: row.is_up for name, row in seen.interfaces.items()} if seen else {}


def nexthop_ids(events: list[Event]) -> set[int]:
    seen = last(events, NexthopsRead)
    return set(seen.nexthops) if seen else set()


def routes(events: list[Event]) -> dict[Prefix, int] | None:
    seen = last(events, RoutesRead)
    return dict(seen.routes) if seen else None


def test_it_starts_with_what_is_there() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(RouteChange(routes={NET: GROUP4}, backstops={NET: True}))
            async with watching(kernel, events):
                assert interface_states(events)["a0"]
                assert last(events, NexthopsRead) == NexthopsRead(nexthops={**MEMBERS, **GROUPS})
                assert last(events, RoutesRead) == RoutesRead(routes={NET: GROUP4}, backstops=frozenset((NET,)))

        drive(space, scenario)


def test_links_and_addresses_that_come_and_go_are_posted() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            def addresses() -> tuple[str, ...]:
                seen = last(events, InterfacesRead)
                return seen.interfaces["a0"].addresses if seen else ()

            async with watching(kernel, events):
                space.ip("tuntap add name ipsec0 mode tun")
                await eventually(lambda: "ipsec0" in interface_states(events), "the new link")
                space.ip("link del ipsec0")
                await eventually(lambda: "ipsec0" not in interface_states(events), "its end")
                space.ip("addr add 198.51.100.7/32 dev a0")
                await eventually(lambda: "198.51.100.7/32" in addresses(), "the new address")
                space.ip("addr del 198.51.100.7/32 dev a0")
                await eventually(lambda: "198.51.100.7/32" not in addresses(), "its end")

        drive(space, scenario)


def test_a_device_going_down_is_posted_with_all_that_it_takes_along() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            alone = NexthopGroup(id=GROUP4 + 1, members=(B4,))
            await kernel.nexthops.write(Delta({alone.id: alone}))
            other = parse("10.129.0.0/20")
            await kernel.program(RouteChange(routes={NET: GROUP4, other: alone.id}, backstops={}))
            async with watching(kernel, events):
                assert routes(events) == {NET: GROUP4, other: alone.id}
                space.ip("link set b0 down")
                await eventually(lambda: not interface_states(events)["b0"], "the interface")
                await eventually(lambda: not nexthop_ids(events) & {B4, alone.id}, "its nexthop and the empty group")
                await eventually(lambda: routes(events) == {NET: GROUP4}, "the routes that vanished")
                seen = last(events, NexthopsRead)
                assert seen
                assert seen.nexthops[GROUP4] == NexthopGroup(id=GROUP4, members=(A4,))

        drive(space, scenario)


def test_a_lost_carrier_counts_as_down() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            async with watching(kernel, events):
                space.ip("link set b1 down")
                await eventually(lambda: not interface_states(events)["b0"], "no carrier")
                await eventually(lambda: B4 not in nexthop_ids(events), "its nexthop")
                space.ip("link set b1 up")
                await eventually(lambda: interface_states(events)["b0"], "carrier again")
                assert not (await kernel.nexthops.write(Delta({B4: MEMBERS[B4], GROUP4: GROUPS[GROUP4]}))).failed
                await eventually(lambda: B4 in nexthop_ids(events), "the nexthop again")

        drive(space, scenario)


def test_nexthops_deleted_by_somebody_else_are_posted_with_the_routes_behind_them() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(RouteChange(routes={NET: GROUP4}, backstops={NET: True}))
            async with watching(kernel, events):
                space.ip(f"nexthop del id {GROUP4}")
                await eventually(lambda: GROUP4 not in nexthop_ids(events), "the group")
                await eventually(lambda: routes(events) == {}, "the route")
                assert last(events, RoutesRead) == RoutesRead(routes={}, backstops=frozenset((NET,)))

        drive(space, scenario)


def test_a_route_deleted_by_somebody_else_is_noticed_within_the_interval() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(RouteChange(routes={NET: GROUP4}, backstops={}))
            async with watching(kernel, events):
                space.ip("route del 10.128.0.0/20 proto 157")
                await eventually(lambda: routes(events) == {}, "the route is gone")

        drive(space, scenario, reread_seconds=0.05)


def test_after_lost_notifications_everything_is_read_again() -> None:
    with host("kn-watch") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(RouteChange(routes={NET: GROUP4}, backstops={}))
            async with watching(kernel, events):
                before = len([event for event in events if isinstance(event, RoutesRead)])
                storm = "\n".join(f"link set a0 alias storm-{number}" for number in range(12_000))
                space.run("ip", "-batch", "-", stdin=storm)  # the loop stands still meanwhile
                space.ip("route del 10.128.0.0/20 proto 157")
                space.ip("link add late0 type veth peer name late1")
                await eventually(lambda: "late0" in interface_states(events), "the last link")
                await eventually(lambda: routes(events) == {}, "routes were read again too")
                assert len([event for event in events if isinstance(event, RoutesRead)]) > before

        drive(space, scenario)
