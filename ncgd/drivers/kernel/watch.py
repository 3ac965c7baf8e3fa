"""Watching the kernel: notifications where they are few, reading again where they would be a storm.

Links, addresses and nexthop objects are watched; every notification makes the whole table be read and posted, so a
lost one (ENOBUFS) costs nothing but a read. Of routes only what others do to ours is watched (``foreign.py``), and
posted as the edit that it is. All are read again every ``reread_seconds``; at once when such news were lost, and when
the kernel has removed nexthop objects, because it removes the routes behind them without a word.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

from ncgd.drivers.kernel.codec import RTM_DELNEXTHOP, RTM_NEWNEXTHOP
from ncgd.drivers.kernel.foreign import ForeignChanges
from ncgd.drivers.kernel.transport import ADDRESS_V4, ADDRESS_V6, LINK, NEXTHOP, Notifications
from ncgd.drivers.port import Post
from ncgd.errors import DriverError
from ncgd.model.event import InterfacesRead, NexthopsRead, RoutesRead
from ncgd.model.fib import Nexthop

_log = logging.getLogger(__name__)

_GROUPS = (LINK, ADDRESS_V4, ADDRESS_V6, NEXTHOP)
_NEXTHOP_MESSAGES = frozenset((RTM_NEWNEXTHOP, RTM_DELNEXTHOP))
_PAUSE_SECONDS = 0.02
"""The first notification is acted on at once, what comes within this time after it is taken together."""
_RETRY_SECONDS = 1.0
_ROUTES_SHARE = 0.005
"""Reading routes again takes this share of a core at most: 100 000 of them every 70 s rather than 30 s."""


class Watch:
    """Posts the kernel's tables, on top of one function that reads each of them."""

    def __init__(
        self,
        post: Post,
        read_interfaces: Callable[[], Awaitable[InterfacesRead]],
        read_nexthops: Callable[[], Awaitable[NexthopsRead]],
        read_routes: Callable[[], Awaitable[RoutesRead]],
        routes_settled: Callable[[], Awaitable[None]],
        *,
        reread_seconds: float,
    ) -> None:
        """``routes_settled`` waits until none of our own changes to routes is under way."""
        self._post = post
        self._read_interfaces = read_interfaces
        self._read_nexthops = read_nexthops
        self._read_routes = read_routes
        self._routes_settled = routes_settled
        self._reread_seconds = reread_seconds
        self._routes_stale = asyncio.Event()
        self._interfaces = InterfacesRead(interfaces={})
        self._nexthops = NexthopsRead(nexthops={})

    async def run(self) -> None:
        """Post the three tables, then each anew as it changes; begins again after a failure; ends when cancelled."""
        while True:
            try:
                with closing(Notifications(_GROUPS)) as notifications, closing(ForeignChanges()) as changes:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._follow(notifications))
                        tasks.create_task(self._follow_routes())
                        tasks.create_task(self._follow_foreign(changes))
            except* DriverError as group:
                _log.warning("%s; the kernel is watched again in %g s", group.exceptions[0], _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, notifications: Notifications) -> None:
        is_interface_news = True
        while True:
            if is_interface_news:
                await self._refresh_interfaces()
            await self._refresh_nexthops()
            await asyncio.sleep(_PAUSE_SECONDS)
            kinds = await notifications.wait()
            is_interface_news = not kinds or not kinds <= _NEXTHOP_MESSAGES
            if not kinds or RTM_DELNEXTHOP in kinds:  # one that is back already took its routes along all the same
                self._routes_stale.set()

    async def _follow_routes(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._routes_stale.clear()
            started = loop.time()
            self._post(await self._read_routes())
            took = loop.time() - started
            await asyncio.sleep(max(took, _PAUSE_SECONDS))  # news that never end must not make this a busy loop
            pause = max(self._reread_seconds, took / _ROUTES_SHARE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._routes_stale.wait()

    async def _follow_foreign(self, changes: ForeignChanges) -> None:
        while True:
            news = await changes.wait()
            await self._routes_settled()  # what was written meanwhile is told first
            if news is None:
                self._routes_stale.set()
            elif news:
                self._post(news)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _refresh_interfaces(self) -> None:
        before, self._interfaces = self._interfaces, await self._read_interfaces()
        self._post(self._interfaces)
        down = {name for name in before.interfaces if before.interfaces[name].is_up and not self._is_up(name)}
        if down & {row.interface for row in self._nexthops.nexthops.values() if isinstance(row, Nexthop)}:
            self._routes_stale.set()

    async def _refresh_nexthops(self) -> None:
        before, self._nexthops = self._nexthops, await self._read_nexthops()
        self._post(self._nexthops)
        if before.nexthops.keys() - self._nexthops.nexthops.keys():
            self._routes_stale.set()

    def _is_up(self, name: str) -> bool:
        interface = self._interfaces.interfaces.get(name)
        return interface is not None and interface.is_up
