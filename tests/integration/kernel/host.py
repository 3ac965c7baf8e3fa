"""A host for the kernel driver: a namespace with two live interfaces, and the driver running in it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeVar

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import (
    BLACKHOLE_V4,
    BLACKHOLE_V6,
    GROUP_V4_BASE,
    GROUP_V6_BASE,
    NEXTHOP_V4_BASE,
    NEXTHOP_V6_BASE,
    Nexthop,
    NexthopGroup,
)
from tests.integration.netns import Condition, Namespace

T = TypeVar("T")
Scenario = Callable[[Kernel, list[Event]], Coroutine[Any, Any, T]]

A4, B4 = NEXTHOP_V4_BASE + 1, NEXTHOP_V4_BASE + 2
A6, B6 = NEXTHOP_V6_BASE + 1, NEXTHOP_V6_BASE + 2
GROUP4, GROUP6 = GROUP_V4_BASE + 1, GROUP_V6_BASE + 1
MEMBERS = {
    A4: Nexthop(id=A4, version=4, interface="a0"),
    B4: Nexthop(id=B4, version=4, interface="b0"),
    A6: Nexthop(id=A6, version=6, interface="a0"),
    B6: Nexthop(id=B6, version=6, interface="b0", gateway=ip_address("2001:db8:b::2")),
    BLACKHOLE_V4: Nexthop(id=BLACKHOLE_V4, version=4),
    BLACKHOLE_V6: Nexthop(id=BLACKHOLE_V6, version=6),
}
GROUPS = {
    GROUP4: NexthopGroup(id=GROUP4, members=(A4, B4)),
    GROUP6: NexthopGroup(id=GROUP6, members=(A6, B6)),
}


@contextmanager
def host(name: str) -> Iterator[Namespace]:
    """A namespace with veths ``a0`` and ``b0`` up and addressed, and a default route by ``a0``."""
    with Namespace(name) as space:
        for link, number in (("a", "1"), ("b", "2")):
            space.ip(f"link add {link}0 type veth peer name {link}1")
            space.ip(f"link set {link}1 up")
            space.ip(f"link set {link}0 up")
            space.ip(f"addr add 192.0.2.{number}/32 dev {link}0")
            space.ip(f"addr add 2001:db8:{link}::1/64 dev {link}0 nodad")
        space.ip("route add default dev a0")
        yield space


def drive(space: Namespace, scenario: Scenario[T], reread_seconds: float = 3600.0) -> T:
    """Run a scenario in the namespace, with a driver of its own and the list of events it posts."""

    async def run() -> T:
        events: list[Event] = []
        kernel = Kernel(events.append, reread_seconds=reread_seconds)
        try:
            return await scenario(kernel, events)
        finally:
            kernel.close()

    return space.call(lambda: asyncio.run(run()))


async def raise_nexthops(kernel: Kernel) -> None:
    """Both interfaces as members of one group per IP version."""
    outcome = await kernel.nexthops.write(Delta({**MEMBERS, **GROUPS}))
    assert not outcome.failed


async def eventually(condition: Condition[T], what: str, seconds: float = 30.0) -> T:
    """Poll until the condition is true and return its value; AssertionError after the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert loop.time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def last(events: list[Event], kind: type[T]) -> T | None:
    """The newest event of a kind."""
    return next((event for event in reversed(events) if isinstance(event, kind)), None)
