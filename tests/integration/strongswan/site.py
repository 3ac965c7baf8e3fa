"""A gateway namespace with real charons under our driver, and two peers that our code has no part in.

The peers are configured by hand-written messages over the ``vici`` package's own blocking session.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from vici.session import Session

from ncgd.drivers.strongswan.charon import (
    Installation,
    find_installation,
    launch,
    socket_path,
    tun_interface,
)
from ncgd.drivers.strongswan.driver import Strongswan
from ncgd.model.delta import Delta
from ncgd.model.event import CharonUp, Event, SasRead
from ncgd.model.ike import Charon, Connection, Credential, DataplaneMode, SaState, TunnelSa
from ncgd.model.secret import Vault
from tests.integration.netns import Condition, Namespace, until

T = TypeVar("T")
LOCAL = IPv4Address("10.91.9.1")
"""Both tunnels start from this address."""
PUBLIC = "198.51.100.1"
"""What the peers know us as: 1:1 NAT as far as identities go."""


class Watch:
    """A mailbox for tests: keeps every event, and waits for what they add up to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived = asyncio.Event()

    def post(self, event: Event) -> None:
        self.events.append(event)
        self._arrived.set()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def sa(self, tunnel: str) -> TunnelSa | None:
        """The tunnel's SA in the latest table that each charon sent."""
        latest = {read.charon: read.sas for read in self.of(SasRead)}
        return next((sas[tunnel] for sas in latest.values() if tunnel in sas), None)

    def now(self, tunnel: str) -> TunnelSa:
        """The same of a tunnel that has one."""
        sa = self.sa(tunnel)
        assert sa is not None, f"{tunnel} has no SA"
        return sa

    async def until(self, probe: Condition[T], what: str, seconds: float = 60.0) -> T:
        """Wait for events until ``probe`` is true; AssertionError after the deadline."""
        try:
            async with asyncio.timeout(seconds * float(os.environ.get("NCGD_TIME_SCALE", "1"))):
                while not (value := probe()):
                    self._arrived.clear()
                    await self._arrived.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}; last: {self.events[-1:]}") from None

    async def installed(self, tunnel: str, besides: str = "", digest: str = "") -> TunnelSa:
        """Wait until the tunnel has an installed SA, of another IKE SA than ``besides``, of this digest."""

        def probe() -> TunnelSa | None:
            sa = self.sa(tunnel)
            good = sa and sa.state is SaState.INSTALLED and sa.ike_id != besides and sa.digest.startswith(digest)
            return sa if good else None

        return await self.until(probe, f"{tunnel} installed")


@dataclass
class Daemon:
    """A charon of the test, how it was started, and what is to be closed with the test."""

    charon: Charon
    directory: Path
    process: "subprocess.Popen[str]"
    cleanup: ExitStack

    def session(self) -> Any:
        """A session of the vici package, for what the test does behind the driver's back."""
        connection = self.cleanup.enter_context(socket.socket(socket.AF_UNIX))
        until(lambda: connection.connect_ex(str(socket_path(self.directory))) == 0, what=f"VICI of {self.charon.name}")
        return Session(connection)


def start(space: Namespace, charon: Charon, installation: Installation, directory: Path, cleanup: ExitStack) -> Daemon:
    """Start a charon in a namespace as a supervisor would."""
    plan = launch(charon, installation, directory)
    for folder in plan.directories:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in plan.files:
        file.path.touch(file.mode)
        file.path.write_text(file.text)
    return Daemon(
        charon, directory, space.start(*plan.argv, env=dict(plan.environment), log=directory / "output"), cleanup
    )


class Peer:
    """The far end of one tunnel: its own charon, one connection that accepts ours."""

    def __init__(self, number: int, space: Namespace, daemon: Daemon, device: str) -> None:
        self.number = number
        self.space = space
        self.daemon = daemon
        self.device = device
        self.session = daemon.session()

    def load(self, psk: bytes, *, is_kernel: bool, **changes: object) -> None:
        """(Re)load key and connection."""
        child = {
            "esp_proposals": ["aes256gcm16-ecp256", "aes128gcm16-ecp256", "aes128-sha1-modp1024"],
            "local_ts": ["0.0.0.0/0", "::/0"],
            "remote_ts": ["0.0.0.0/0", "::/0"],
        }
        if changes.get("version") == "1":
            child |= {"local_ts": ["0.0.0.0/0"], "remote_ts": ["0.0.0.0/0"]}
        connection = {
            "version": "2",
            "local_addrs": [f"10.91.{self.number}.2"],
            "proposals": ["aes256gcm16-prfsha256-ecp256", "aes128-sha1-modp1024"],
            "encap": "no" if is_kernel else "yes",
            "local": {"auth": "psk", "id": f"10.91.{self.number}.2"},
            "remote": {"auth": "psk", "id": PUBLIC},
            "children": {"esp": child},
            **({"if_id_in": "7", "if_id_out": "7"} if is_kernel else {}),
            **changes,
        }
        self.session.load_shared({"id": "key", "type": "IKE", "data": psk, "owners": [PUBLIC]})
        self.session.load_conn({"peer": connection})

    def ike_ids(self) -> list[str]:
        """Unique ids of the IKE SAs that the peer has."""
        return [sa["peer"]["uniqueid"].decode() for sa in self.session.list_sas() if "peer" in sa]


class Site:
    """Gateway and peers. Tunnel ``t0`` goes to peer 0, ``t1`` to peer 1."""

    def __init__(self, space: Namespace, mode: DataplaneMode, directory: Path, cleanup: ExitStack) -> None:
        self.space = space
        self.cleanup = cleanup
        self.mode = mode
        self.directory = directory
        self.installation = asyncio.run(find_installation())
        self.vault = Vault(b"salt")
        self.psks = {0: b"psk of tunnel zero", 1: b"psk of tunnel one"}
        self.charons: dict[str, Daemon] = {}
        self.peers: dict[int, Peer] = {}

    @property
    def is_kernel(self) -> bool:
        return self.mode is DataplaneMode.KERNEL

    def charon_name(self, number: int) -> str:
        return "charon" if self.is_kernel else f"charon-t{number}"

    def start_charon(self, name: str) -> Daemon:
        number = int(name[-1]) if not self.is_kernel else 0
        ports = (500, 4500) if number == 0 else (10501, 14501)
        charon = Charon(name=name, mode=self.mode, ike_port=ports[0], nat_port=ports[1])
        self.charons[name] = start(self.space, charon, self.installation, self.directory / name, self.cleanup)
        return self.charons[name]

    def replace_peer(self, number: int) -> None:
        """Kill a peer's charon without a word and start another in its place."""
        peer = self.peers.pop(number)
        peer.daemon.process.kill()
        peer.daemon.process.wait()
        if self.is_kernel:
            peer.space.ip(f"link del {peer.device}")
        self.add_peer(number, peer.space)

    def add_peer(self, number: int, space: Namespace) -> None:
        """Start a peer's charon with its device, and load it."""
        daemon = start(
            space, Charon(name="peer", mode=self.mode), self.installation, self.directory / space.name, self.cleanup
        )
        device = f"swy{number}"
        if self.is_kernel:
            space.ip(f"link add {device} type xfrm dev lo if_id 7")
            space.ip(f"link set {device} up")
        else:
            device = until(lambda: tun_interface(daemon.process.pid), what="TUN of the peer")
        space.ip(f"addr add 169.254.{number}.2 peer 169.254.{number}.1 dev {device}")
        self.peers[number] = Peer(number, space, daemon, device)
        self.peers[number].load(self.psks[number], is_kernel=self.is_kernel)

    def address(self, number: int) -> str:
        """Set the tunnel's inner address on our side (the kernel driver's work in the product); returns the device."""
        device = f"swx{number}"
        if self.is_kernel:
            self.space.ip(f"link add {device} type xfrm dev lo if_id {number + 1}")
            self.space.ip(f"link set {device} up")
        else:
            pid = self.charons[self.charon_name(number)].process.pid
            device = until(lambda: tun_interface(pid), what="our TUN")
        self.space.ip(f"addr add 169.254.{number}.1 peer 169.254.{number}.2 dev {device}")
        return device

    def ping(self, number: int, count: int = 2) -> bool:
        """True when every echo through the tunnel is answered."""
        return self.space.succeeds("ping", "-c", str(count), "-i", "0.1", "-W", "2", f"169.254.{number}.2")

    def driver(self, watch: Watch, number: int, **settings: float) -> Strongswan:
        """A driver for the charon of a tunnel."""
        name = self.charon_name(number)
        return Strongswan(name, socket_path(self.directory / name), self.vault, watch.post, **settings)

    def connection(self, number: int, **changes: Any) -> Connection:
        row = Connection(
            tunnel=f"t{number}",
            charon=self.charon_name(number),
            version=2,
            local_address=LOCAL,
            remote_address=IPv4Address(f"10.91.{number}.2"),
            local_id=PUBLIC,
            remote_id=f"10.91.{number}.2",
            if_id=number + 1 if self.is_kernel else None,
            ike_proposals=("aes256gcm16-prfsha256-ecp256",),
            esp_proposals=("aes256gcm16-ecp256",),
            ike_rekey_seconds=27_000,
            child_rekey_seconds=9_000,
            dpd_delay_seconds=2,
            digest="d1",
        )
        return replace(row, **changes)

    def credential(self, number: int, psk: bytes | None = None) -> Credential:
        ref = self.vault.put("kube-system", f"psk-{number}", self.psks[number] if psk is None else psk)
        name = self.charon_name(number)
        return Credential(tunnel=f"t{number}", charon=name, owner=f"10.91.{number}.2", secret=ref)


@contextmanager
def site(mode: DataplaneMode, directory: Path) -> Iterator[Site]:
    """A gateway with its charons running, and two peers that are ready to answer."""
    with ExitStack() as stack:
        gateway = stack.enter_context(Namespace("swg"))
        gateway.ip(f"addr add {LOCAL}/32 dev lo")
        made = Site(gateway, mode, directory, stack)
        spaces = [stack.enter_context(Namespace(f"swp{number}")) for number in (0, 1)]
        for number, space in enumerate(spaces):
            gateway.ip(f"link add swv{number} type veth peer name swv{number} netns {space.name}")
            for end, host in ((gateway, 1), (space, 2)):
                end.ip(f"addr add 10.91.{number}.{host}/24 dev swv{number}")
                end.ip(f"link set swv{number} up")
            space.ip(f"route add {LOCAL} via 10.91.{number}.1")
        for name in sorted({made.charon_name(number) for number in (0, 1)}):
            made.start_charon(name)
        for number, space in enumerate(spaces):
            made.add_peer(number, space)
        yield made


@asynccontextmanager
async def running(*drivers: Strongswan) -> AsyncIterator[None]:
    """The drivers run while inside, as tasks of the one loop."""
    tasks = [asyncio.create_task(driver.run()) for driver in drivers]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def bring_up(made: Site, watch: Watch, driver: Strongswan, number: int, **changes: Any) -> TunnelSa:
    """Load the tunnel's rows and initiate it, as the daemon's plan does; wait until it is installed."""
    tunnel, row = f"t{number}", made.connection(number, **changes)
    name = made.charon_name(number)
    await watch.until(lambda: any(up.charon == name for up in watch.of(CharonUp)), "CharonUp")
    assert not (await driver.credentials.write(Delta(set={tunnel: made.credential(number)}))).failed
    assert not (await driver.connections.write(Delta(set={tunnel: row}))).failed
    assert not (await driver.sas.write(Delta(set={tunnel: row}))).failed
    return await watch.installed(tunnel)
