"""The exemption from masquerade as a table of ours: prefixes towards which connections keep their source address."""

import asyncio

from ncgd.drivers.nftables import exemption_text
from ncgd.drivers.nftables.prefix_sets import lengths_of
from ncgd.drivers.nftables.settling import Settling
from ncgd.drivers.nftables.transport import Nft
from ncgd.model.delta import Delta, Outcome
from ncgd.model.masquerade import Extra
from ncgd.model.masquerade_event import ExemptionRead
from ncgd.model.prefix import Prefix


class ExemptionTable:
    """OwnedTable of prefixes, and of networks of ours that are reached from there; table ``inet ncgd_masquerade``."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._lock = asyncio.Lock()
        self._settling = Settling()
        self._held = exemption_text.Exemption()

    async def read(self) -> ExemptionRead:
        """What is in force; nothing when a rule is missing. Raises DriverError."""
        async with self._lock:
            self._held = await self._settling.read(self._list)
            return ExemptionRead(prefixes=self._held.prefixes, own=self._held.own)

    async def _list(self) -> exemption_text.Exemption:
        listing = await self._nft.listed(exemption_text.TABLE)
        return exemption_text.Exemption() if listing is None else await asyncio.to_thread(exemption_text.parse, listing)

    async def write(self, delta: Delta[Prefix | Extra, None]) -> Outcome[Prefix | Extra]:
        """Edit the table in one transaction, all or nothing; without any prefix left it is removed.

        Raises Unavailable without nft, Rejected without CAP_NET_ADMIN or when the kernel cannot translate, TimedOut.
        """
        async with self._lock:
            add = {key for key in delta.set if isinstance(key, int)}
            remove = {key for key in delta.remove if isinstance(key, int)}
            own = self._held.own - {key for key in delta.remove if isinstance(key, Extra)}
            own |= {key for key in delta.set if isinstance(key, Extra)}
            prefixes = (self._held.prefixes | add) - remove
            lengths = self._held.lengths | lengths_of(add)
            text = exemption_text.REMOVAL
            if prefixes:
                text = await asyncio.to_thread(exemption_text.edit, lengths, own, add, remove)
            await self._nft.run("-f", "-", text=text)
            self._settling.wrote()
            held = exemption_text.Exemption(prefixes, own, lengths)
            self._held = held if prefixes else exemption_text.Exemption()
            return Outcome()
