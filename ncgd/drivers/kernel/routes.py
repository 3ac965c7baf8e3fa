"""Routes by nexthop id and their ``unreachable`` backstops: table main, protocol 157."""

import asyncio
import errno
from collections.abc import Callable, Iterable, Mapping
from itertools import count, islice

from ncgd.drivers.kernel import codec
from ncgd.drivers.kernel.parse import RouteRows
from ncgd.drivers.kernel.transport import BATCH, NetlinkSocket
from ncgd.model.delta import Outcome
from ncgd.model.event import RoutesRead
from ncgd.model.fib import RouteChange
from ncgd.model.prefix import Prefix, text

_Pack = Callable[..., bytes]


class Routes:
    """The one table that is never diffed whole: changes come as edits and cost what they change."""

    def __init__(self, writes: NetlinkSocket, reads: NetlinkSocket) -> None:
        self._writes = writes
        self._reads = reads
        self._programmed = 0
        """How many changes have been begun."""
        self._changing = asyncio.Lock()

    async def program(self, change: RouteChange) -> Outcome[Prefix]:
        """Install, re-point and uninstall; failures by prefix, in the kernel's words.

        A prefix is never without its backstop while its route comes or goes, and a route that is already there
        is swapped in one step. What is gone already counts as uninstalled. Raises DriverError.
        """
        failed: dict[Prefix, str] = {}
        backstops = change.backstops
        groups = {prefix: group for prefix, group in change.routes.items() if group is not None}
        steps: tuple[tuple[str, _Pack, Iterable[Prefix]], ...] = (
            ("install the backstop of", codec.set_backstop, (p for p, wanted in backstops.items() if wanted)),
            ("install", codec.set_route, groups),
            ("uninstall", codec.delete_route, (p for p, group in change.routes.items() if group is None)),
            (
                "uninstall the backstop of",
                codec.delete_backstop,
                (p for p, wanted in backstops.items() if not wanted),
            ),
        )
        async with self._changing:
            self._programmed += 1
            for verb, pack, prefixes in steps:
                numbers = (groups,) if pack is codec.set_route else ()
                await self._send(verb, pack, prefixes, numbers, failed)
        return Outcome(failed)

    async def read(self) -> RoutesRead:
        """All our rows of table main. Raises DriverError.

        Between changes, and again when one was begun meanwhile, so that a row in flight is not taken for drift. While
        one follows the other, the next has to wait once for the reading.
        """
        for _ in range(2):
            await self.settled()
            programmed = self._programmed
            rows = await self._dump()
            if programmed == self._programmed:
                break
        else:
            async with self._changing:
                rows = await self._dump()
        shadows = {prefix: row for prefix, row in rows.foreign.items() if prefix in rows.routes}
        return RoutesRead(routes=rows.routes, backstops=frozenset(rows.backstops), shadows=shadows)

    async def settled(self) -> None:
        """Wait until no change is under way: what has been heard until then was there before the next one."""
        async with self._changing:
            pass

    async def _send(
        self,
        verb: str,
        pack: _Pack,
        prefixes: Iterable[Prefix],
        numbers: tuple[Mapping[Prefix, int], ...],
        failed: dict[Prefix, str],
    ) -> None:
        """``numbers``: what ``pack`` wants for each prefix, after sequence number and prefix."""
        rest = iter(prefixes)
        while batch := list(islice(rest, BATCH)):
            messages = list(map(pack, count(), batch, *(map(number.__getitem__, batch) for number in numbers)))
            for index, why in (await self._writes.send(messages)).items():
                if why.errno == errno.ESRCH and pack in (codec.delete_route, codec.delete_backstop):
                    continue
                failed[batch[index]] = f"cannot {verb} {text(batch[index])} in table main: {why}"

    async def _dump(self) -> RouteRows:
        one, other = [await self._reads.dump(codec.get_routes(version), RouteRows) for version in (4, 6)]
        one.routes.update(other.routes)
        one.backstops.update(other.backstops)
        one.foreign.update(other.foreign)
        return one
