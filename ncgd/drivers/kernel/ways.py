"""How the kernel would send to a few addresses: looked up again and again, since no notification tells of it.

Which route a packet takes depends on every table and rule of the machine; only the kernel knows. A lookup takes some
20 µs, so there is no need to know what may have changed it.
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.transport import messages
from ncgd.drivers.port import Post
from ncgd.errors import Unavailable
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import WaysRead
from ncgd.model.fib import Way
from ncgd.model.prefix import IPAddress

LOOK_SECONDS = 1.0
_CHUNK = 1 << 15


class Ways:
    """OwnedTable of the addresses to look up (a row is None); posts WaysRead when an answer changes."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._asked: set[IPAddress] = set()
        self._told: Mapping[IPAddress, Way | None] = {}

    async def write(self, delta: Delta[IPAddress, None]) -> Outcome[IPAddress]:
        """Look these up from now on, at once for the first time. Raises Unavailable."""
        self._asked = (self._asked | delta.set.keys()) - delta.remove
        self._look()
        return Outcome()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(Unavailable):  # what was told last is all that is known; the next look may do better
                if self._asked:
                    self._look()

    def _look(self) -> None:
        try:
            with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)) as opened:
                opened.settimeout(1.0)
                names = dict(socket.if_nameindex())
                ways = {address: _lookup(opened, address, names) for address in self._asked}
        except OSError as error:
            raise Unavailable(f"netlink: no route can be looked up: {error.strerror}") from error
        if ways != self._told:
            self._told = ways
            self._post(WaysRead(ways=ways))


def _lookup(opened: socket.socket, address: IPAddress, names: Mapping[int, str]) -> Way | None:
    """None when the kernel has no way, or the address is its own."""
    route = _ask(opened, codec.get_way(address), names)
    carried = _ask(opened, codec.get_source(address), names)
    if route is None or carried is None:
        return None
    return replace(carried, length=route.length)


def _ask(opened: socket.socket, request: bytes, names: Mapping[int, str]) -> Way | None:
    opened.sendto(request, (0, 0))
    data = opened.recv(_CHUNK)
    for kind, _, _, start, end in messages(data):
        if kind == codec.RTM_NEWROUTE:
            return parse.way(data, start, end, names)
    return None
