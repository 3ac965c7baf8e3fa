"""The guard as a table of ours: prefixes that may leave by our tunnels, or to the active gateway, only."""

import asyncio
import re
from ipaddress import ip_address

from ncgd.drivers.nftables import guard_text
from ncgd.drivers.nftables.prefix_sets import Lengths, lengths_of
from ncgd.drivers.nftables.settling import Settling
from ncgd.drivers.nftables.transport import Nft
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import GuardRead
from ncgd.model.prefix import Prefix

_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
"""Interface names that mean themselves in a text for nft."""


class GuardTable:
    """OwnedTable of prefixes, and of what they may leave by; table ``inet ncgd_guard``.

    An exit is the name of an interface, or ``via ADDRESS``: a next hop, where others share the interface.
    """

    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._lock = asyncio.Lock()
        self._settling = Settling()
        self._exits: frozenset[str] = frozenset()
        self._lengths: Lengths = frozenset()

    async def read(self) -> GuardRead:
        """What is in force; no exits when a rule is missing. Raises DriverError."""
        async with self._lock:
            guard = await self._settling.read(self._list)
            self._exits, self._lengths = guard.exits, guard.lengths
            return GuardRead(prefixes=guard.prefixes, exits=guard.exits)

    async def _list(self) -> guard_text.Guard:
        listing = await self._nft.listed(guard_text.TABLE)
        return guard_text.Guard() if listing is None else await asyncio.to_thread(guard_text.parse, listing)

    async def write(self, delta: Delta[Prefix | str, None]) -> Outcome[Prefix | str]:
        """Edit the table in one transaction, all or nothing; without any exit left it is removed.

        Raises Unavailable without nft, Rejected without CAP_NET_ADMIN or when the kernel lacks nf_tables, TimedOut.
        """
        async with self._lock:
            add = [Prefix(key) for key in delta.set if isinstance(key, int)]
            remove = [Prefix(key) for key in delta.remove if isinstance(key, int)]
            named = {key for key in delta.set if isinstance(key, str)}
            strange = {name for name in named if not _is_exit(name)}
            exits = (self._exits | named) - delta.remove - strange
            lengths = self._lengths | lengths_of(add)
            if exits:
                text = await asyncio.to_thread(guard_text.edit, lengths, exits, add, remove)
            else:
                text, lengths = guard_text.REMOVAL, frozenset()
            await self._nft.run("-f", "-", text=text)
            self._settling.wrote()
            self._exits, self._lengths = exits, lengths
            return Outcome(dict.fromkeys(strange, "the guard lets no interface of such a name pass"))


def _is_exit(text: str) -> bool:
    if not text.startswith(guard_text.VIA):
        return _NAME.fullmatch(text) is not None
    try:
        return bool(ip_address(text.removeprefix(guard_text.VIA)))
    except ValueError:
        return False
