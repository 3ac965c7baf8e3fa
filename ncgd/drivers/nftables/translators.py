"""Who else translates source addresses here: looked at now and then, never touched."""

import asyncio
from pathlib import Path

from ncgd.drivers.nftables import others
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.port import Post
from ncgd.model.chains import POSTROUTING
from ncgd.model.masquerade_event import NatChainsRead

_LOOK_SECONDS = 60.0


class Translators:
    """Posts NatChainsRead."""

    def __init__(self, nft: Nft, post: Post, proc: Path = Path("/proc/thread-self/net")) -> None:
        """``proc`` names the files of the network namespace."""
        self._nft = nft
        self._post = post
        self._proc = proc

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._post(await self.read())
            await asyncio.sleep(_LOOK_SECONDS)

    async def read(self) -> NatChainsRead:
        """All chains of others that are asked at postrouting, and what of them could not be read."""
        rules = await others.read(POSTROUTING, self._nft, self._proc)
        return NatChainsRead(chains=rules.chains, unread=rules.unread)
