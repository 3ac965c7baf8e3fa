"""Routes and their backstops in table main."""

import asyncio
import json
import time
from collections.abc import Awaitable
from contextlib import closing
from typing import TypeVar

import pytest

from ncgd.drivers.kernel.codec import RTM_NEWROUTE
from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.kernel.transport import Notifications
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import BLACKHOLE_V4, BLACKHOLE_V6, NexthopGroup, RouteChange
from ncgd.model.prefix import Prefix, make, parse, text
from tests.integration.kernel.host import A4, B4, GROUP4, GROUP6, drive, host, raise_nexthops
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root

T = TypeVar("T")
RTNLGRP_IPV4_ROUTE = 7

NET4, NET6 = parse("10.128.0.0/20"), parse("2001:db8:1000::/48")
BOTH = {NET4: GROUP4, NET6: GROUP6}
INSIDE4, INSIDE6 = "10.128.0.9", "2001:db8:1000::9"


def change(routes: dict[Prefix, int | None] | None = None, backstops: dict[Prefix, bool] | None = None) -> RouteChange:
    return RouteChange(routes=routes or {}, backstops=backstops or {})


def many(count: int) -> list[Prefix]:
    return [make(4, (10 << 24) + number * 16, 28) for number in range(count)]


def way(space: Namespace, destination: str) -> str:
    """The interface that a packet would leave by; the kind of refusal when there is none."""
    (route,) = json.loads(space.ip(f"-j route get {destination}"))
    return str(route.get("dev"))


def is_unreachable(space: Namespace, destination: str) -> bool:
    return not space.succeeds("ip", "route", "get", destination)


def test_routes_and_backstops_of_both_versions_come_and_go() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            both = change({**BOTH}, {NET4: True, NET6: True})
            assert not (await kernel.program(both)).failed
            seen = await kernel.read_routes()
            assert (seen.routes, seen.backstops) == (BOTH, frozenset(BOTH))
            assert way(space, INSIDE4) in ("a0", "b0")
            assert way(space, INSIDE6) in ("a0", "b0")

            shown = space.ip("route show") + space.ip("-6 route show")
            assert not (await kernel.program(both)).failed
            assert space.ip("route show") + space.ip("-6 route show") == shown

            none = change(dict.fromkeys(BOTH), dict.fromkeys(BOTH, False))
            assert not (await kernel.program(none)).failed
            seen = await kernel.read_routes()
            assert (seen.routes, seen.backstops) == ({}, frozenset())
            assert not (await kernel.program(none)).failed

        drive(space, scenario)


def test_a_change_is_read_whole_or_not_at_all() -> None:
    """What is half written, with its backstops and without its routes, would be taken for somebody else's doing."""
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            prefixes = many(3000)
            for wanted in (GROUP4, None) * 5:
                both = change(dict.fromkeys(prefixes, wanted), dict.fromkeys(prefixes, wanted is not None))
                writing = asyncio.create_task(kernel.program(both))
                await asyncio.sleep(0)
                seen = await kernel.read_routes()
                assert (len(seen.routes), len(seen.backstops)) in {(0, 0), (3000, 3000)}
                assert not (await writing).failed

        drive(space, scenario)


def test_a_default_route_can_be_one_of_ours() -> None:
    with host("kn-routes") as space:
        space.ip("route del default")

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            everywhere: dict[Prefix, int | None] = {parse("0.0.0.0/0"): GROUP4, parse("::/0"): GROUP6}
            assert not (await kernel.program(change(everywhere))).failed
            assert (await kernel.read_routes()).routes == everywhere

        drive(space, scenario)


def test_rows_of_others_stay() -> None:
    with host("kn-routes") as space:
        foreign = (
            "10.128.0.0/20 dev a0 proto static metric 10",
            "10.128.0.0/20 dev a0 proto bird metric 157",
            "10.128.0.0/20 dev b0 proto 157 metric 5",
        )

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            for row in foreign:
                space.ip(f"route append {row}")
            before = space.ip("route show 10.128.0.0/20")
            assert (await kernel.read_routes()).routes == {}
            assert not (await kernel.program(change({NET4: None}, {NET4: False}))).failed
            assert space.ip("route show 10.128.0.0/20") == before

        drive(space, scenario)


def test_pointing_routes_elsewhere_leaves_no_gap() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            other = NexthopGroup(id=GROUP4 + 1, members=(B4,))
            await kernel.nexthops.write(Delta({other.id: other}))
            await kernel.program(change(dict.fromkeys(many(50), GROUP4)))
            with closing(Notifications((RTNLGRP_IPV4_ROUTE,))) as notifications:
                assert not (await kernel.program(change(dict.fromkeys(many(50), other.id)))).failed
                assert await notifications.wait() == {RTM_NEWROUTE}
            assert way(space, "10.0.0.1") == "b0"

        drive(space, scenario)


def test_refusals_are_told_by_prefix_in_the_kernels_words() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            prefixes = many(2500)
            bad = {prefixes[0], prefixes[1200], prefixes[2499]}
            routes: dict[Prefix, int | None] = {p: GROUP4 + 99 if p in bad else GROUP4 for p in prefixes}
            failed = (await kernel.program(change({**routes, NET6: GROUP4}))).failed
            assert set(failed) == {*bad, NET6}
            assert failed[prefixes[1200]] == (
                f"cannot install {text(prefixes[1200])} in table main: Nexthop id does not exist (errno 22)"
            )
            assert "IPv6 routes can not use an IPv4 nexthop" in failed[NET6]
            assert set((await kernel.read_routes()).routes) == set(prefixes) - bad

        drive(space, scenario)


def test_every_message_of_a_full_batch_may_be_refused() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            failed = (await kernel.program(change(dict.fromkeys(many(3000), GROUP4)))).failed
            assert len(failed) == 3000

        drive(space, scenario)


def test_one_group_replacement_moves_ten_thousand_routes() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            prefixes = many(10_000)
            await kernel.program(change(dict.fromkeys(prefixes, GROUP4)))
            for member, interface in ((A4, "a0"), (B4, "b0")):
                row = NexthopGroup(id=GROUP4, members=(member,))
                assert not (await kernel.nexthops.write(Delta({GROUP4: row}))).failed
                for prefix in prefixes[::2500]:
                    assert way(space, text(prefix).partition("/")[0]) == interface
            assert len((await kernel.read_routes()).routes) == len(prefixes)

        drive(space, scenario)


def test_what_is_read_while_one_change_follows_the_other_is_what_the_table_was_between_two() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            prefixes = many(3000)

            async def flap() -> None:
                while True:
                    await kernel.program(change(dict.fromkeys(prefixes, GROUP4)))
                    await kernel.program(change(dict.fromkeys(prefixes)))

            flapping = asyncio.create_task(flap())
            sizes = [len((await kernel.read_routes()).routes) for _ in range(20)]
            flapping.cancel()
            await asyncio.wait([flapping])
            assert set(sizes) <= {0, len(prefixes)}

        drive(space, scenario)


def test_a_blackhole_in_place_of_the_last_member_keeps_the_routes_and_drops_the_traffic() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(change({**BOTH}))
            holes = {
                GROUP4: NexthopGroup(id=GROUP4, members=(BLACKHOLE_V4,)),
                GROUP6: NexthopGroup(id=GROUP6, members=(BLACKHOLE_V6,)),
            }
            assert not (await kernel.nexthops.write(Delta(holes))).failed
            assert (await kernel.read_routes()).routes == BOTH
            assert is_unreachable(space, INSIDE4)
            assert is_unreachable(space, INSIDE6)
            assert not (await kernel.nexthops.write(Delta({GROUP4: NexthopGroup(id=GROUP4, members=(A4,))}))).failed
            assert way(space, INSIDE4) == "a0"

        drive(space, scenario)


def test_the_backstop_catches_what_a_vanished_nexthop_let_go() -> None:
    with host("kn-routes") as space:
        space.ip("-6 route add default dev a0")

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(change({**BOTH}, dict.fromkeys(BOTH, True)))
            for group in BOTH.values():
                space.ip(f"nexthop del id {group}")
            assert (await kernel.read_routes()).routes == {}
            assert is_unreachable(space, INSIDE4)
            assert is_unreachable(space, INSIDE6)
            assert way(space, "198.51.100.1") == "a0"  # the default route is there, and would have leaked

        drive(space, scenario)


def test_a_route_that_somebody_replaced_reads_as_group_0_and_is_repaired_in_place() -> None:
    with host("kn-routes") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            await kernel.program(change({**BOTH}))
            space.ip("route replace 10.128.0.0/20 dev a0 proto 157 metric 157")
            assert (await kernel.read_routes()).routes[NET4] == 0
            await kernel.program(change({NET4: GROUP4}))
            assert (await kernel.read_routes()).routes == BOTH

        drive(space, scenario)


def test_a_full_table_is_installed_read_and_uninstalled() -> None:
    with host("kn-routes") as space:
        prefixes = many(100_000)

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)

            async def measured(name: str, work: Awaitable[T]) -> T:
                started = time.perf_counter()
                result = await work
                print(f"{name}: {time.perf_counter() - started:.3f} s")
                return result

            routes: dict[Prefix, int | None] = dict.fromkeys(prefixes, GROUP4)
            backstops = dict.fromkeys(prefixes, True)
            assert not (await measured("install 100 000 routes", kernel.program(change(routes)))).failed
            assert len((await measured("read them", kernel.read_routes())).routes) == len(prefixes)
            one = NexthopGroup(id=GROUP4, members=(B4,))
            assert not (await measured("move them", kernel.nexthops.write(Delta({GROUP4: one})))).failed
            assert not (await measured("install backstops", kernel.program(change({}, backstops)))).failed
            seen = await measured("read both", kernel.read_routes())
            assert (len(seen.routes), len(seen.backstops)) == (len(prefixes), len(prefixes))
            nothing = change(dict.fromkeys(prefixes), dict.fromkeys(prefixes, False))
            assert not (await measured("uninstall both", kernel.program(nothing))).failed
            assert not (await kernel.read_routes()).routes

        drive(space, scenario)
