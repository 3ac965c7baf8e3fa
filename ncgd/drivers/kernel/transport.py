"""A netlink socket on the event loop: batches of changes, dumps, and notifications.

What the kernel refuses is a value (:class:`~ncgd.drivers.kernel.parse.Refusal`); what makes the conversation itself
fail is a DriverError, after which the socket is opened anew, so no late answer can be taken for another's.
"""

import asyncio
import errno
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.parse import Refusal
from ncgd.errors import Rejected, TimedOut, Unavailable


class Table(Protocol):
    """What a dump fills."""

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one message, whose body is ``data[start:end]``."""


T = TypeVar("T", bound=Table)

BATCH = 5000
"""Messages per send: some 15 ms of the kernel's time, in a thread. Changing threads is what costs on a busy machine."""

LINK, ADDRESS_V4, ROUTE_V4, ADDRESS_V6, ROUTE_V6, NEXTHOP = 1, 5, 7, 9, 11, 32
"""Multicast groups (``enum rtnetlink_groups``)."""

PORTS_MASK = 0xFFFF_FF00
PORTS = 0x4000_0000 | secrets.randbits(22) << 8
"""Port ids of our sockets: this block of 256. By it our own changes are told from those of others; the kernel itself
gives out process ids (below the block) and numbers above 0x7FFFFFFF."""

_BATCH_UNPRIVILEGED = 100
"""So many refusals fit the receive buffer of a process that may not enlarge it."""
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 1, 10, 11, 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
BUFFER = 8 << 20
_CHUNK = 1 << 16
_DUMP_ATTEMPTS = 8
_DUMP_PAUSE_SECONDS = 0.005
"""Before the second attempt, then ever longer: 1.2 s in all."""


class NetlinkSocket:
    """One rtnetlink socket for requests, opened at first use; its requests queue behind one another.

    Open one for each kind of work: what is urgent must not wait behind what is long. ``timeout`` in seconds
    bounds every batch and every attempt to dump.
    """

    def __init__(self, timeout: float = 10.0, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._timeout = timeout
        self._protocol = protocol
        self._lock = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._batch = BATCH
        # The kernel works inside send(): in a thread of its own, which needs no GIL meanwhile, it stops nobody.
        self._sender: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Close the socket; the next request opens a new one."""
        if self._socket and self._sender:
            self._sender.submit(self._socket.close)  # after a send that may still be under way
            self._sender.shutdown(wait=False)
        self._socket = self._sender = None

    async def send(self, messages: Sequence[bytes]) -> dict[int, Refusal]:
        """Have the kernel execute the messages in order and return the refusals by index.

        Each message carries its index in ``messages`` as sequence number. One refusal does not stop the others.
        Raises Rejected without CAP_NET_ADMIN, Unavailable, or TimedOut when the outcome is unknown.
        """
        refused: dict[int, Refusal] = {}
        async with self._conversation() as (connection, sender):
            loop = asyncio.get_running_loop()
            for first in range(0, len(messages), self._batch):
                batch = messages[first : first + self._batch]
                payload = bytearray(b"").join(batch)
                _ask_for_acknowledgement(payload, len(payload) - len(batch[-1]))
                await loop.run_in_executor(sender, connection.send, payload)
                await _collect(connection, first + len(batch) - 1, refused)
        return refused

    async def dump(self, request: bytes, empty: Callable[[], T]) -> T:
        """Read a table into an ``empty`` one.

        Begun again when the table changed underneath (NLM_F_DUMP_INTR). A table that does not exist is empty.
        Raises Rejected, Unavailable or TimedOut.
        """
        for attempt in range(_DUMP_ATTEMPTS):
            await asyncio.sleep(_DUMP_PAUSE_SECONDS * (2**attempt - 1))  # a storm passes
            async with self._conversation() as (connection, _):
                connection.send(request)
                table = empty()
                if await _receive_dump(connection, table):
                    return table
        raise TimedOut(f"netlink: the table changed during each of {_DUMP_ATTEMPTS} dumps; it is read again later")

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator[tuple[socket.socket, ThreadPoolExecutor]]:
        """The socket for one exchange; closed when that ends any other way than in order."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout):
                    yield self._open()
            except TimeoutError as error:
                self.close()
                raise TimedOut(f"netlink: no answer from the kernel within {self._timeout:g} s") from error
            except OSError as error:
                self.close()
                raise Unavailable(f"netlink: {error.strerror} (errno {error.errno})") from error
            except BaseException:  # cancelled or refused half-way: answers may still be queued
                self.close()
                raise

    def _open(self) -> tuple[socket.socket, ThreadPoolExecutor]:
        if self._socket is None:
            self._socket = _open_socket(self._protocol)
            self._batch = BATCH if _enlarge_buffers(self._socket) else _BATCH_UNPRIVILEGED
        if self._sender is None:
            self._sender = ThreadPoolExecutor(1, "netlink")
        return self._socket, self._sender


class Notifications:
    """What the kernel multicasts to some groups, condensed to the types of the messages."""

    def __init__(self, groups: Sequence[int], protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = open_listener(protocol=protocol)
        join(self._socket, groups)

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()

    async def wait(self) -> frozenset[int]:
        """Wait for news and return the types of all messages that have queued up.

        An empty set means that the kernel had to drop some (ENOBUFS): whatever was known must be read again.
        """
        loop = asyncio.get_running_loop()
        seen: set[int] = set()
        try:
            data = await loop.sock_recv(self._socket, _CHUNK)
            while True:
                seen.update(kind for kind, *_ in messages(data))
                data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return frozenset(seen)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return frozenset()
            raise Unavailable(f"netlink: {error.strerror} (errno {error.errno})") from error


def open_listener(receive_bytes: int = BUFFER, protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A socket with room for a burst of notifications; no group is joined yet. Raises Unavailable."""
    opened = _open_socket(protocol)
    _enlarge_buffers(opened, receive_bytes)
    return opened


def join(listener: socket.socket, groups: Sequence[int]) -> None:
    """Have the kernel send what it multicasts to these groups. Raises Unavailable; those of XFRM need CAP_NET_ADMIN."""
    try:
        for group in groups:
            listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError as error:
        listener.close()
        raise Unavailable(f"netlink: cannot listen: {error.strerror} (errno {error.errno})") from error


def _open_socket(protocol: int) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        text = f"netlink: no socket of protocol {protocol}: {error.strerror} (errno {error.errno})"
        raise Unavailable(text) from error
    opened.setblocking(False)
    for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    _bind(opened)  # an unbound socket is sent no notifications, and no error either
    return opened


def _bind(opened: socket.socket) -> None:
    for number in range(256):
        try:
            opened.bind((PORTS | number, 0))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise Unavailable("netlink: all 256 port ids of ncgd are taken")


def _enlarge_buffers(opened: socket.socket, receive_bytes: int = BUFFER) -> bool:
    """Room for a refusal of each message of a batch; False without CAP_NET_ADMIN."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
        opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, BUFFER)
    except PermissionError:
        return False
    return True


def _ask_for_acknowledgement(payload: bytearray, offset: int) -> None:
    length, kind, flags, sequence, port = codec.HEADER.unpack_from(payload, offset)
    codec.HEADER.pack_into(payload, offset, length, kind, flags | codec.NLM_F_ACK, sequence, port)


async def _collect(connection: socket.socket, last: int, refused: dict[int, Refusal]) -> None:
    """Read answers up to that of message ``last``, which is the only one to be acknowledged."""
    loop = asyncio.get_running_loop()
    while True:
        data = await loop.sock_recv(connection, _CHUNK)
        for kind, flags, sequence, start, end in messages(data):
            if kind != codec.NLMSG_ERROR:
                continue
            why = parse.refusal(kind, flags, data, start, end)
            if why and why.errno == errno.EPERM:
                raise Rejected("netlink: the kernel lets nobody change this without CAP_NET_ADMIN: grant it to ncgd")
            if why:
                refused[sequence] = why
            if sequence == last:
                return


async def _receive_dump(connection: socket.socket, table: Table) -> bool:
    """True when the dump is whole, False when the table changed underneath."""
    loop = asyncio.get_running_loop()
    is_whole = True
    while True:
        data = await loop.sock_recv(connection, _CHUNK)
        for kind, flags, _, start, end in messages(data):
            is_whole &= not flags & codec.NLM_F_DUMP_INTR
            if kind in (codec.NLMSG_ERROR, codec.NLMSG_DONE):
                why = parse.refusal(kind, flags, data, start, end)
                if why and why.errno != errno.ENOENT:
                    raise Rejected(f"netlink: the kernel refuses the dump: {why}")
                return is_whole
            table.fold(data, start, end)
        await asyncio.sleep(0)  # sock_recv does not give way while data is there


def messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Type, flags, sequence number, start and end of the body of each message in a datagram."""
    offset = 0
    while offset + codec.HEADER.size <= len(data):
        length, kind, flags, sequence, _ = codec.HEADER.unpack_from(data, offset)
        if length < codec.HEADER.size:
            return
        yield kind, flags, sequence, offset + codec.HEADER.size, offset + length
        offset += (length + 3) & ~3
