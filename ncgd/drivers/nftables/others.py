"""Other programs' chains: read with nft, and from iptables-legacy, which nft does not see. Nothing is touched."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ncgd.drivers.nftables import forward_chains, legacy_filter, legacy_text, nat_chains
from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import DriverError, Rejected
from ncgd.model.filter import FilterChain
from ncgd.model.look import Rules
from ncgd.model.masquerade import NatChain

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_CHAINS_READ = 256
"""Chains that are followed at most, in each table."""
_LEGACY = {4: ("iptables-legacy-save", "ip_tables_names"), 6: ("ip6tables-legacy-save", "ip6_tables_names")}
"""Program, and the file that names the tables there are: the program would make the one that it is asked for."""
_NET = Path("/proc/thread-self/net")
"""Files of the network namespace."""


class _Rule(Protocol):
    @property
    def chain(self) -> str:
        """Where it leads."""


class _Chain(Protocol):
    @property
    def rules(self) -> Sequence[_Rule]:
        """In order."""


C = TypeVar("C", bound=_Chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[C]):
    """Which chains to read, and how: by nft, and of which table of iptables-legacy."""

    bases: Callable[[bytes], list[dict[str, Any]]]
    chain: Callable[[bytes, str], C]
    legacy_table: str
    legacy: Callable[[str, int], list[C]]


POSTROUTING: Kind[NatChain] = Kind(
    bases=nat_chains.bases, chain=nat_chains.chain, legacy_table="nat", legacy=legacy_text.chains
)
FORWARD: Kind[FilterChain] = Kind(
    bases=forward_chains.bases, chain=forward_chains.chain, legacy_table="filter", legacy=legacy_filter.chains
)


async def read(kind: Kind[C], nft: Nft, net: Path = _NET) -> Rules[C]:
    """All chains of a kind, and what of them could not be read."""
    chains: list[C] = []
    unread: list[str] = []
    for part in (_by_nft(kind, nft), _by_legacy(kind, net)):
        try:
            chains += await part
        except DriverError as error:
            unread.append(str(error))
    return Rules(chains=tuple(chains), unread="; ".join(unread))


async def _by_nft(kind: Kind[C], nft: Nft) -> list[C]:
    chains = []
    for base in kind.bases(await nft.run("-j", "list", "chains")):
        waiting, seen = [base["name"]], set[str]()
        while waiting and len(seen) < _CHAINS_READ:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            try:
                listing = await nft.run("-j", "list", "chain", base["family"], base["table"], name)
            except Rejected as error:  # gone meanwhile
                _log.debug("%s", error)
                continue
            chain = await asyncio.to_thread(kind.chain, listing, name)
            chains.append(chain)
            waiting += [rule.chain for rule in chain.rules if rule.chain]
    return chains


async def _by_legacy(kind: Kind[C], net: Path) -> list[C]:
    chains = []
    for version, (program, names) in _LEGACY.items():
        if kind.legacy_table in await asyncio.to_thread(_lines, net / names):
            chains += await asyncio.to_thread(kind.legacy, await _output(program, kind.legacy_table), version)
    return chains


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # iptables-legacy is not in this kernel
        return []


async def _output(program: str, table: str) -> str:
    """What a program prints of a table. Raises DriverError."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-t", table, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ}
        )
    except OSError as error:
        text = f"iptables-legacy has rules here, and {program} cannot be run: {error.strerror}; install iptables"
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
