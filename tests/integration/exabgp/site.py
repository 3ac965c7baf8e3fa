"""A gateway namespace with the real speaker and bridge under our driver, and two peers."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from ncgd.drivers.exabgp.driver import Exabgp
from ncgd.drivers.exabgp.speaker import launch
from ncgd.model import prefix
from ncgd.model.bgp import Advertisement, Attributes, Neighbor
from ncgd.model.delta import Delta
from ncgd.model.event import (
    AdjRibInRead,
    EndOfRib,
    Event,
    PathsLearned,
    PathsWithdrawn,
    SessionDown,
    SessionUp,
    SpeakerLost,
    SpeakerUp,
)
from ncgd.model.prefix import Prefix
from tests.integration.exabgp.bird import PEER_ASN, Bird
from tests.integration.netns import Condition, Namespace, veth

T = TypeVar("T")
LOCAL_ASN = 65010


class Mailbox:
    """Keeps every event, folds them as ncgd would, and waits for what they add up to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.paths: dict[str, dict[Prefix, Attributes]] = {}
        self.ended: dict[str, set[int]] = {}
        self.up: dict[str, SessionUp] = {}
        self.speaker: SpeakerUp | None = None
        self._arrived = asyncio.Event()

    def post(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case SpeakerUp():
                self.speaker = event
            case SpeakerLost():
                self.speaker = None
            case SessionUp(peer=peer):
                self.up[peer], self.paths[peer], self.ended[peer] = event, {}, set()
            case SessionDown(peer=peer):
                self.up.pop(peer, None)
                self.paths.pop(peer, None)
            case AdjRibInRead(peer=peer, paths=paths, families_ended=ended):
                self.paths[peer], self.ended[peer] = dict(paths), set(ended)
            case EndOfRib(peer=peer, version=version):
                self.ended[peer].add(version)
            case PathsLearned(peer=peer, attributes=attributes, prefixes=prefixes):
                self.paths[peer].update(dict.fromkeys(prefixes, attributes))
            case PathsWithdrawn(peer=peer, prefixes=prefixes):
                for row in prefixes:
                    self.paths[peer].pop(row, None)
        self._arrived.set()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def prefixes(self, peer: str) -> list[str]:
        """What a peer has advertised, as sorted texts."""
        return prefix.texts(self.paths.get(peer, {}))

    async def until(self, probe: Condition[T], what: str, seconds: float = 60.0) -> T:
        """Wait until ``probe`` is true, which may also ask BIRD; AssertionError after the deadline."""
        deadline = asyncio.get_running_loop().time() + seconds * float(os.environ.get("NCGD_TIME_SCALE", "1"))
        while not (value := probe()):
            assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._arrived.wait()
        return value


class Site:
    """``peer-1`` and ``peer-2``, each on a link of its own, IPv4 (169.254.N.0/30) and IPv6 (fd00:N::/64)."""

    def __init__(self, gateway: Namespace, peers: list[Namespace], folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.socket = folder / "bridge.sock"
        self.configuration = folder / "exabgp.conf"
        self.birds = [Bird(space, folder, f"169.254.{n}.1", f"169.254.{n}.2") for n, space in enumerate(peers, 1)]
        self.spaces = peers
        self._speaker: subprocess.Popen[str] | None = None

    @property
    def log(self) -> str:
        """What ExaBGP and the bridge said."""
        return (self.folder / "exabgp.log").read_text()

    @property
    def speaker_pid(self) -> int:
        assert self._speaker is not None
        return self._speaker.pid

    def sockets(self) -> int:
        """How many sockets ExaBGP has open; it talks to the bridge by pipes."""
        count = 0
        for file in Path(f"/proc/{self.speaker_pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                count += str(file.readlink()).startswith("socket:")
        return count

    def resets(self, peer: int) -> int:
        """How many connections the kernel of a peer has refused."""
        names, values = (line.split() for line in self.spaces[peer].run("grep", "Tcp:", "/proc/net/snmp").splitlines())
        return int(dict(zip(names, values, strict=True))["OutRsts"])

    def bridge_pid(self) -> int:
        """The bridge is ExaBGP's only child."""
        return self.bridges()[0]

    def bridges(self) -> list[int]:
        """ExaBGP's children, the oldest first; none while a dead one is being replaced."""
        return [
            int(pid) for pid in Path(f"/proc/{self.speaker_pid}/task/{self.speaker_pid}/children").read_text().split()
        ]

    def start_speaker(self) -> None:
        """Start ExaBGP as the supervisor would."""
        plan = launch(self.configuration, self.socket)
        for folder in plan.directories:
            folder.mkdir(parents=True, exist_ok=True)
        for file in plan.files:
            if not (file.is_seed and file.path.exists()):
                file.path.touch(mode=file.mode)
                file.path.write_text(file.text)
        self._speaker = self.gateway.start(*plan.argv, log=self.folder / "exabgp.log", env=dict(plan.environment))

    def kill_speaker(self) -> None:
        """SIGKILL, as the kernel would when memory is short."""
        assert self._speaker is not None
        self._speaker.kill()
        self._speaker.wait()

    def neighbor(self, number: int, *, med: int = 100, advertised: tuple[str, ...] = (), **more: object) -> Neighbor:
        """``peer-N`` over IPv4, or whatever ``more`` says."""
        values: dict[str, object] = {
            "peer": f"peer-{number}",
            "local_address": ip_address(f"169.254.{number}.2"),
            "peer_address": ip_address(f"169.254.{number}.1"),
            "local_asn": LOCAL_ASN,
            "peer_asn": PEER_ASN,
            "router_id": "169.254.1.2",
            "hold_seconds": 60,
            "interface": f"xb{number}",
            "advertisements": tuple(Advertisement(prefix=prefix.parse(text), med=med) for text in advertised),
        }
        return Neighbor(**{**values, **more})  # type: ignore[arg-type]

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[tuple[Exabgp, Mailbox]]:
        """Our driver, connected; ended without a word, like an ncgd that is killed."""
        mailbox = Mailbox()
        speaker = Exabgp(self.socket, self.configuration, mailbox.post)
        running = asyncio.create_task(speaker.run())
        try:
            await mailbox.until(lambda: mailbox.speaker, "the speaker is up")
            yield speaker, mailbox
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def wanted(*neighbors: Neighbor) -> Delta[str, Neighbor]:
    """A delta that sets these."""
    return Delta(set={row.peer: row for row in neighbors})


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Namespaces, links and a started speaker; all gone afterwards."""
    with (
        Namespace("xb-gw") as gateway,
        Namespace("xb-p1") as one,
        Namespace("xb-p2") as two,
        veth(gateway, "xb1", "169.254.1.2/30", one, "gw", "169.254.1.1/30"),
        veth(gateway, "xb2", "169.254.2.2/30", two, "gw", "169.254.2.1/30"),
    ):
        for number, space in enumerate((one, two), 1):
            gateway.ip(f"addr add fd00:{number}::2/64 dev xb{number} nodad")
            space.ip(f"addr add fd00:{number}::1/64 dev gw nodad")
        made = Site(gateway, [one, two], folder)
        made.start_speaker()
        yield made
