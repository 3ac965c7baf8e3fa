"""The prober against real hosts: silence, loss, load, and answers that are not for us."""

import asyncio
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ncgd.drivers.probe.codec import reply_sequence
from ncgd.drivers.probe.memory import Memory
from ncgd.drivers.probe.prober import Prober, next_beat
from ncgd.model.delta import Delta
from ncgd.model.probe import Pulse
from ncgd.model.spec import Liveness
from tests.integration.netns import Namespace, veth
from tests.integration.probe.bench import FAST, Bench, drop

pytestmark = pytest.mark.root


def test_alive_dead_when_the_path_goes_silent_and_damped_back(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        await bench.until(Pulse.DEAD)
        peer.run("nft", "delete", "table", "inet", "t")
        await bench.until(Pulse.RECOVERING)
        await bench.until(Pulse.ALIVE)

    bench.run_in(gw, scenario)


def test_echoes_lost_while_packets_arrive_are_suspicion_first(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    bench = Bench(memory)
    bench.probe = replace(bench.probe, settings=Liveness(interval_seconds=0.02, misses=100, recovery_seconds=0.2))

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        peer.start("ping", "-i", "0.002", "169.254.1.2")  # a load that was not there before
        await bench.until(Pulse.SUSPECT)

    bench.run_in(gw, scenario)


def test_a_path_that_loses_three_echoes_of_four_is_lossy(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request numgen inc mod 4 < 3")
        for _ in range(3):  # seconds, each of 50 beats
            told = await bench.until(Pulse.ALIVE, Pulse.DEAD)
            assert told.probes["t"].vitality.pulse == Pulse.ALIVE
        assert told.probes["t"].loss > 0.4

    bench.run_in(gw, scenario)


def test_a_peer_that_never_answers_stays_unproven(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    drop(peer, "icmp type echo-request")
    bench = Bench(memory)

    async def scenario() -> None:
        for _ in range(2):
            told = await bench.until(Pulse.UNPROVEN, Pulse.DEAD)
            assert told.probes["t"].vitality.pulse == Pulse.UNPROVEN

    bench.run_in(gw, scenario)


def test_an_interface_that_goes_down_is_a_dead_path_and_no_crash(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, _ = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        gw.ip("link set t1 down")
        await bench.until(Pulse.DEAD)
        gw.ip("link set t1 up")
        await bench.until(Pulse.ALIVE)

    bench.run_in(gw, scenario)


def test_large_packets_that_get_lost_are_told_while_the_path_is_alive(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        await bench.until_told(lambda report: report.large_lost == 0)
        drop(peer, "icmp type echo-request meta length > 1000")
        told = await bench.until_told(lambda report: (report.large_lost or 0) >= 3)
        assert told.vitality.pulse == Pulse.ALIVE
        peer.run("nft", "delete", "table", "inet", "t")
        await bench.until_told(lambda report: report.large_lost == 0)

    bench.run_in(gw, scenario)


def test_a_missing_interface_fails_that_tunnel_only(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, _ = pair

    async def scenario() -> None:
        prober = Prober(lambda _: None, Memory(memory))
        good = Bench(memory).probe
        bad = replace(good, tunnel="x", interface="gone")
        outcome = await prober.write(Delta(set={"t": good, "x": bad}))
        assert list(outcome.failed) == ["x"]
        assert "gone" in outcome.failed["x"]
        await prober.write(Delta(remove=frozenset({"t", "x"})))

    gw.call(lambda: asyncio.run(scenario()))


def test_the_codec_takes_only_whole_replies_with_our_token_and_identifier() -> None:
    token = bytes(range(16))
    good = struct.pack("!BBHHH", 0, 0, 0, 7, 42) + token
    header = b"\x45" + bytes(19)
    assert reply_sequence(good, token, None) == 42
    assert reply_sequence(header + good, token, 7) == 42
    assert reply_sequence(header + good, token, 8) is None
    for bad in (b"", good[:-1], b"\x08" + good[1:], good[:-1] + b"\xff", bytes(5)):
        assert reply_sequence(bad, token, None) is None
        assert reply_sequence(header + bad, token, 7) is None


def test_beats_of_equal_intervals_fall_together_and_are_never_much_too_short() -> None:
    assert next_beat(7.0, 0.1) == pytest.approx(7.1)
    assert next_beat(7.003, 0.1) == next_beat(7.009, 0.1) == pytest.approx(7.1)
    for late in range(0, 100, 7):
        now = 7.0 + late / 1000
        assert 0.089 < next_beat(now, 0.1) - now < 0.191


PEER = """
import socket, struct, sys
how, deaf = sys.argv[1], set()
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
waiting = []
while True:
    packet, (source, _) = raw.recvfrom(2048)
    kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", packet, 20)
    if kind != 8:
        continue
    token, origin, times = packet[28:], "169.254.1.1", 1
    if how == "another source":
        origin = "169.254.1.9"
    elif how == "another identifier":
        identifier ^= 1
    elif how == "another sequence":
        sequence = (sequence + 100) & 0xFFFF
    elif how == "another payload":
        token = token[::-1]
    elif how == "a request":
        kind = 8
    elif how == "duplicated":
        times = 5
    elif how == "other interface":
        origin = None
    elif how == "one in three":
        times = sequence % 3 == 0
    if how != "a request":
        kind = 0
    body = struct.pack("!HH", identifier, sequence) + token
    total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + (kind << 8)
    total = (total >> 16) + (total & 0xFFFF)
    message = struct.pack("!BBH", kind, 0, ~(total + (total >> 16)) & 0xFFFF) + body
    waiting += [message] * times
    if how == "reordered" and len(waiting) < 3:
        continue
    for each in reversed(waiting):
        out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        if origin:
            out.bind((origin, 0))
        else:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"p2")
            out.bind(("169.254.1.1", 0))
        out.sendto(each, (source, 0))
    waiting.clear()
"""
"""Answers echo in the kernel's place, in its own way."""


@pytest.fixture
def strange(pair: tuple[Namespace, Namespace], request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """The gateway; its peer answers in a strange way, and has a second link to it."""
    gw, peer = pair
    peer.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    peer.ip("addr add 169.254.1.9/32 dev p1")
    with veth(gw, "t2", "169.254.3.2/30", peer, "p2", "169.254.3.1/30"):
        peer.ip("route add 169.254.1.2/32 via 169.254.3.2 dev p2 table 7")
        peer.ip("rule add oif p2 lookup 7")
        peer.start(sys.executable, "-c", PEER, request.param)
        yield gw


@pytest.mark.parametrize(
    "strange",
    ["another source", "another identifier", "another sequence", "another payload", "a request", "other interface"],
    indirect=True,
)
def test_what_is_no_answer_to_our_echo_proves_nothing(strange: Namespace, memory: Path) -> None:
    bench = Bench(memory)

    async def scenario() -> None:
        told = await bench.until_told(lambda report: report.loss == 1.0)
        assert told.vitality.pulse == Pulse.UNPROVEN

    bench.run_in(strange, scenario)


@pytest.mark.parametrize(
    ("strange", "loss"), [("duplicated", 0.0), ("reordered", 0.0), ("one in three", 0.66)], indirect=["strange"]
)
def test_answers_that_come_twice_or_in_disorder_or_only_now_and_then_keep_a_tunnel_alive(
    strange: Namespace, memory: Path, loss: float
) -> None:
    bench = Bench(memory)
    # Who answers here is a process, which may have to wait for a CPU.
    bench.probe = replace(bench.probe, settings=replace(FAST, interval_seconds=0.1, misses=6))

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        for _ in range(4):
            told = await bench.until(*Pulse)
            assert told.probes["t"].vitality.pulse == Pulse.ALIVE
        assert told.probes["t"].loss == pytest.approx(loss, abs=0.25)

    bench.run_in(strange, scenario)


def test_the_next_prober_takes_a_dead_path_for_dead_until_it_answers(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, peer = pair
    first, second, third = Bench(memory), Bench(memory), Bench(memory)

    async def dies() -> None:
        await first.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        await first.until(Pulse.DEAD)

    first.run_in(gw, dies)
    second = Bench(memory)

    async def is_still_dead() -> None:
        for _ in range(2):
            told = await second.until(*Pulse)
            assert told.probes["t"].vitality.pulse == Pulse.DEAD
        peer.run("nft", "delete", "table", "inet", "t")
        await second.until(Pulse.ALIVE)

    second.run_in(gw, is_still_dead)
    third = Bench(memory)

    async def is_alive_from_the_first() -> None:
        told = await third.until(*Pulse)
        assert told.probes["t"].vitality.pulse == Pulse.ALIVE

    third.run_in(gw, is_alive_from_the_first)


def test_a_path_through_another_interface_of_the_same_name_is_another_path(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, peer = pair
    first = Bench(memory)

    async def lives() -> None:
        await first.until(Pulse.ALIVE)

    first.run_in(gw, lives)
    drop(peer, "icmp type echo-request")
    gw.ip("link del t1")
    with veth(gw, "t1", "169.254.1.2/30", peer, "p1", "169.254.1.1/30"):
        second = Bench(memory)

        async def is_unproven() -> None:
            told = await second.until(*Pulse)
            assert told.probes["t"].vitality.pulse == Pulse.UNPROVEN

        second.run_in(gw, is_unproven)


def test_a_memory_that_is_broken_or_of_another_boot_or_not_writable_costs_nothing_else(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, _ = pair
    for content in ("", "{", "[]", '{"boot": "other", "pulses": {}}', '{"boot": 3}', '{"pulses": 3}', "\0" * 100):
        memory.write_text(content)
        assert Memory(memory).recall() == {}
    memory.write_bytes(b"\xff\xfe")
    assert Memory(memory).recall() == {}
    bench = Bench(memory.parent / "not there" / "pulses.json")

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)

    bench.run_in(gw, scenario)


def test_a_tunnel_that_is_probed_no_more_is_told_of_no_more(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, _ = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        await bench.prober.write(Delta(remove=frozenset({"t"})))
        assert not (await bench.next()).probes

    bench.run_in(gw, scenario)
