"""Who does not read: ncgd absent or asleep, the bridge stopped. Sessions live, memory is bounded, nothing is lost."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ncgd.drivers.exabgp.repaired import UNREAD_BYTES
from ncgd.model.event import SessionDown
from tests.integration.exabgp.bird import Bird
from tests.integration.exabgp.site import Mailbox, Site, wanted

pytestmark = pytest.mark.root

MANY = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(10_000)]
FLAPS = 50
HOLD_SECONDS = 5


def megabytes(pid: int) -> float:
    """Proportional set size of a process."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(row.split()[1] for row in rows if row.startswith("Pss:"))) / 1024


def flap(bird: Bird, turn: int) -> None:
    """All prefixes change their attributes, a third of them goes and comes."""
    gone = turn % 3
    bird.set_routes(f"{each} {{ bgp_med = {turn}; }}" for n, each in enumerate(MANY) if n % 3 != gone)


def sent(bird: Bird) -> set[str]:
    """What BIRD exports now."""
    return {row.split()[0] for row in bird.ask("show route export togw").splitlines() if row.startswith("10.")}


async def settled(mailbox: Mailbox, bird: Bird) -> None:
    """Our table becomes exactly BIRD's, attributes included."""
    expected = sent(bird)
    assert len(expected) > 6000
    await mailbox.until(lambda: set(mailbox.prefixes("peer-1")) == expected, "the table is BIRD's", 60)
    await mailbox.until(lambda: len({path.med for path in mailbox.paths["peer-1"].values()}) == 1, "with its last MED")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("sleeps", [True, False], ids=["ncgd sleeps", "ncgd is absent"])
def test_a_flap_storm_while_ncgd_does_not_listen_costs_no_memory_and_loses_nothing(lab: Site, sleeps: bool) -> None:
    """Half a million changes: more than a busy hour."""

    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start(f"{each} {{ bgp_med = 0; }}" for each in MANY)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "all paths")
        session = bird.session()
        before = {pid: megabytes(pid) for pid in (lab.speaker_pid, lab.bridge_pid())}
        with socket.socket(socket.AF_UNIX) as sleeper:
            if sleeps:
                sleeper.connect(str(lab.socket))
                sleeper.sendall(b'["sync"]\n')
            for turn in range(1, FLAPS):
                flap(bird, turn)
                while bird.is_sending():
                    await asyncio.sleep(0.01)
            after = {pid: megabytes(pid) for pid in before}
        print(f"MB before and after, exabgp and bridge: {[(round(before[pid]), round(after[pid])) for pid in before]}")
        for pid, size in before.items():
            assert after[pid] < 2 * size + 10
        async with lab.driver() as (_, mailbox):
            await settled(mailbox, bird)
            assert not mailbox.of(SessionDown)
        assert bird.session() == session

    asyncio.run(scenario())


def test_a_bridge_that_stops_reading_holds_up_no_keepalive_and_loses_nothing(lab: Site) -> None:
    """ExaBGP by itself blocks in the write to its helper, until every session has expired."""

    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start(MANY)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, hold_seconds=HOLD_SECONDS)))
            await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "all paths")
            session, bridge = bird.session(), lab.bridge_pid()
            with stopped(bridge):
                ends, turn = time.monotonic() + 3 * HOLD_SECONDS, 0
                while time.monotonic() < ends and turn < 40:  # far more than the pipe takes, far less than too much
                    flap(bird, turn := turn + 1)
                    await asyncio.sleep(0.1)
                while time.monotonic() < ends:
                    await asyncio.sleep(0.1)
            await settled(mailbox, bird)
            assert lab.bridge_pid() == bridge
            assert bird.session() == session
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


def test_a_bridge_that_never_reads_again_is_replaced(lab: Site) -> None:
    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start(MANY)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, hold_seconds=HOLD_SECONDS)))
            await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "all paths")
            session, bridge = bird.session(), lab.bridge_pid()
            before, turn = megabytes(lab.speaker_pid), 0
            os.kill(bridge, signal.SIGSTOP)
            while lab.bridges() == [bridge]:
                flap(bird, turn := turn + 1)
                assert turn < 500
                assert megabytes(lab.speaker_pid) < before + 3 * UNREAD_BYTES / (1 << 20)
                await asyncio.sleep(0.02)
            await settled(mailbox, bird)
            assert bird.session() == session
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())
