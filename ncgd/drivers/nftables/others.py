"""Other programs' chains: read with nft, and from iptables-legacy, which nft does not see. Nothing is touched."""

import asyncio
import logging
import os
from pathlib import Path

from ncgd.drivers.nftables import others_json, others_text
from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import DriverError, Rejected
from ncgd.model.chains import Chain, Hook
from ncgd.model.look import Rules

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_CHAINS_READ = 256
"""Chains that are followed at most, in each table."""
_LEGACY = {4: ("iptables-legacy-save", "ip_tables_names"), 6: ("ip6tables-legacy-save", "ip6_tables_names")}
"""Program, and the file that names the tables there are: the program would make the one that it is asked for."""
_NET = Path("/proc/thread-self/net")
"""Files of the network namespace."""


async def read(hook: Hook, nft: Nft, net: Path = _NET) -> Rules:
    """All chains that are asked at a hook, and what of them could not be read."""
    chains: list[Chain] = []
    unread: list[str] = []
    for part in (_by_nft(hook, nft), _by_legacy(hook, net)):
        try:
            chains += await part
        except DriverError as error:
            unread.append(str(error))
    return Rules(chains=tuple(chains), unread="; ".join(unread))


async def _by_nft(hook: Hook, nft: Nft) -> list[Chain]:
    chains = []
    for base in others_json.bases(await nft.run("-j", "list", "chains"), hook):
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
            chain = await asyncio.to_thread(others_json.chain, listing, name)
            chains.append(chain)
            waiting += [rule.chain for rule in chain.rules if rule.chain]
    return chains


async def _by_legacy(hook: Hook, net: Path) -> list[Chain]:
    chains = []
    for version, (program, names) in _LEGACY.items():
        if hook.type in await asyncio.to_thread(_lines, net / names):
            chains += await asyncio.to_thread(others_text.chains, await _output(program, hook.type), version, hook)
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
