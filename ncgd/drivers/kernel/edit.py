"""Single edits of links, addresses and neighbours: by pyroute2, which knows how to encode them."""

import errno
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from ncgd.drivers.kernel.netlink_library import AsyncIPRoute, NetlinkError
from ncgd.errors import Rejected, Unavailable


class Edits:
    """Edits over one connection. Each returns why the kernel refused it, or "" when it is done.

    Raises Rejected without CAP_NET_ADMIN.
    """

    def __init__(self, ipr: AsyncIPRoute) -> None:
        self._ipr = ipr

    async def link(self, verb: str, **settings: str | int) -> str:
        """``add``, ``set`` or ``del`` an interface; settings as pyroute2's ``IPRoute.link`` names them."""
        return await _attempt(self._ipr.link(verb, **settings))  # type: ignore[no-untyped-call]

    async def address(self, verb: str, **settings: str | int) -> str:
        """``add`` or ``del`` an address; settings as pyroute2's ``IPRoute.addr`` names them."""
        return await _attempt(self._ipr.addr(verb, **settings))  # type: ignore[no-untyped-call]

    async def neighbor(self, verb: str, **settings: str | int) -> str:
        """``replace`` or ``del`` a neighbour; settings as pyroute2's ``IPRoute.neigh`` names them."""
        return await _attempt(self._ipr.neigh(verb, **settings))  # type: ignore[no-untyped-call]

    async def forwarding(self, verb: str, **settings: str | int) -> str:
        """``replace`` or ``del`` where a MAC is forwarded to; settings as pyroute2's ``IPRoute.fdb`` names them."""
        return await _attempt(self._ipr.fdb(verb, **settings))  # type: ignore[no-untyped-call]


@asynccontextmanager
async def editing() -> AsyncIterator[Edits]:
    """A connection for a few edits. Raises Unavailable when there is no rtnetlink socket."""
    try:
        async with AsyncIPRoute() as ipr:  # type: ignore[no-untyped-call]
            yield Edits(ipr)
    except OSError as error:
        raise Unavailable(f"netlink: {error.strerror} (errno {error.errno})") from error


async def _attempt(edit: Awaitable[object]) -> str:
    try:
        await edit
    except NetlinkError as error:
        if error.code == errno.EPERM:
            raise Rejected("netlink: links and addresses need CAP_NET_ADMIN: grant it to ncgd") from error
        return f"{os.strerror(error.code)} (errno {error.code})"
    return ""
