"""What stands between ExaBGP's pipe and ncgd: ``python -I -S bridge.py SOCKET``, started by ExaBGP.

ExaBGP has to be read from at all times, and ncgd comes and goes. So this process always reads, keeps the Adj-RIB-In
of each session, and gives ncgd at the unix socket the whole state and then every change, in order (README.md).
"""

from __future__ import annotations

import binascii
import fcntl
import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial

TYPE_CHECKING = False  # the module typing would be a third of our memory
if TYPE_CHECKING:
    from typing import Any

    Answered = Callable[[bool, list[str]], None]

PIPE_BYTES = 1 << 20
"""Size of ExaBGP's pipe, so that a burst does not wait for us."""
BEHIND_BYTES = 8 << 20
"""More edits than this unsent and the client is behind: it gets the tables again instead."""
CHUNK = 1000
"""Prefixes per line of a snapshot."""
REFRESH_SECONDS = 5.0
"""Without enhanced route refresh (RFC 7313) a refreshed table counts as whole after so long a silence."""
BEGIN_SECONDS = 30.0
"""So long a peer may take to begin. ExaBGP does not tell who speaks RFC 7313 before the peer does."""
RESTART_UNKNOWN = -1
"""The peer does graceful restart, but its OPEN was read by an earlier bridge."""

EVENT = b'{ "exabgp"'
"""ExaBGP's events start so; every other line belongs to the answer of a command."""

GRACEFUL = {
    "closing connection",
    "graceful restarted negotiated, closing without sending any notification",
    "stop, message [shutting down]",
}
"""ExaBGP's words for TCP closed without a NOTIFICATION, by either side."""


def line(*fields: object) -> bytes:
    """One message of ours: a JSON array in a line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def split(blocks: list[str]) -> list[bytes]:
    """The prefixes of some blocks (README.md), each as in an UPDATE. ExaBGP has checked them."""
    found = []
    for packed in map(binascii.a2b_base64, blocks):
        at, end = 0, len(packed)
        while at < end:
            start, at = at, at + 1 + (packed[at] + 7 >> 3)
            found.append(packed[start:at])
    return found


class Session:
    """One neighbour as ExaBGP reports it. ``tables``: by family, prefix as in an UPDATE to interned JSON of attributes.

    ``refreshing`` holds the families whose table is being asked for again; until it is None nobody is told the table.
    ``settled_at``: when silence makes it whole; ``is_delimited``: the peer says it. ``is_recovered``: came up before
    this bridge started, so ``since`` is right to a second or two only.
    """

    def __init__(self) -> None:
        self.restart: int | None = None
        self.reason, self.is_graceful = "", False
        self.begin(is_up=False)

    def begin(self, *, is_up: bool, since: float = 0.0) -> None:
        """Empty, as a session is when it comes or goes; ``since`` by the monotonic clock."""
        self.is_up, self.is_recovered = is_up, False
        self.since = since
        self.ended: list[int] = []
        self.tables: dict[str, dict[bytes, str]] = {}
        self.refreshing: set[str] | None = None
        self.settled_at: float | None = None
        self.is_delimited = False

    def lines(self, key: str) -> list[bytes]:
        """Everything about it."""
        if not self.is_up:
            return [line("down", key, self.reason, self.is_graceful)]
        lines = [line("begin", key, self.since, self.is_recovered, self.restart, self.ended)]
        for family, table in self.tables.items():
            groups: dict[str, list[bytes]] = {}
            for prefix, attributes in table.items():
                groups.setdefault(attributes, []).append(prefix)
            for attributes, prefixes in groups.items():
                head = f'["learn","{key}","{family}",{attributes},["'.encode()
                for start in range(0, len(prefixes), CHUNK):
                    block = binascii.b2a_base64(b"".join(prefixes[start : start + CHUNK]), newline=False)
                    lines.append(head + block + b'"]]\n')
        return [*lines, line("end", key)]


class Speaker:
    """ExaBGP's end: folds its events into sessions, and puts one command at a time to it.

    ``tell(key, fields)`` gets every change of a session; fields are None when its table has become whole.
    """

    def __init__(self, tell: Callable[[str, list[object] | None], None]) -> None:
        self.sessions: dict[str, Session] = {}
        self.unwritten = b""
        self._tell = tell
        self._commands: deque[tuple[str, Answered | None]] = deque()
        self._answer: list[str] = []

    def ask(self, command: str, then: Answered | None = None) -> None:
        """Queue a command; ``then`` gets its answer. The effect of some arrives as events, and nobody waits."""
        self._commands.append((command, then))
        if len(self._commands) == 1:
            self._put()

    def _put(self) -> None:
        self.unwritten += self._commands[0][0].encode("ascii", "replace") + b"\n"

    def hear(self, text: bytes) -> None:
        """Take one line of ExaBGP."""
        if text.startswith(EVENT):
            try:
                self._event(json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                sys.stderr.write(f"bridge: cannot read {text[:200]!r}: {error!r}\n")
        elif text not in {b"done", b"error"}:
            self._answer.append(text.decode("utf-8", "replace"))
        elif self._commands:
            _, then = self._commands.popleft()
            lines, self._answer = self._answer, []
            if self._commands:
                self._put()
            if then is not None:
                then(text == b"done", lines)

    def _event(self, event: dict[str, Any]) -> None:
        neighbor = event.get("neighbor")
        if neighbor is None:
            return
        key = f"{neighbor['address']['peer']} {neighbor['address']['local']}"
        session = self.sessions.setdefault(key, Session())
        kind = event["type"]
        if kind == "update":
            self._update(key, session, neighbor["message"])
        elif kind == "state":
            self._state(key, session, neighbor["state"], neighbor.get("reason", ""))
        elif kind == "open" and not session.is_up:
            session.restart = restart_seconds(neighbor["open"]["capabilities"].get("64"))
        elif kind == "refresh" and session.refreshing:
            self._refresh(key, session, neighbor["route-refresh"])

    def _state(self, key: str, session: Session, state: str, reason: str) -> None:
        if state == "up":
            session.begin(is_up=True, since=time.monotonic())
            self._tell(key, ["up", key, session.since, session.restart])
        elif state == "down" and (session.is_up or reason != session.reason):
            # Only a session can end gracefully: a refused connection is reported in the same words.
            session.reason = reason
            session.is_graceful = session.is_up and reason in GRACEFUL
            session.begin(is_up=False)
            self._tell(key, ["down", key, reason, session.is_graceful])
        if state == "down":
            session.restart = None

    def _update(self, key: str, session: Session, message: dict[str, Any]) -> None:
        if session.settled_at is not None:
            session.settled_at = time.monotonic() + REFRESH_SECONDS
        if "eor" in message:
            version = 6 if message["eor"]["afi"] == "ipv6" else 4
            if version not in session.ended:
                session.ended.append(version)
            self._tell(key, ["eor", key, version])
            return
        update = message["update"]
        for family, blocks in update.get("withdraw", {}).items():
            table = session.tables.setdefault(family, {})
            for prefix in split(blocks):
                table.pop(prefix, None)
            self._tell(key, ["withdraw", key, family, blocks])
        for family, hops in update.get("announce", {}).items():
            for hop, blocks in hops.items():
                attributes = {"next-hop": hop, **update.get("attribute", {})}
                text = sys.intern(json.dumps(attributes, separators=(",", ":")))
                session.tables.setdefault(family, {}).update(dict.fromkeys(split(blocks), text))
                self._tell(key, ["learn", key, family, attributes, blocks])

    def _refresh(self, key: str, session: Session, refresh: dict[str, str]) -> None:
        """RFC 7313: the peer says where its table begins and ends, so there is no need to guess from silence."""
        session.is_delimited, session.settled_at = True, None
        if refresh["subtype"] == "end" and session.refreshing:
            session.refreshing.discard(refresh["afi"])
            if not session.refreshing:
                self._settle(key, session)

    def _settle(self, key: str, session: Session) -> None:
        session.refreshing = session.settled_at = None
        self._tell(key, None)

    def tick(self) -> float | None:
        """Tables that went silent are whole. Returns seconds until there may be another; None: there is none."""
        now = time.monotonic()
        for key, session in self.sessions.items():
            if session.settled_at is not None and session.settled_at <= now:
                self._settle(key, session)
        return min((row.settled_at - now for row in self.sessions.values() if row.settled_at is not None), default=None)

    def recover(self) -> None:
        """Ask for what an earlier bridge knew: sessions that are up, and their tables by route refresh."""
        self.ask("show neighbor json", self._recovered)

    def _recovered(self, is_ok: bool, lines: list[str]) -> None:
        for neighbor in json.loads(lines[-1]) if is_ok and lines else []:
            peer, local = neighbor["peer"], neighbor["local"]
            session = self.sessions.setdefault(f"{peer['address']} {local['address']}", Session())
            if neighbor["fsm"] != "ESTABLISHED" or session.is_up:
                continue
            session.is_up = session.is_recovered = True
            session.since = time.monotonic() - neighbor["duration"]
            session.restart = RESTART_UNKNOWN if peer["capabilities"]["graceful-restart"] else None
            session.refreshing = {family.split()[0] for family in neighbor["families"]}
            session.ended = [6 if afi == "ipv6" else 4 for afi in session.refreshing]
            target = f"neighbor {peer['address']} local-ip {local['address']}"
            commands = [f"announce route-refresh {family}" for family in neighbor["families"]]
            if not peer["capabilities"]["route-refresh"]:
                commands = ["teardown 4"]  # graceful on both sides: the new session brings the table
            for command in commands:
                self.ask(f"{target} {command}", partial(self._asked, session) if command == commands[-1] else None)

    def _asked(self, session: Session, *_: object) -> None:
        """Only now silence means something: before, a busy ExaBGP may not have asked the peer at all."""
        if session.refreshing and not session.is_delimited:
            session.settled_at = time.monotonic() + BEGIN_SECONDS


def restart_seconds(graceful: dict[str, Any] | None) -> int | None:
    """From the peer's capability 64. Without a family it only helps others restart (RFC 4724 §3): BIRD by default."""
    return graceful["time"] if graceful and graceful["address-family-flags"] else None


class Client:
    """ncgd's end: one connection, and what it has not got yet.

    ``_unsent`` are the sessions whose state it must get whole; edits to those need not be sent.
    """

    def __init__(self, connection: socket.socket, speaker: Speaker) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._speaker = speaker
        self._unsent: dict[str, None] = {}
        self._wants = self._is_synced = False
        self._out: list[bytes] = []
        self._edits, self._in = 0, b""
        self._head = memoryview(b"")

    def tell(self, key: str, fields: list[object] | None) -> None:
        """An edit of a session; None: its table has become whole."""
        if not self._wants:
            return
        if fields is None:
            self._unsent[key] = None
        elif key not in self._unsent and self._speaker.sessions[key].refreshing is None:
            self._out.append(line(*fields))
            self._edits += len(self._out[-1])
            if self._edits > BEHIND_BYTES:
                self._out = [data for data in self._out if data.startswith(b'["answer"')]
                self._resync()

    def _resync(self) -> None:
        self._unsent = dict.fromkeys(self._speaker.sessions)
        self._is_synced = False
        self._edits = 0

    def has_something(self) -> bool:
        """True when there is something to send now."""
        if self._wants and not self._head and not self._out:
            sessions = self._speaker.sessions
            ready = next((key for key in self._unsent if sessions[key].refreshing is None), None)
            if ready is not None:
                del self._unsent[ready]
                self._out = sessions[ready].lines(ready)
            elif not self._unsent and not self._is_synced:
                self._is_synced = True
                self._out = [line("synced")]
        return bool(self._head or self._out)

    def write(self) -> None:
        """Send what fits. Raises OSError when the client is gone."""
        while self.has_something():
            if not self._head:
                self._head = memoryview(b"".join(self._out))
                self._out = []
                self._edits = 0
            try:
                self._head = self._head[self.connection.send(self._head) :]
            except BlockingIOError:
                return

    def read(self) -> None:
        """Take commands. Raises OSError when the client is gone, ValueError when it talks nonsense."""
        data = self.connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        *lines, self._in = (self._in + data).split(b"\n")
        for text in lines:
            message = json.loads(text)
            if message == ["sync"]:
                self._wants = True
                self._resync()
            else:
                _, number, command = message
                self._speaker.ask(command, partial(self._answer, number))

    def _answer(self, number: int, is_ok: bool, lines: list[str]) -> None:
        self._out.append(line("answer", number, is_ok, lines))


class Bridge:
    """Everything at once, in one loop."""

    def __init__(self, path: str) -> None:
        self._client: Client | None = None
        self._speaker = Speaker(self._tell)
        self._rest = b""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.path.lexists(path):
            os.unlink(path)  # noqa: PTH108 - pathlib costs a megabyte
        self._listener.bind(path)
        os.chmod(path, 0o660)  # noqa: PTH101 - where ExaBGP is not root, ncgd comes in by their common group
        self._listener.listen(4)
        for pipe in (0, 1):
            os.set_blocking(pipe, False)
        try:
            fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError as error:
            sys.stderr.write(f"bridge: the pipe stays small: {error}\n")  # /proc/sys/fs/pipe-max-size

    def _tell(self, key: str, fields: list[object] | None) -> None:
        if self._client is not None:
            self._client.tell(key, fields)

    def run(self) -> None:
        """Until ExaBGP closes the pipe."""
        self._speaker.recover()
        is_open = True
        while is_open:
            client = self._client
            reading: list[Any] = [0, self._listener, *([client.connection] if client else [])]
            writing: list[Any] = [1] if self._speaker.unwritten else []
            if client and client.has_something():
                writing.append(client.connection)
            readable, writable, _ = select.select(reading, writing, [], self._speaker.tick())
            if 0 in readable:
                is_open = self._hear()
            if 1 in writable:
                self._speaker.unwritten = self._speaker.unwritten[os.write(1, self._speaker.unwritten) :]
            if client:
                self._serve(client, is_readable=client.connection in readable)
            if self._listener in readable:
                self._replace(self._listener.accept()[0])

    def _hear(self) -> bool:
        data = os.read(0, PIPE_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            self._speaker.hear(text)
        return bool(data)

    def _serve(self, client: Client, *, is_readable: bool) -> None:
        try:
            if is_readable:
                client.read()
            client.write()
        except (OSError, ValueError, TypeError):
            self._replace(None)

    def _replace(self, connection: socket.socket | None) -> None:
        """The newest client wins: an ncgd that is being replaced may hang."""
        if self._client is not None:
            self._client.connection.close()
        self._client = Client(connection, self._speaker) if connection else None


if __name__ == "__main__":
    try:
        Bridge(sys.argv[1]).run()
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
