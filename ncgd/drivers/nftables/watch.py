"""Watching nftables: whoever else touches our tables, or flushes all of them, is noticed at once; and one counter.

Levels, not edges: news makes the table be read again and posted. What our own runs of nft did is no news. Should the
kernel have had to drop news (ENOBUFS), or a run of ours not have ended in time, all of them are read.
"""

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress

from ncgd.drivers.nftables import agent, clamps_json, esp_port, exemption_text, guard_text
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.port import Post
from ncgd.errors import DriverError, Unavailable
from ncgd.model.event import ClampsRead, EspPortsRead, FilterUnreadable, GuardCounted
from ncgd.model.masquerade import AGENT
from ncgd.model.masquerade_event import AgentRulesRead

_log = logging.getLogger(__name__)

_TABLES = (agent.TABLE, clamps_json.TABLE, esp_port.TABLE, exemption_text.TABLE, guard_text.TABLE)
_PAUSE_SECONDS = 0.02
"""The first news is acted on at once, what comes within this time after it is taken together."""
_FIGHT_SECONDS = 1.0
"""The same while another program goes on and on: a fight costs no core."""
_RETRY_SECONDS = 5.0
_COUNT_SECONDS = 5.0

_SOL_NETLINK, _ADD_MEMBERSHIP, _SO_RCVBUFFORCE = 270, 1, 33
_GROUP = 7
"""NFNLGRP_NFTABLES."""
_BUFFER = 32 << 20
_CHUNK = 1 << 16
_HEADER = struct.Struct("=IHHII")
_NFGEN = struct.pack("=BBH", 1, 0, 0)
"""struct nfgenmsg for NFPROTO_INET."""
_ATTRIBUTE = struct.Struct("=HH")
_SUBSYSTEM = 10 << 8
_GET_COUNTER, _COUNTER_MESSAGE = _SUBSYSTEM | 19, _SUBSYSTEM | 18
"""NFT_MSG_GETOBJ and NFT_MSG_NEWOBJ of NFNL_SUBSYS_NFTABLES (linux/netfilter/nf_tables.h)."""
_NLM_F_REQUEST = 1
_SEQUENCE = 1


class Watch:
    """Posts what our tables hold, and GuardCounted: at the start, and when others changed something."""

    def __init__(
        self,
        nft: Nft,
        guard: GuardTable,
        exemption: ExemptionTable,
        clamps: MssClampTable,
        post: Post,
        *,
        esp_ports: EspPortTable,
    ) -> None:
        self._nft = nft
        self._agent = agent.AgentTable(nft)
        self._guard = guard
        self._exemption = exemption
        self._clamps = clamps
        self._esp_ports = esp_ports
        self._post = post

    async def run(self) -> None:
        """Until cancelled; begins again after a failure, which is posted."""
        while True:
            try:
                with closing(_open()) as news:
                    await self._follow(news)
            except DriverError as error:
                self._post(FilterUnreadable(reason=str(error)))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, news: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        touched, unknown = set(_TABLES), self._nft.unknown
        counted = loop.time() - _COUNT_SECONDS
        quarrelled = loop.time() - 2 * _FIGHT_SECONDS
        while True:
            if guard_text.TABLE in touched:
                self._post(await self._guard.read())
            if exemption_text.TABLE in touched:
                self._post(await self._exemption.read())
            if agent.TABLE in touched:
                self._post(AgentRulesRead(rules=(await self._agent.read()).get(AGENT)))
            if esp_port.TABLE in touched:
                self._post(EspPortsRead(ports=await self._esp_ports.read()))
            if clamps_json.TABLE in touched:
                self._post(ClampsRead(clamps=await self._clamps.read()))
            if touched:
                is_fight = loop.time() - quarrelled < 2 * _FIGHT_SECONDS
                quarrelled = loop.time()
                await asyncio.sleep(_FIGHT_SECONDS if is_fight else _PAUSE_SECONDS)
            touched = set()
            if loop.time() >= counted + _COUNT_SECONDS:
                counted = loop.time()
                news.send(_count_request())
            with suppress(TimeoutError):
                async with asyncio.timeout(_COUNT_SECONDS):
                    touched = await self._wait(news)
            if self._nft.unknown != unknown:
                touched, unknown = set(_TABLES), self._nft.unknown

    async def _wait(self, news: socket.socket) -> set[str]:
        """The tables of ours that somebody else has touched; posts the counter when it is told."""
        loop = asyncio.get_running_loop()
        try:
            data = await loop.sock_recv(news, _CHUNK)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return set(_TABLES)
            raise Unavailable(f"netlink: {error.strerror} (errno {error.errno})") from error
        touched = set()
        await asyncio.sleep(0)  # sock_recv does not give way while data is there
        for kind, port, sequence, body in _messages(data):
            if kind & 0xFF00 != _SUBSYSTEM or self._nft.is_own(port):
                continue
            if kind == _COUNTER_MESSAGE and sequence == _SEQUENCE and port == news.getsockname()[0]:
                self._post(GuardCounted(packets=_packets(body)))
            elif (table := _table_of(body)) in _TABLES:
                _log.debug("nftables message %d about table %s from port %d", kind & 0xFF, table, port)
                touched.add(table)
        return touched


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 12)
    try:
        opened.setblocking(False)
        with suppress(PermissionError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        opened.bind((0, 0))
        opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
    except OSError as error:
        opened.close()
        raise Unavailable(f"nftables cannot be watched: {error.strerror}; ncgd needs CAP_NET_ADMIN") from error
    return opened


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, sender's port, sequence number and attributes of each message in a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, port, sequence, data[offset + _HEADER.size + len(_NFGEN) : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _table_of(body: bytes) -> str:
    """The name of the table that a message is about: the first attribute in all of them."""
    for kind, value in _attributes(body):
        return value.rstrip(b"\0").decode(errors="replace") if kind == 1 else ""
    return ""


def _count_request() -> bytes:
    body = _NFGEN
    for kind, value in (
        (1, guard_text.TABLE.encode() + b"\0"),  # NFTA_OBJ_TABLE
        (2, guard_text.COUNTER.encode() + b"\0"),  # NFTA_OBJ_NAME
        (3, struct.pack(">I", 1)),  # NFTA_OBJ_TYPE: NFT_OBJECT_COUNTER
    ):
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)
    return _HEADER.pack(_HEADER.size + len(body), _GET_COUNTER, _NLM_F_REQUEST, _SEQUENCE, 0) + body


def _packets(body: bytes) -> int:
    """NFTA_COUNTER_PACKETS (2) in NFTA_OBJ_DATA (4), in network byte order."""
    data = dict(_attributes(dict(_attributes(body)).get(4, b"")))
    return int.from_bytes(data.get(2, b""))
