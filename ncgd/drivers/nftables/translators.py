"""Who else translates source addresses here: looked at now and then, never touched."""

import asyncio
import logging
import os
from pathlib import Path

from ncgd.drivers.nftables import legacy_text, nat_chains
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.port import Post
from ncgd.errors import DriverError, Rejected
from ncgd.model.masquerade import NatChain
from ncgd.model.masquerade_event import NatChainsRead

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0
_TIMEOUT_SECONDS = 10.0
_CHAINS_READ = 256
"""Chains that are followed at most, in each table."""
_LEGACY = {4: ("iptables-legacy-save", "ip_tables_names"), 6: ("ip6tables-legacy-save", "ip6_tables_names")}
"""Program, and the file that names the tables there are: the program would make the one that it is asked for."""


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
        chains: list[NatChain] = []
        unread: list[str] = []
        for read in (self._read_nft, self._read_legacy):
            try:
                chains += await read()
            except DriverError as error:
                unread.append(str(error))
        return NatChainsRead(chains=tuple(chains), unread="; ".join(unread))

    async def _read_nft(self) -> list[NatChain]:
        chains = []
        for base in nat_chains.bases(await self._nft.run("-j", "list", "chains")):
            waiting, seen = [base["name"]], set[str]()
            while waiting and len(seen) < _CHAINS_READ:
                name = waiting.pop()
                if name in seen:
                    continue
                seen.add(name)
                try:
                    listing = await self._nft.run("-j", "list", "chain", base["family"], base["table"], name)
                except Rejected as error:  # gone meanwhile
                    _log.debug("%s", error)
                    continue
                chain = await asyncio.to_thread(nat_chains.chain, listing, name)
                chains.append(chain)
                waiting += [rule.chain for rule in chain.rules if rule.chain]
        return chains

    async def _read_legacy(self) -> list[NatChain]:
        chains = []
        for version, (program, names) in _LEGACY.items():
            if "nat" in await asyncio.to_thread(_lines, self._proc / names):
                chains += await asyncio.to_thread(legacy_text.chains, await _output(program), version)
        return chains


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # iptables-legacy is not in this kernel
        return []


async def _output(program: str) -> str:
    """What a program prints of the table nat. Raises DriverError."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-t", "nat", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ}
        )
    except OSError as error:
        text = f"iptables-legacy translates here, and {program} cannot be run: {error.strerror}; install iptables"
        raise Rejected(text) from error
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            output, complaint = await process.communicate()
    except TimeoutError as error:
        raise Rejected(f"{program}: no answer within {_TIMEOUT_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Rejected(f"{program}: {complaint.decode(errors='replace').strip()}")
    return output.decode(errors="replace")
