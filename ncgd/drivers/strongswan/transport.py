"""VICI over asyncio: one connection for commands, one for events.

The codec is the ``vici`` package's (``Packet``, ``Message``); its blocking ``Session`` is not used, because it
cannot be cancelled, mixes events into answers, and is out of step after a timeout. The wire format is strongSwan's
``src/libcharon/plugins/vici/README.md``: four bytes of length, one of type, then a name and a message.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from socket import SO_PEERCRED, SOL_SOCKET
from typing import Any, NamedTuple

from vici import protocol
from vici.exception import DeserializationException

from ncgd.errors import Rejected, TimedOut, Unavailable

Section = Mapping[str, object]
"""A VICI message: keys to ``bytes``, lists of ``bytes``, or sections. ``str`` and ``int`` are welcome when sending."""

_LONGEST = 512 * 1024
Packet: Any = protocol.Packet
Message: Any = protocol.Message
"""The package has no annotations."""


class Event(NamedTuple):
    """An event as it came: its name and its message."""

    name: str
    message: Section


class Stream:
    """One VICI connection. Any failure, timeout or cancellation inside an exchange closes it for good."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: Path) -> None:
        self._reader = reader
        self._writer = writer
        self._socket = socket

    @classmethod
    async def open(cls, socket: Path, seconds: float) -> "Stream":
        """Connect to charon's socket. Raises Unavailable when nobody listens, TimedOut after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(str(socket), limit=_LONGEST)
        except TimeoutError as error:
            raise TimedOut(f"VICI socket {socket}: no connection within {seconds:g} s") from error
        except OSError as error:
            raise Unavailable(f"VICI socket {socket}: {error.strerror or error}; is charon running?") from error
        return cls(reader, writer, socket)

    def peer_pid(self) -> int:
        """Process id of the charon that listens (unix(7) SO_PEERCRED); 0 when it is in another pid namespace."""
        socket = self._writer.get_extra_info("socket")
        pid, _, _ = struct.unpack("3i", socket.getsockopt(SOL_SOCKET, SO_PEERCRED, struct.calcsize("3i")))
        return int(pid)

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        self._writer.close()

    async def send(self, packet: bytes) -> None:
        """Send one packet. Raises Unavailable when the connection is gone."""
        try:
            self._writer.write(struct.pack("!I", len(packet)) + packet)
            await self._writer.drain()
        except OSError as error:
            raise self._lost(error) from error

    async def receive(self) -> tuple[int, Event]:
        """The next packet: its type and its content (the name is empty unless it is an event).

        Raises Unavailable when charon closes the connection or sends what is not VICI.
        """
        try:
            (length,) = struct.unpack("!I", await self._reader.readexactly(4))
            if not 0 < length <= _LONGEST:
                raise Unavailable(f"VICI socket {self._socket}: a packet of {length} bytes; this is not charon")
            packet = Packet.parse(await self._reader.readexactly(length))
            name = packet.event_type.decode() if packet.response_type == Packet.EVENT else ""
            return packet.response_type, Event(name, Message.deserialize(packet.payload))
        except (OSError, EOFError) as error:
            raise self._lost(error) from error
        except (DeserializationException, struct.error, UnicodeDecodeError) as error:
            raise Unavailable(f"VICI socket {self._socket}: a packet that cannot be read") from error

    def _lost(self, error: Exception) -> Unavailable:
        detail = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        return Unavailable(f"VICI socket {self._socket}: charon closed the connection{detail}")


class Commands:
    """Commands one after another; a context manager that closes the connection.

    After a TimedOut or a cancellation the stream would be out of step, so it is closed: every later command
    raises Unavailable and the owner reconnects.
    """

    def __init__(self, stream: Stream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._is_open = True
        self._registered: set[str] = set()

    def close(self) -> None:
        """Drop the connection."""
        self._is_open = False
        self._stream.close()

    async def call(self, command: str, message: Section | None = None, streams: str = "") -> list[Section]:
        """Send a command and return its answers: the ``streams`` events in order, then the response, last.

        Raises Rejected (charon's own words) when it answers ``success=no`` or does not know the command,
        TimedOut when the whole answer is not there in time, Unavailable when the connection is gone.
        """
        async with self._turn:
            if not self._is_open:
                raise Unavailable(f"VICI command {command}: the connection is closed")
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._exchange(command, message, streams)
            except TimeoutError as error:
                self.close()
                raise TimedOut(f"VICI command {command}: no answer within {self._seconds:g} s") from error
            except (asyncio.CancelledError, Unavailable):
                self.close()
                raise

    async def _exchange(self, command: str, message: Section | None, streams: str) -> list[Section]:
        if streams and streams not in self._registered:
            await self._register(streams)
        await self._stream.send(Packet.request(command, Message.serialize(message) if message else None))
        answers: list[Section] = []
        while True:
            kind, event = await self._stream.receive()
            if kind == Packet.EVENT:
                answers.append(event.message)
            elif kind == Packet.CMD_RESPONSE:
                return [*answers, _accepted(command, event.message)]
            elif kind == Packet.CMD_UNKNOWN:
                raise Rejected(f"VICI command {command}: unknown to this charon")
            else:
                raise Unavailable(f"VICI command {command}: packet type {kind}; the stream is out of step")

    async def _register(self, name: str) -> None:
        """Streamed answers go to the asker only, so the registration stays for the life of the connection."""
        await self._stream.send(Packet.register_event(name))
        kind, _ = await self._stream.receive()
        if kind != Packet.EVENT_CONFIRM:
            raise Rejected(f"VICI event {name}: unknown to this charon")
        self._registered.add(name)


class Events:
    """A connection that only listens."""

    def __init__(self, stream: Stream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._early: list[Event] = []

    def close(self) -> None:
        """Drop the connection."""
        self._stream.close()

    async def register(self, names: Iterable[str]) -> frozenset[str]:
        """Register events one by one and return those that this charon knows (5.9.8 has no ``alert``)."""
        known = set()
        for name in names:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._stream.send(Packet.register_event(name))
                    if await self._is_confirmed():
                        known.add(name)
            except TimeoutError as error:
                self.close()
                raise TimedOut(f"VICI event {name}: no answer within {self._seconds:g} s") from error
        return frozenset(known)

    async def _is_confirmed(self) -> bool:
        while True:
            kind, event = await self._stream.receive()
            if kind != Packet.EVENT:
                return bool(kind == Packet.EVENT_CONFIRM)
            self._early.append(event)

    async def follow(self) -> AsyncIterator[Event]:
        """Every event, for ever; ends by Unavailable when charon goes. Must be read without pause.

        charon's queue per listener is unbounded, so a listener that does not read makes charon grow.
        """
        while self._early:
            yield self._early.pop(0)
        while True:
            kind, event = await self._stream.receive()
            if kind == Packet.EVENT:
                yield event


def _accepted(command: str, answer: Section) -> Section:
    if answer.get("success", b"yes") == b"yes":
        return answer
    words = answer.get("errmsg")
    text = words.decode(errors="replace") if isinstance(words, bytes) else "refused without a reason"
    raise Rejected(f"VICI command {command}: {text}")
