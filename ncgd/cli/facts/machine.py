"""This machine's facts, from netlink and /proc."""

import asyncio
import os
import subprocess
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from ncgd.decision.preflight.facts import NodeFacts
from ncgd.decision.preflight.node import UNSEEN
from ncgd.drivers.kernel import interfaces
from ncgd.drivers.kernel.probe import probe
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.drivers.strongswan.reach import IKE, IKE_NAT, reach
from ncgd.model.fib import Interface

_SETTINGS = Path("/proc/sys/net/ipv4")
_NET = Path("/proc/thread-self/net")
"""Of the calling thread's network namespace."""
_UDP_TABLES = (_NET / "udp", _NET / "udp6")
_ROUTES = _NET / "route"
_UP = 0x1
"""RTF_UP (``linux/route.h``)."""


async def read(name: str, peers: Iterable[str]) -> NodeFacts:
    """The facts of this machine, called ``name``; ``peers`` are asked for an answer. Raises DriverError."""
    answers, capability, links = await asyncio.gather(reach(peers), asyncio.to_thread(probe), _interfaces())
    return NodeFacts(
        name=name,
        kernel=os.uname().release,
        capability=capability,
        nft=await asyncio.to_thread(_nft),
        ip_forward=_number(_SETTINGS / "ip_forward") == 1,
        rp_filter={link: _rp_filter(link) for link in links},
        addresses={link: each.addresses for link, each in links.items() if each.addresses},
        uplinks=_uplinks(),
        udp_ports=_udp_ports(),
        reach=answers,
    )


async def _interfaces() -> dict[str, Interface]:
    with closing(NetlinkSocket()) as connection:
        return dict((await interfaces.read(connection)).interfaces)


def _nft() -> str:
    try:
        return subprocess.run(["nft", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _rp_filter(link: str) -> int:
    """The larger one counts (kernel: Documentation/networking/ip-sysctl)."""
    return max(_number(_SETTINGS / "conf" / each / "rp_filter") for each in ("all", link))


def _number(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _uplinks() -> tuple[str, ...]:
    rows = (line.split() for line in _lines(_ROUTES))
    return tuple(sorted({row[0] for row in rows if row[1] == row[7] == "00000000" and int(row[3], 16) & _UP}))


def _udp_ports() -> dict[int, str]:
    found: dict[int, str] = {}
    for path in _UDP_TABLES:
        for row in map(str.split, _lines(path)):
            port = int(row[1].rpartition(":")[2], 16)
            if port in {IKE, IKE_NAT}:
                found[port] = _owner(row[9])
    return found


def _owner(inode: str) -> str:
    """The program that has a socket; in another PID namespace it cannot be seen."""
    target = f"socket:[{inode}]"
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(descriptor.readlink()) == target:
                return (descriptor.parents[1] / "comm").read_text().strip()
    return UNSEEN


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()[1:]
    return []
