"""What others do to our routes, as it happens.

The kernel tells every listener of every change, so an ncgd that listened to all would hear its own 100 000 routes.
A filter inside the kernel (SO_ATTACH_FILTER, classic BPF over the netlink message) lets through only what concerns
our rows of table main (our protocol, or one of our two metrics: a foreign ``ip route replace`` takes a row over with a
protocol of its own) and was not sent from one of our sockets (their port ids form a block, ``transport.PORTS``).
"""

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Iterator

from ncgd.drivers.kernel import parse
from ncgd.drivers.kernel.codec import RT_TABLE_MAIN, RTA_PRIORITY
from ncgd.drivers.kernel.transport import BUFFER, PORTS, PORTS_MASK, ROUTE_V4, ROUTE_V6, join, messages, open_listener
from ncgd.errors import Unavailable
from ncgd.model.event import RoutesMeddled
from ncgd.model.fib import BACKSTOP_METRIC, METRIC, PROTOCOL

_CHUNK = 1 << 16
_AT_ONCE = 500
"""Notifications taken in one go: a few milliseconds."""
_SO_ATTACH_FILTER = 26
_LOAD_WORD, _LOAD_BYTE, _LOAD_VALUE, _LOAD_WORD_AT_X = 0x20, 0x30, 0x00, 0x40
_SET_X, _TO_X, _AND, _IS_EQUAL, _RETURN = 0x01, 0x07, 0x54, 0x15, 0x06
_FIND_ATTRIBUTE = 0xFFFF_F000 + 12
"""SKF_AD_OFF + SKF_AD_NLATTR (``linux/filter.h``): offset of attribute X, searched from offset A; 0 without one."""
_PORT, _TABLE, _PROTOCOL, _ATTRIBUTES = 12, 16 + 4, 16 + 5, 16 + 12
"""Offsets in a route message: nlmsg_pid, rtm_table, rtm_protocol, end of struct rtmsg."""
_EVERYTHING = 0xFFFF_FFFF


class ForeignChanges:
    """Changes to rows of ours that no socket of this ncgd has made; of one network namespace."""

    def __init__(self, receive_bytes: int = BUFFER) -> None:
        """Listen from now on; news beyond ``receive_bytes`` (of the kernel's own reckoning) are lost."""
        self._socket = open_listener(receive_bytes)
        program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _program())
        held = ctypes.create_string_buffer(program)
        # A struct sock_fprog; the kernel copies the program.
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
        )
        join(self._socket, (ROUTE_V4, ROUTE_V6))

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    async def wait(self) -> RoutesMeddled | None:
        """Wait for news; what has queued up, as what the rows are now. None: the kernel had to drop some."""
        loop = asyncio.get_running_loop()
        news = RoutesMeddled(routes={}, backstops={})
        try:
            data = await loop.sock_recv(self._socket, _CHUNK)
            for _ in range(_AT_ONCE):
                for kind, flags, _, start, end in messages(data):
                    parse.foreign_change(kind, flags, data, start, end, news=news)
                data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return None
            raise Unavailable(f"netlink: {error.strerror} (errno {error.errno})") from error
        return news


def _program() -> Iterator[tuple[int, int, int, int]]:
    """The filter: operation, lines to skip when equal, when not, operand."""
    yield _LOAD_WORD, 0, 0, _PORT
    yield _AND, 0, 0, _as_loaded(PORTS_MASK)
    yield _IS_EQUAL, 12, 0, _as_loaded(PORTS)
    yield _LOAD_BYTE, 0, 0, _TABLE
    yield _IS_EQUAL, 0, 10, RT_TABLE_MAIN
    yield _LOAD_BYTE, 0, 0, _PROTOCOL
    yield _IS_EQUAL, 7, 0, PROTOCOL
    yield _LOAD_VALUE, 0, 0, _ATTRIBUTES
    yield _SET_X, 0, 0, RTA_PRIORITY
    yield _LOAD_WORD, 0, 0, _FIND_ATTRIBUTE
    yield _TO_X, 0, 0, 0
    yield _LOAD_WORD_AT_X, 0, 0, 4  # without a priority X is 0 and this the message's type: neither metric
    yield _IS_EQUAL, 1, 0, _as_loaded(METRIC)
    yield _IS_EQUAL, 0, 1, _as_loaded(BACKSTOP_METRIC)
    yield _RETURN, 0, 0, _EVERYTHING
    yield _RETURN, 0, 0, 0


def _as_loaded(number: int) -> int:
    """A number in host byte order as the filter loads it, which is in network byte order."""
    return socket.htonl(number)
