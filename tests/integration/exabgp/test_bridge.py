"""Any of the three processes may die or sleep; nothing is lost."""

import asyncio
import os
import signal
import socket

import pytest

from ncgd.model.event import AdjRibInRead, SessionDown, SessionUp, SpeakerLost
from tests.integration.exabgp.site import Site, wanted

pytestmark = pytest.mark.root

MANY = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(12_000)]


def test_a_new_ncgd_gets_the_whole_table(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(MANY)
        lab.birds[1].start(["10.2.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1), lab.neighbor(2)))
            await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "all paths")
            await mailbox.until(lambda: 4 in mailbox.ended["peer-1"] and 4 in mailbox.ended["peer-2"], "End-of-RIB")
        before = [bird.session() for bird in lab.birds]
        lab.birds[1].set_routes(["10.3.0.0/16"])
        async with lab.driver() as (_, mailbox):
            await mailbox.until(lambda: len(mailbox.of(AdjRibInRead)) == 2, "both tables")
            assert len(mailbox.paths["peer-1"]) == len(MANY)
            await mailbox.until(lambda: mailbox.prefixes("peer-2") == ["10.3.0.0/16"], "the change")
            assert mailbox.ended == {"peer-1": {4}, "peer-2": {4}}
            assert {up.restart_seconds for up in mailbox.of(SessionUp)} == {120}
            assert all(up.age_seconds > 0 for up in mailbox.of(SessionUp))
        assert [bird.session() for bird in lab.birds] == before

    asyncio.run(scenario())


def test_a_bridge_that_is_killed_is_replaced_and_gets_the_table_again(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(MANY)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.ended.get("peer-1") == {4}, "End-of-RIB")
            before = lab.birds[0].session()
            lost = len(mailbox.of(SpeakerLost))
            os.kill(lab.bridge_pid(), signal.SIGKILL)
            await mailbox.until(lambda: len(mailbox.of(SpeakerLost)) > lost, "the bridge is lost")
            await mailbox.until(lambda: mailbox.of(AdjRibInRead), "the table")
            assert len(mailbox.paths["peer-1"]) == len(MANY)
            assert mailbox.ended["peer-1"] == {4}
            lab.birds[0].set_routes(MANY[1:])
            await mailbox.until(lambda: len(mailbox.paths["peer-1"]) == len(MANY) - 1, "a change")
            assert lab.birds[0].session() == before
            assert len(mailbox.of(SessionUp)) == 1
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


def test_a_bridge_that_is_killed_in_a_burst_takes_no_session_along(lab: Site) -> None:
    """ExaBGP by itself stops all sessions for good when it writes to a bridge that has just died."""

    async def scenario() -> None:
        lab.birds[0].start(MANY)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.up, "the session")
            os.kill(lab.bridge_pid(), signal.SIGKILL)
            await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "the whole table")
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


def test_a_speaker_that_is_killed_comes_back_with_its_sessions(lab: Site) -> None:
    """And the peer, by graceful restart, keeps our routes meanwhile."""

    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("10.9.0.0/16",))))
            await mailbox.until(lambda: mailbox.prefixes("peer-1") and bird.learned(), "paths both ways")
            lab.kill_speaker()
            await mailbox.until(lambda: mailbox.speaker is None, "the speaker is lost")
            assert bird.learned()
            lab.start_speaker()
            await mailbox.until(lambda: len(mailbox.of(SessionUp)) == 2, "the session is back")
            await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.1.0.0/16"], "the path")
            assert bird.learned() == {"10.9.0.0/16": 100}
            assert all(down.is_graceful for down in mailbox.of(SessionDown))

    asyncio.run(scenario())


def test_a_speaker_that_is_stopped_ends_gracefully(lab: Site) -> None:
    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("10.9.0.0/16",))))
            await mailbox.until(lambda: mailbox.prefixes("peer-1") and bird.learned(), "paths both ways")
            os.kill(lab.speaker_pid, signal.SIGTERM)
            await mailbox.until(lambda: mailbox.speaker is None, "the speaker is lost")
            assert all(down.is_graceful for down in mailbox.of(SessionDown))
            assert bird.learned()

    asyncio.run(scenario())


def test_an_ncgd_that_sleeps_costs_nothing_and_misses_nothing(lab: Site) -> None:
    """A client that asks for everything and never reads: the session lives, the next ncgd sees the last state."""

    async def scenario() -> None:
        lab.birds[0].start(MANY)
        with socket.socket(socket.AF_UNIX) as sleeper:
            async with lab.driver() as (speaker, mailbox):
                await speaker.neighbors.write(wanted(lab.neighbor(1)))
                await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == len(MANY), "all paths")
            sleeper.connect(str(lab.socket))
            sleeper.sendall(b'["sync"]\n')
            for turn in range(3):
                lab.birds[0].set_routes(MANY[turn % 2 * 6000 :])
            lab.birds[0].set_routes(MANY[:5000])
            async with lab.driver() as (_, mailbox):
                await mailbox.until(lambda: len(mailbox.paths.get("peer-1", ())) == 5000, "the last state")
                assert not mailbox.of(SessionDown)

    asyncio.run(scenario())
