"""The BGP speaker as ncgd sees it: one table of neighbours to write, sessions and paths as events."""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from pathlib import Path

from ncgd.drivers.exabgp import codec, render
from ncgd.drivers.exabgp.adj_rib_in import Sessions
from ncgd.drivers.exabgp.speaker import bridge
from ncgd.drivers.port import Post
from ncgd.errors import DriverError, Rejected, TimedOut, Unavailable
from ncgd.model import prefix
from ncgd.model.bgp import Neighbor
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import SpeakerLost, SpeakerUp

_READ_BYTES = 1 << 16
_TOUCH_SECONDS = 5.0
"""How often ExaBGP is asked for a sign of life: one that hangs says nothing, and its bridge answers on."""
_PAUSE_SECONDS = 0.1
"""Between attempts to reach the bridge."""


class Exabgp:
    """ExaBGP behind its bridge. Owns the configuration file and, through it, all of ExaBGP's neighbours."""

    def __init__(self, socket: Path, configuration: Path, post: Post, *, answer_seconds: float = 10.0) -> None:
        """``answer_seconds``: ExaBGP answers within that or counts as lost."""
        self._socket = socket
        self._configuration = configuration
        self._post = post
        self._answer_seconds = answer_seconds
        self._wanted: dict[str, Neighbor] = {}
        self._loaded: dict[str, codec.Loaded] = {}
        self._sessions = Sessions(post)
        self._writer: asyncio.StreamWriter | None = None
        self._is_ready = False
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[codec.Answer]] = {}
        self._writing = asyncio.Lock()
        self.neighbors = NeighborTable(self)

    async def run(self) -> None:
        """Connect, post SpeakerUp, sessions and tables, then what changes; reconnect by itself."""
        told = ""
        while True:
            try:
                await self._follow()
            except DriverError as error:
                if self._is_ready:
                    told = ""
                self._is_ready = False
                if str(error) != told:
                    told = str(error)
                    self._post(SpeakerLost(reason=told))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        """Work until the connection is lost; always ends by a DriverError."""
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError as error:
            raise Unavailable(f"ExaBGP's bridge cannot be reached at {self._socket}: {error.strerror}") from error
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._introduce())
                group.create_task(self._read(reader))
        except BaseExceptionGroup as ended:
            raise ended.exceptions[0] from None  # the one that ended the other task
        finally:
            self._writer.close()
            self._writer = None
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Unavailable("ExaBGP went away before it answered"))

    async def _introduce(self) -> None:
        version = await self._ask("version")
        await self._read_loaded()
        peers = frozenset(row.peer for row in self._loaded.values() if row.peer)
        self._post(SpeakerUp(version=version[0].removeprefix("exabgp ") if version else "", neighbors=peers))
        self._is_ready = True
        self._sessions.start({key: row.peer for key, row in self._loaded.items() if row.peer})
        self._send(codec.SYNC)
        while True:
            await asyncio.sleep(_TOUCH_SECONDS)
            await self._ask("version")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while True:
            try:
                data = await reader.read(_READ_BYTES)
            except OSError as error:
                raise Unavailable(f"the connection to ExaBGP's bridge broke: {error.strerror}") from error
            if not data:
                raise Unavailable("ExaBGP has ended, or has closed its connection to ncgd")
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line)
            await asyncio.sleep(0)

    def _take(self, line: bytes) -> None:
        try:
            message = codec.decode(line)
            if not isinstance(message, codec.Answer):
                self._sessions.take(message)
            elif (answer := self._answers.get(message.number)) and not answer.done():
                answer.set_result(message)
        except ValueError as error:
            raise Rejected(f"the bridge sent what no bridge of this version sends: {error}") from error

    def _send(self, data: bytes) -> None:
        if self._writer is None:
            raise Unavailable(f"ExaBGP's bridge cannot be reached at {self._socket}")
        self._writer.write(data)

    async def _ask(self, command: str) -> list[str]:
        """One command to ExaBGP; its answer without the verdict. Raises Unavailable, TimedOut, Rejected."""
        number = next(self._numbers)
        answer: asyncio.Future[codec.Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._send(codec.command(number, command))
            async with asyncio.timeout(self._answer_seconds):
                got = await answer
        except TimeoutError as error:
            raise TimedOut(f"ExaBGP did not answer {command!r} within {self._answer_seconds} s") from error
        finally:
            self._answers.pop(number, None)
        if not got.is_ok:
            raise Rejected(f"ExaBGP answered error to {command!r}: {' '.join(got.lines)}")
        return got.lines

    async def _read_loaded(self) -> None:
        self._loaded = codec.loaded(await self._ask("show neighbor configuration"))

    async def write(self, delta: Delta[str, Neighbor]) -> Outcome[str]:
        """See NeighborTable.write."""
        async with self._writing:
            failed = self._want(delta)
            if not self._is_ready:
                self._save(self._wanted)
                raise Unavailable(f"ExaBGP's bridge cannot be reached at {self._socket}; the file waits for its start")
            if not delta.set and self._strangers(delta.remove):
                return Outcome(failed=failed)  # the write that says which of them stay does without these as well
            renamed = self._renamed()
            self._sessions.forget(renamed, "the speaker has it under another name now")
            self._sessions.know({render.key_of(neighbor): peer for peer, neighbor in self._wanted.items()})
            try:
                if moved := self._moved():
                    await self._load({peer: row for peer, row in self._wanted.items() if peer not in moved})
                await self._load(self._wanted)
            finally:
                if renamed and self._writer is not None:  # who connects again asks anyway
                    self._send(codec.SYNC)
            return Outcome(failed=self._missing() | failed)

    def _want(self, delta: Delta[str, Neighbor]) -> dict[str, str]:
        """Take over what can be configured; returns what cannot, by peer."""
        failed = {}
        for peer in delta.remove:
            self._wanted.pop(peer, None)
        for peer, neighbor in delta.set.items():
            others = {render.key_of(other): name for name, other in self._wanted.items() if name != peer}
            try:
                render.block(neighbor)
            except Rejected as error:
                failed[peer] = str(error)
            else:
                if twin := others.get(render.key_of(neighbor)):
                    failed[peer] = f"{peer} cannot be configured: {twin} has the same two addresses"
                else:
                    self._wanted[peer] = neighbor
        return failed

    def _strangers(self, removed: frozenset[str]) -> set[str]:
        """Neighbours that an earlier ncgd has configured, and of which this driver has not been told yet."""
        return {row.peer for row in self._loaded.values() if row.peer} - self._wanted.keys() - removed

    def _renamed(self) -> set[str]:
        """Sessions that ExaBGP already has, under another peer's name or none."""
        names = {render.key_of(neighbor): peer for peer, neighbor in self._wanted.items()}
        return {key for key, row in self._loaded.items() if key in names and names[key] != row.peer}

    def _moved(self) -> set[str]:
        """Neighbours that are to be bound to another interface. ExaBGP does not see that change: remove them first."""
        return {
            peer
            for peer, neighbor in self._wanted.items()
            if (row := self._loaded.get(render.key_of(neighbor))) and row.interface != neighbor.interface
        }

    async def _load(self, neighbors: Mapping[str, Neighbor]) -> None:
        """Have ExaBGP run exactly these; sessions of which nothing changed are not touched."""
        last = self._save(neighbors)
        wanted = {render.key_of(row): render.description(row) for row in neighbors.values()}
        if _descriptions(self._loaded) != wanted:
            await self._ask("reload")
            await self._read_loaded()
            if last is not None and _descriptions(self._loaded) != wanted:
                self._put(last)  # ExaBGP would not even start with the other

    def _save(self, neighbors: Mapping[str, Neighbor]) -> str | None:
        """Write the file when it says something else. Returns what it said; None when there was none."""
        text = render.configuration(neighbors.values(), bridge(self._socket))
        last = None
        with contextlib.suppress(OSError):
            last = self._configuration.read_text()
        if last != text:
            self._put(text)
        return last

    def _put(self, text: str) -> None:
        """The file as a whole or not at all."""
        path = self._configuration
        fresh = path.with_name(path.name + ".new")
        try:
            fresh.touch(mode=0o640)  # the group is root's, or one that ncgd shares with an ExaBGP that is not root
            fresh.write_text(text)
            fresh.replace(path)
        except OSError as error:
            raise Rejected(f"ExaBGP's configuration {path} cannot be written: {error.strerror}") from error

    def _missing(self) -> dict[str, str]:
        """What ExaBGP did not take, by peer. It answers done to a reload whatever comes of it."""
        running = _descriptions(self._loaded)
        failed = {}
        for peer, neighbor in self._wanted.items():
            if running.get(render.key_of(neighbor)) != render.description(neighbor):
                failed[peer] = f"ExaBGP did not take the configuration of {peer}; its log says which line and why"
            elif lost := render.unspeakable(neighbor):
                failed[peer] = f"{peer} cannot carry {', '.join(prefix.texts(lost))}: no such family in this session"
        return failed


class NeighborTable:
    """Table ``neighbors``: Neighbor by peer name."""

    def __init__(self, speaker: Exabgp) -> None:
        self._speaker = speaker

    async def write(self, delta: Delta[str, Neighbor]) -> Outcome[str]:
        """Have ExaBGP run with what was written so far and this; returns when it does.

        The driver starts with nothing: the first write after a start that sets any must set every neighbour that is to
        stay, and removals before it wait for it. A removed neighbour is told so and drops our routes at once. Raises
        Unavailable while ExaBGP is away (the file is written all the same), TimedOut, Rejected when the file cannot be
        written.
        """
        return await self._speaker.write(delta)


def _descriptions(rows: Mapping[str, codec.Loaded]) -> dict[str, str]:
    return {key: row.description for key, row in rows.items()}
