"""IPv4 packets as they pass this machine's interfaces, seen and not touched: AF_PACKET with a filter in the kernel.

packet(7); the filter is classic BPF over the packet from its network header (SOCK_DGRAM), ``linux/filter.h``.
"""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from ncgd.errors import Unavailable

_ETH_P_ALL = 0x0003
"""Only whoever asks for all sees what goes out."""
_OUTGOING = 4
_SO_ATTACH_FILTER = 26
_LONGEST = 2048
ICMP, TCP = 1, 6

Instruction = tuple[int, int, int, int]
"""Operation, lines to skip when equal, when not, operand."""
_LOAD_BYTE, _LOAD_WORD, _HEADER_TO_X, _LOAD_HALF_AT_X = 0x30, 0x20, 0xB1, 0x48
_AND, _IS_EQUAL, _RETURN = 0x54, 0x15, 0x06
_VERSION, _PROTOCOL, _SOURCE = 0, 9, 12
"""Offsets in the IP header (RFC 791)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet at an interface; ``content`` is what follows its IP header."""

    interface: str
    is_outgoing: bool
    source: IPv4Address
    content: bytes


class Capture:
    """An open capture."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened

    async def next(self) -> Seen:
        """The next packet. Waits for it."""
        loop = asyncio.get_running_loop()
        packet, sender = await loop.sock_recvfrom(self._socket, _LONGEST)
        header = (packet[0] & 0xF) * 4
        return Seen(
            interface=sender[0],
            is_outgoing=sender[2] == _OUTGOING,
            source=IPv4Address(packet[_SOURCE : _SOURCE + 4]),
            content=packet[header:],
        )


@asynccontextmanager
async def capture(program: Sequence[Instruction]) -> AsyncIterator[Capture]:
    """See what the filter lets through, at all interfaces. Raises Unavailable without CAP_NET_RAW."""
    try:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        opened = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ALL))
    except OSError as error:
        raise Unavailable(f"packets cannot be looked at: {error.strerror}; ncgd needs CAP_NET_RAW") from error
    with opened:
        held = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
        # A struct sock_fprog; the kernel copies the program.
        described = struct.pack("@HP", len(program), ctypes.addressof(held))
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
        with suppress(BlockingIOError):
            while True:
                opened.recv(1)  # what came before the filter
        yield Capture(opened)


def echoes(identifier: int) -> list[Instruction]:
    """ICMP with this identifier."""
    return _program(ICMP, [(_HEADER_TO_X, 0, 0, 0), (_LOAD_HALF_AT_X, 0, 0, 4), (_IS_EQUAL, 0, 1, identifier)])


def segments(source: IPv4Address) -> list[Instruction]:
    """TCP from this address."""
    return _program(TCP, [(_LOAD_WORD, 0, 0, _SOURCE), (_IS_EQUAL, 0, 1, int(source))])


def _program(protocol: int, rest: list[Instruction]) -> list[Instruction]:
    """``rest`` ends by a comparison that skips one line when it does not hold."""
    length = len(rest)
    return [
        (_LOAD_BYTE, 0, 0, _VERSION),
        (_AND, 0, 0, 0xF0),
        (_IS_EQUAL, 0, 3 + length, 0x40),
        (_LOAD_BYTE, 0, 0, _PROTOCOL),
        (_IS_EQUAL, 0, 1 + length, protocol),
        *rest,
        (_RETURN, 0, 0, _LONGEST),
        (_RETURN, 0, 0, 0),
    ]
