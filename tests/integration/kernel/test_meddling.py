"""What other programs do to our routes is told at once, what we do ourselves is not."""

import asyncio

import pytest

from ncgd.drivers.kernel.foreign import ForeignChanges
from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.event import Event, RoutesMeddled, RoutesRead
from ncgd.model.fib import ForeignRoute, RouteChange
from ncgd.model.prefix import Prefix, make, parse, text
from tests.integration.kernel.host import GROUP4, GROUP6, drive, eventually, host, last, raise_nexthops
from tests.integration.kernel.test_watch import watching

pytestmark = pytest.mark.root

NET4, NET6 = parse("10.128.0.0/20"), parse("2001:db8:1000::/48")
BOTH: dict[Prefix, int | None] = {NET4: GROUP4, NET6: GROUP6}


def told(events: list[Event]) -> RoutesMeddled:
    """All such news, folded."""
    news = RoutesMeddled(routes={}, backstops={})
    for event in events:
        if isinstance(event, RoutesMeddled):
            news.routes.update(event.routes)
            news.backstops.update(event.backstops)
    return news


async def raise_routes(kernel: Kernel) -> None:
    await raise_nexthops(kernel)
    assert not (await kernel.program(RouteChange(routes=dict(BOTH), backstops=dict.fromkeys(BOTH, True)))).failed


@pytest.mark.parametrize(
    ("command", "routes", "backstops"),
    [
        ("route del 10.128.0.0/20 proto 157 metric 157", {NET4: None}, {}),
        ("-6 route del 2001:db8:1000::/48 proto 157 metric 157", {NET6: None}, {}),
        ("route flush type unreachable proto 157", {}, {NET4: False}),
        ("-6 route flush type unreachable proto 157", {}, {NET6: False}),
        ("route replace 10.128.0.0/20 dev a0 metric 157 proto 157", {NET4: 0}, {}),
        ("route replace 10.128.0.0/20 dev a0 metric 157 proto static", {NET4: None}, {}),
        ("-6 route replace 2001:db8:1000::/48 dev a0 metric 157 proto static", {NET6: None}, {}),
        ("route replace blackhole 10.128.0.0/20 metric 4294967057 proto bird", {}, {NET4: False}),
        (f"route add 10.99.0.0/16 nhid {GROUP4} metric 157 proto 157", {parse("10.99.0.0/16"): GROUP4}, {}),
    ],
)
def test_a_changed_row_is_told_at_once(
    command: str, routes: dict[Prefix, int | None], backstops: dict[Prefix, bool]
) -> None:
    with host("kn-meddle") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_routes(kernel)
            async with watching(kernel, events):
                space.ip(command)
                wanted = RoutesMeddled(routes=routes, backstops=backstops)
                await eventually(lambda: told(events) == wanted, f"the news of {command}: {told(events)}")

        drive(space, scenario)


def test_nothing_else_is_told() -> None:
    """Our own changes, those in other tables, and rows that neither carry our mark nor take the place of ours."""
    with host("kn-meddle") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_routes(kernel)
            async with watching(kernel, events):
                many: list[Prefix] = [make(4, (172 << 24) + (16 << 16) + number * 16, 28) for number in range(3000)]
                for wanted in (GROUP4, None, GROUP4):
                    change = RouteChange(
                        routes=dict.fromkeys(many, wanted), backstops=dict.fromkeys(many, bool(wanted))
                    )
                    assert not (await kernel.program(change)).failed
                space.ip("route add 10.128.0.0/20 dev a0 proto static")
                space.ip("route append 10.128.0.0/20 dev a0 proto static metric 157")
                space.ip("route add 10.128.0.0/20 dev a0 proto 157 metric 157 table 100")
                space.ip("route add 10.77.0.0/16 dev a0 proto static")
                space.ip("route del 10.128.0.0/20 proto static")
                space.ip("route del 10.128.0.0/20 proto static metric 157")
                space.ip("route del 10.128.0.0/20 proto 157")
                await eventually(lambda: told(events).routes, "the one thing that is told")
                assert told(events) == RoutesMeddled(routes={NET4: None}, backstops={})

        drive(space, scenario)


def test_news_that_overflow_make_all_routes_be_read() -> None:
    """More at once than the socket holds, while the loop stands still."""
    with host("kn-meddle") as space:

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await raise_routes(kernel)
            many: list[Prefix] = [make(4, (172 << 24) + (16 << 16) + number * 4, 30) for number in range(60_000)]
            assert not (await kernel.program(RouteChange(routes=dict.fromkeys(many, GROUP4), backstops={}))).failed
            async with watching(kernel, events):
                before = last(events, RoutesRead)
                assert before is not None
                assert len(before.routes) == len(many) + 2
                # `ip route flush` cannot: it hands back what the kernel shows of a group, which the kernel refuses
                rows = "\n".join(f"route del {text(prefix)} proto 157 metric 157" for prefix in many)
                space.run("ip", "-batch", "-", stdin=rows)

                def known() -> int:
                    seen = last(events, RoutesRead)
                    return len(seen.routes) if seen else -1

                await eventually(lambda: known() == 2, "all was read again")

        drive(space, scenario)


def test_lost_news_are_told_as_lost() -> None:
    with host("kn-meddle") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_routes(kernel)
            changes = ForeignChanges(receive_bytes=1)  # the kernel makes it its minimum, a few messages
            one = "route del 10.128.0.0/20 proto 157 metric 157"
            other = f"route add 10.128.0.0/20 nhid {GROUP4} proto 157 metric 157"
            space.run("ip", "-batch", "-", stdin=f"{one}\n{other}\n" * 100)
            assert await changes.wait() is None
            space.ip(one)
            news = RoutesMeddled(routes={}, backstops={})
            while news.routes.get(NET4, GROUP4) is not None:
                async with asyncio.timeout(10):
                    news = await changes.wait() or news
            changes.close()

        drive(space, scenario)


def test_a_foreign_route_that_wins_over_ours_is_told_with_the_routes() -> None:
    with host("kn-meddle") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_routes(kernel)
            space.ip("route add 10.128.0.0/20 dev a0 proto static metric 20")
            space.ip("-6 route add 2001:db8:1000::/48 dev a0 proto bird metric 32")
            space.ip("route add 10.128.0.0/20 dev a0 proto static metric 500")
            space.ip("route add 10.77.0.0/16 dev a0 proto static")
            seen = await kernel.read_routes()
            assert seen.routes == BOTH
            assert seen.shadows == {NET4: ForeignRoute(4, 20), NET6: ForeignRoute(12, 32)}

        drive(space, scenario)
