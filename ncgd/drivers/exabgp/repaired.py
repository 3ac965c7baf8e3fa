"""The BGP speaker's program: ``python -I repaired.py CONFIGURATION`` is ``exabgp server CONFIGURATION`` with repairs.

ExaBGP 5.0 does fourteen things that would each break a promise of ours. Every repair replaces one small function and
says what was seen without it; nothing else of ExaBGP is touched, and an ExaBGP of another line is refused. Imports
nothing of ncgd, so that a running speaker does not depend on an ncgd that is being upgraded.
"""

import binascii
import contextlib
import importlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from types import SimpleNamespace
from typing import Any

OLDEST, NEWEST = (5, 0, 10), (5, 1)
"""First release of the line that these repairs are for, and the first that is another line."""

RETRY_SECONDS = 1.0
"""Pause after a failed connection or a lost session; the first retry comes at once."""

RECEIVE_BYTES = 16 << 10
"""The kernel doubles it: 6 000 prefixes. Over 50 ms of round trip still as fast as ExaBGP reads."""

UNREAD_BYTES = 16 << 20
"""More than this unread, and the bridge counts as hung: thirty full tables of 100 000 prefixes."""

BEHIND_MILLISECONDS = 10
"""How long the loop may sleep while a pipe is full."""

IDLE_MILLISECONDS = 200
"""How long the loop may sleep while every session is established; input of any kind wakes it up."""


def main() -> None:
    """Repair and run. Exits with a text when ExaBGP is missing or of another line."""
    try:
        version = metadata.version("exabgp")
    except metadata.PackageNotFoundError:
        sys.exit("exabgp is not installed for this Python; install 'exabgp>=5.0.10,<5.1'")
    if not OLDEST <= tuple(int(part) for part in version.split(".") if part.isdigit()) < NEWEST:
        sys.exit(f"exabgp {version} is not supported; install 'exabgp>=5.0.10,<5.1'")
    repair()
    _of("exabgp.application.server").main()


def repair() -> None:
    """Apply all repairs to the ExaBGP of this process."""
    _ask_no_resolver()  # first: the name is asked for when other modules are imported
    _steady_clock()
    _quick_retry()
    _short_syn()
    _press_back()
    _hang_up()
    _reload_always()
    _forget_errors()
    _withdraw_at_once()
    _say_goodbye()
    _sleep_when_idle()
    _never_wait_for_bridge()
    _debug_nothing()
    _leave_prefixes_packed()


def _of(module: str) -> Any:
    return importlib.import_module(module)


def _replace(owner: Any, name: str, by: object) -> Callable[..., Any]:
    """Returns what was there. Exits when nothing was: a repair that misses its place must not go unseen."""
    if not hasattr(owner, name):
        sys.exit(f"this exabgp has no {owner.__name__}.{name} to repair; install 'exabgp>=5.0.10,<5.1'")
    original: Callable[..., Any] = getattr(owner, name)
    setattr(owner, name, by)
    return original


def _ask_no_resolver() -> None:
    """The host's own name is resolved at the start, 5 s where DNS does not answer, for a capability nobody sends."""
    dns = _of("exabgp.util.dns")
    _replace(dns, "domain", dns.host)


def _steady_clock() -> None:
    """Hold and keepalive timers read the wall clock: a step of a minute tears down every session.

    So do ages of sessions, by which a bridge that was started later tells ncgd which session it is.
    """
    steady = SimpleNamespace(time=time.monotonic, strftime=time.strftime, gmtime=time.gmtime)
    for module in ("exabgp.bgp.timer", "exabgp.reactor.peer"):
        _replace(_of(module), "time", steady)


def _quick_retry() -> None:
    """The pause between attempts grows to 60 s, also for a peer whose BGP is just not up yet."""

    def reset(self: Any) -> None:
        self._next = 0.0
        self._time = time.monotonic()

    def increase(self: Any) -> None:
        self._time = time.monotonic() + self._next
        self._next = RETRY_SECONDS

    def backoff(self: Any) -> bool:
        return time.monotonic() < float(self._time)

    delay = _of("exabgp.reactor.delay").Delay
    for name, by in {"__init__": reset, "reset": reset, "increase": increase, "backoff": backoff}.items():
        _replace(delay, name, by)


def _short_syn() -> None:
    """A lost SYN is sent again after 1, 2, 4 … 32 s; given up after 3 s, the next attempt starts at once."""

    def impatient(*arguments: object) -> socket.socket:
        dialling: socket.socket = create(*arguments)
        dialling.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        return dialling

    create = _replace(_of("exabgp.reactor.network.outgoing"), "create", impatient)


def _press_back() -> None:
    """BIRD 2.0 forgets the last part of a table for 3 s when the kernels' buffers take all that it sends at once."""

    def narrow(*arguments: object) -> socket.socket:
        dialling: socket.socket = create(*arguments)
        dialling.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        return dialling

    create = _replace(_of("exabgp.reactor.network.outgoing"), "create", narrow)


def _hang_up() -> None:
    """A neighbour that is removed while it dials may leave its socket open: an error it met before refers to itself.

    The connection comes to be all the same. BIRD ends the session that the next neighbour has for it, and then waits
    four minutes for its OPEN, refusing every other.
    """

    def establish(self: Any) -> Iterator[bool]:
        try:
            yield from dial(self)
        except GeneratorExit:
            self.close()
            raise

    dial = _replace(_of("exabgp.reactor.network.outgoing").Outgoing, "establish", establish)


def _reload_always() -> None:
    """A reload is dropped, though answered with ``done``, while any neighbour has something unsent.

    A neighbour that never connected always has: one silent peer would freeze the configuration. The check kept two
    reloads from overtaking one another, which ``_withdraw_at_once`` makes impossible.
    """
    _replace(_of("exabgp.reactor.loop").Reactor, "_pending_adjribout", lambda _: False)


def _forget_errors() -> None:
    """One file that does not parse leaves the parser so that no file ever parses again, and may end the bridge."""

    def reload(self: Any) -> bool:
        processes = self.processes
        self._cleanup()
        is_good = bool(original(self))
        if not is_good:
            self.processes = processes
        return is_good

    original = _replace(_of("exabgp.configuration.configuration").Configuration, "reload", reload)


def _withdraw_at_once() -> None:
    """An advertisement that a reload removes is withdrawn only when the peer's next message comes: up to 20 s."""

    def reconfigure(self: Any, neighbor: Any) -> None:
        before = neighbor.previous.changes if neighbor.previous else []
        neighbor.rib.outgoing.replace_reload(before, neighbor.changes)
        neighbor.previous = None
        self.neighbor = neighbor

    _replace(_of("exabgp.reactor.peer").Peer, "reconfigure", reconfigure)


def _say_goodbye() -> None:
    """A removed neighbour only sees TCP close, and by graceful restart keeps our routes for the restart time.

    It is told Cease / Peer De-configured instead (RFC 4486), upon which it drops them at once.
    """
    goodbye = _of("exabgp.bgp.message").Notify(6, 3).message()

    def deconfigure(self: Any) -> None:
        if self.established() and self.proto and self.proto.connection.io:
            with contextlib.suppress(OSError):
                self.proto.connection.io.send(goodbye)
        remove(self)

    remove = _replace(_of("exabgp.reactor.peer").Peer, "remove", deconfigure)


class Unread:
    """What a bridge has not read yet. Its pipe never blocks us; a bridge that never reads again is killed."""

    def __init__(self, child: Any) -> None:
        self.child = child
        self._pipe = child.stdin.fileno()
        self._waiting = bytearray()
        os.set_blocking(self._pipe, False)

    def add(self, line: bytes) -> None:
        """Hand it on, or keep it until the pipe takes more."""
        self._waiting += line
        self.push()
        if len(self._waiting) > UNREAD_BYTES:
            self._waiting.clear()
            self.child.kill()

    def push(self) -> bool:
        """Hand on what the pipe takes; True when something is left."""
        while self._waiting:
            try:
                del self._waiting[: os.write(self._pipe, self._waiting)]
            except BlockingIOError:
                return True
            except OSError:  # it has died; the next one asks for everything
                self._waiting.clear()
        return False


def _never_wait_for_bridge() -> None:
    """A write to a bridge that does not read blocks, and with it every keepalive, until all sessions have expired.

    And one to a bridge that has just died stops all sessions, for good. Now what is not read waits here, and when that
    is too much, the bridge is killed: ExaBGP starts another, and each new bridge asks for all tables again.
    """
    pipes: dict[str, Unread] = {}

    def write(self: Any, process: str, line: str | None, _neighbor: object = None) -> bool:
        child = self._process.get(process)
        if child is not None and line is not None:
            pipe = pipes.get(process)
            if pipe is None or pipe.child is not child:
                pipe = pipes[process] = Unread(child)
            pipe.add(f"{line}\n".encode("ascii"))
        return True

    def wait_and_push(self: Any, milliseconds: int) -> Iterator[int]:
        for pipe in pipes.values():
            if pipe.push():
                milliseconds = min(milliseconds, BEHIND_MILLISECONDS)
        found: Iterator[int] = wait(self, milliseconds)
        return found

    _replace(_of("exabgp.reactor.api.processes").Processes, "write", write)
    wait = _replace(_of("exabgp.reactor.loop").Reactor, "_wait_for_io", wait_and_push)


def _sleep_when_idle() -> None:
    """The loop wakes up a hundred times a second, for peers that are connecting: 1 % of a core for nothing."""

    def patient(self: Any, milliseconds: int) -> Iterator[int]:
        is_idle = all(peer.established() for peer in self._peers.values())
        found: Iterator[int] = wait(
            self, max(milliseconds, IDLE_MILLISECONDS) if milliseconds and is_idle else milliseconds
        )
        return found

    wait = _replace(_of("exabgp.reactor.loop").Reactor, "_wait_for_io", patient)


def _debug_nothing() -> None:
    """Several debug lines are prepared for each message and prefix, and thrown away: a tenth of the time of a table."""
    _replace(_of("exabgp.logger").log, "debug", lambda *_arguments, **_more: None)


class Field:
    """All prefixes of one field of an UPDATE, as they came (RFC 4271 §4.3), where ExaBGP has an object for each."""

    __slots__ = ("_family", "_packed", "action", "nexthop")

    def __init__(self, family: object, packed: bytes, action: object) -> None:
        self._family = family
        self._packed = packed
        self.action = action
        self.nexthop: object = None

    def family(self) -> object:
        """ExaBGP's Family."""
        return self._family

    def json(self, *, compact: bool = True) -> str:
        """One JSON string: base64."""
        return f'"{binascii.b2a_base64(self._packed, newline=False).decode()}"' if compact else ""


def well_formed(packed: bytes, bits: int) -> bytes | None:
    """A field of prefixes with all host bits cleared, as equal prefixes must be equal bytes; ``bits`` of an address.

    None when a prefix is longer than an address, or longer than what is there.
    """
    at, end, dirty = 0, len(packed), []
    while at < end:
        length = packed[at]
        if length > bits:
            return None
        last = at + (length + 7 >> 3)
        if last >= end:
            return None
        if packed[last] & _HOST_BITS[length]:
            dirty.append((last, length))
        at = last + 1
    if dirty:
        cleared = bytearray(packed)
        for last, length in dirty:
            cleared[last] &= ~_HOST_BITS[length]
        return bytes(cleared)
    return packed


_HOST_BITS = bytes(0xFF >> (length % 8) if length % 8 else 0 for length in range(129))
"""Bits of a prefix's last byte that do not belong to it, by its length."""


def _leave_prefixes_packed() -> None:
    """An object and a JSON text for every prefix: a second for 100 000, where BIRD has installed them after one.

    ExaBGP still reads the messages and their attributes; a field with a mistake in it is left to ExaBGP to refuse.
    """
    family = _of("exabgp.protocol.family").Family
    unicast = _of("exabgp.protocol.family").SAFI.unicast

    def unpack(afi: Any, safi: Any, data: bytes, action: object, addpath: object) -> tuple[Any, bytes]:
        is_ours = safi == unicast and not addpath
        packed = well_formed(data, 128 if afi == 2 else 32) if is_ours else None
        if packed is None:
            found: tuple[Any, bytes] = original(afi, safi, data, action, addpath)
            return found
        return Field(family(afi, safi), packed, action), b""

    original = _replace(_of("exabgp.bgp.message.update.nlri").NLRI, "unpack_nlri", staticmethod(unpack))


if __name__ == "__main__":
    main()
