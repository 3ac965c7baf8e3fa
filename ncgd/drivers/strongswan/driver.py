"""One charon: follows what happens in it, and gives access to its tables."""

import asyncio
from contextlib import suppress
from pathlib import Path
from socket import if_nametoindex

from ncgd.drivers.port import Post
from ncgd.drivers.strongswan import parse
from ncgd.drivers.strongswan.charon import tun_interface
from ncgd.drivers.strongswan.tables import ConnectionTable, CredentialTable, SaTable
from ncgd.drivers.strongswan.transport import Commands, Events, Section, Stream
from ncgd.errors import DriverError, Unavailable
from ncgd.model.event import CharonLost, CharonUp, IkeFailed, SasRead, TunFound
from ncgd.model.secret import Vault

_SA_EVENTS = frozenset({"ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update"})
_LOG_EVENT = "log"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to reach the socket, doubling."""


class Strongswan:
    """A charon behind a VICI socket. Rows of other charons are the business of other instances.

    ``credentials``, ``connections`` and ``sas`` are its tables; writing raises Unavailable while there is no
    connection. Nothing is ever initiated or terminated but by a write.
    """

    def __init__(
        self,
        charon: str,
        socket: Path,
        vault: Vault,
        post: Post,
        *,
        poll_seconds: float = 1.0,
        answer_seconds: float = 5.0,
    ) -> None:
        """``poll_seconds``: how often SAs are read when nothing happens (their counters move).

        ``answer_seconds``: charon answers every command within that or counts as lost.
        """
        self._charon = charon
        self._socket = socket
        self._post = post
        self._poll_seconds = poll_seconds
        self._answer_seconds = answer_seconds
        self._commands: Commands | None = None
        self._loaded: dict[str, str] = {}
        self._changed = asyncio.Event()
        self.credentials = CredentialTable(self, vault)
        self.connections = ConnectionTable(self, self._loaded)
        self.sas = SaTable(self)

    async def call(self, command: str, message: Section) -> None:
        """Send one command. Raises Unavailable while there is no connection; see Commands.call."""
        if self._commands is None:
            raise Unavailable(f"charon {self._charon} cannot be reached at {self._socket}")
        await self._commands.call(command, message)
        self._changed.set()

    async def run(self) -> None:
        """Connect, post CharonUp, TunFound (userspace) and SasRead, then what changes; reconnect by itself."""
        pause = _FIRST_PAUSE
        told = ""
        while True:
            try:
                await self._follow()
            except DriverError as error:
                if self._commands is not None:
                    pause, told = _FIRST_PAUSE, ""
                self._commands = None
                if str(error) != told:
                    told = str(error)
                    self._post(CharonLost(charon=self._charon, reason=told))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _follow(self) -> None:
        """Work until the connection is lost; always ends by a DriverError."""
        stream = await Stream.open(self._socket, self._answer_seconds)
        events = Events(await self._second(stream), self._answer_seconds)
        commands = Commands(stream, self._answer_seconds)
        try:
            # Events are registered before anything is read, so no change falls between the two.
            await events.register((*sorted(_SA_EVENTS), _LOG_EVENT))
            await self._introduce(commands, stream.peer_pid())
            self._commands = commands
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(events))
                tasks.create_task(self._read(commands))
        except BaseExceptionGroup as ended:
            raise ended.exceptions[0] from None  # the one that ended the other task
        finally:
            commands.close()
            events.close()

    async def _second(self, first: Stream) -> Stream:
        try:
            return await Stream.open(self._socket, self._answer_seconds)
        except BaseException:
            first.close()
            raise

    async def _introduce(self, commands: Commands, pid: int) -> None:
        (answer,) = await commands.call("version")
        *connections, _ = await commands.call("list-conns", streams="list-conn")
        (keys,) = await commands.call("get-shared")
        self._loaded.clear()
        self._loaded.update(parse.loaded_digests(connections))
        tunnels = parse.loaded_keys(keys) | self._loaded.keys()
        self._post(CharonUp(charon=self._charon, version=parse.version(answer), tunnels=frozenset(tunnels)))
        interface = tun_interface(pid)
        if interface is not None:
            with suppress(OSError):  # it went meanwhile, and charon with it
                index = if_nametoindex(interface)
                self._post(TunFound(charon=self._charon, interface=interface, index=index))

    async def _listen(self, events: Events) -> None:
        async for event in events.follow():
            if event.name in _SA_EVENTS:
                self._changed.set()
            elif event.name == _LOG_EVENT:
                self._tell(event.message)

    def _tell(self, log: Section) -> None:
        failure = parse.failure(log)
        if failure is not None:
            self._post(IkeFailed(failure=failure))

    async def _read(self, commands: Commands) -> None:
        is_routine = False
        while True:
            # Cleared first: what happens while charon lists asks for another list.
            self._changed.clear()
            *answers, _ = await commands.call("list-sas", streams="list-sa")
            sas = parse.tunnel_sas(answers, self._loaded)
            self._post(SasRead(charon=self._charon, sas=sas, is_routine=is_routine))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._changed.wait()
            is_routine = not self._changed.is_set()
