"""The prober against real hosts: silence, loss, load, and answers that are not for us."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address

import pytest

from ncgd.drivers.probe.codec import reply_sequence
from ncgd.drivers.probe.prober import Prober
from ncgd.model.delta import Delta
from ncgd.model.event import Event, ProbesRead
from ncgd.model.probe import Probe, Pulse
from ncgd.model.spec import Liveness
from tests.integration.netns import Namespace, veth

pytestmark = pytest.mark.root
FAST = Liveness(interval_seconds=0.02, misses=3, recovery_seconds=0.2)


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    with (
        Namespace("pb-gw") as gw,
        Namespace("pb-peer") as peer,
        veth(gw, "t1", "169.254.1.2/30", peer, "p1", "169.254.1.1/30"),
    ):
        yield gw, peer


class Bench:
    """A running prober of one tunnel, and what it last said."""

    def __init__(self, remote: str = "169.254.1.1") -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.prober = Prober(self._events.put_nowait)
        self.probe = Probe(
            tunnel="t", interface="t1", local=IPv4Address("169.254.1.2"), remote=IPv4Address(remote), settings=FAST
        )

    async def until(self, *pulses: Pulse, seconds: float = 10.0) -> ProbesRead:
        async with asyncio.timeout(seconds):
            while True:
                event = await self._events.get()
                told = event.probes.get("t") if isinstance(event, ProbesRead) else None
                if told is not None and told.vitality.pulse in pulses:
                    assert isinstance(event, ProbesRead)
                    return event

    def run_in(self, space: Namespace, scenario: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(self.prober.run())
            outcome = await self.prober.write(Delta(set={"t": self.probe}))
            assert not outcome.failed
            try:
                await scenario()
            finally:
                task.cancel()
                await asyncio.wait([task])

        space.call(lambda: asyncio.run(main()))


def drop(peer: Namespace, rule: str) -> None:
    """Drop what a rule matches on its way in."""
    table = f"table inet t {{\n chain c {{\n type filter hook input priority 0;\n {rule} drop;\n }}\n}}\n"
    peer.run("nft", "-f", "-", stdin=table)


def test_alive_dead_when_the_path_goes_silent_and_damped_back(pair: tuple[Namespace, Namespace]) -> None:
    gw, peer = pair
    bench = Bench()

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        await bench.until(Pulse.DEAD)
        peer.run("nft", "delete", "table", "inet", "t")
        await bench.until(Pulse.RECOVERING)
        await bench.until(Pulse.ALIVE)

    bench.run_in(gw, scenario)


def test_echoes_lost_while_packets_arrive_are_suspicion_first(pair: tuple[Namespace, Namespace]) -> None:
    gw, peer = pair
    bench = Bench()
    bench.probe = Probe(
        tunnel="t",
        interface="t1",
        local=bench.probe.local,
        remote=bench.probe.remote,
        settings=Liveness(interval_seconds=0.05, misses=3, recovery_seconds=0.2),
    )

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        peer.start("ping", "-i", "0.01", "169.254.1.2")
        await bench.until(Pulse.SUSPECT)

    bench.run_in(gw, scenario)


def test_a_peer_that_never_answers_stays_unproven(pair: tuple[Namespace, Namespace]) -> None:
    gw, peer = pair
    drop(peer, "icmp type echo-request")
    bench = Bench()

    async def scenario() -> None:
        for _ in range(2):
            told = await bench.until(Pulse.UNPROVEN, Pulse.DEAD)
            assert told.probes["t"].vitality.pulse == Pulse.UNPROVEN

    bench.run_in(gw, scenario)


def test_an_interface_that_goes_down_is_a_dead_path_and_no_crash(pair: tuple[Namespace, Namespace]) -> None:
    gw, _ = pair
    bench = Bench()

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        gw.ip("link set t1 down")
        await bench.until(Pulse.DEAD)
        gw.ip("link set t1 up")
        await bench.until(Pulse.ALIVE)

    bench.run_in(gw, scenario)


def test_a_missing_interface_fails_that_tunnel_only(pair: tuple[Namespace, Namespace]) -> None:
    gw, _ = pair

    async def scenario() -> None:
        prober = Prober(lambda _: None)
        good = Bench().probe
        bad = Probe(tunnel="x", interface="gone", local=good.local, remote=good.remote, settings=FAST)
        outcome = await prober.write(Delta(set={"t": good, "x": bad}))
        assert list(outcome.failed) == ["x"]
        assert "gone" in outcome.failed["x"]
        await prober.write(Delta(remove=frozenset({"t", "x"})))

    gw.call(lambda: asyncio.run(scenario()))


@pytest.mark.parametrize("source", ["169.254.1.1", "169.254.1.9"])
def test_a_reply_that_is_not_to_our_echo_proves_nothing(pair: tuple[Namespace, Namespace], source: str) -> None:
    gw, peer = pair
    drop(peer, "icmp type echo-request")
    if source != "169.254.1.1":
        peer.ip(f"addr add {source}/32 dev p1")
    bench = Bench()

    def forge() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.bind((source, 0))
            for sequence in range(200):
                raw.sendto(struct.pack("!BBHHH", 0, 0, 0, 1, sequence) + bytes(16), ("169.254.1.2", 0))

    async def scenario() -> None:
        await asyncio.to_thread(peer.call, forge)
        told = await bench.until(Pulse.UNPROVEN, Pulse.ALIVE)
        assert told.probes["t"].vitality.pulse == Pulse.UNPROVEN

    bench.run_in(gw, scenario)


def test_the_codec_takes_only_whole_replies_with_our_token() -> None:
    token = bytes(range(16))
    good = struct.pack("!BBHHH", 0, 0, 0, 7, 42) + token
    assert reply_sequence(good, token, has_ip_header=False) == 42
    assert reply_sequence(b"\x45" + bytes(19) + good, token, has_ip_header=True) == 42
    for bad in (b"", good[:-1], good + b"x", b"\x08" + good[1:], good[:-1] + b"\xff", bytes(5)):
        assert reply_sequence(bad, token, has_ip_header=False) is None
