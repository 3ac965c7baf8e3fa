"""A driver that has just been started, and a speaker that an earlier ncgd has configured."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from ncgd.drivers.exabgp import codec, render
from ncgd.drivers.exabgp.driver import Exabgp
from ncgd.drivers.exabgp.speaker import bridge
from ncgd.errors import TimedOut
from ncgd.model.delta import Delta
from ncgd.model.event import Event, SpeakerRead
from tests.unit.exabgp.test_render import ONE

TWO = replace(
    ONE, peer="peer-2", local_address=ip_address("169.254.2.2"), peer_address=ip_address("169.254.2.1"), interface=None
)


class Speaker:
    """ExaBGP behind its bridge: it runs what the file says, and reads that when it is told to."""

    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration
        self.ran = [configuration.read_text()]
        """The configurations, one after another."""
        self.syncs = 0
        self.leaves_unanswered = 0
        """Which reload, counted from 1."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The bridge's end of one connection."""
        while line := await reader.readline():
            if line == codec.SYNC:
                self.syncs += 1
                writer.write(b'["synced"]\n')
                continue
            _, number, command = msgspec.json.decode(line)
            if command == "reload":
                self.ran.append(self._configuration.read_text())
                if len(self.ran) == 1 + self.leaves_unanswered:
                    continue
            lines = self.ran[-1].split("\n") if command == "show neighbor configuration" else ["exabgp 5.0.15"]
            writer.write(msgspec.json.encode(["answer", number, True, lines]) + b"\n")
        writer.close()


def test_a_removal_that_comes_first_takes_no_other_neighbour_along(tmp_path: Path) -> None:
    """What a new ncgd writes first may be a removal; it has not told the driver yet which neighbours stay."""
    path, configuration = tmp_path / "socket", tmp_path / "exabgp.conf"
    configuration.write_text(render.configuration([ONE, TWO], bridge(path)))
    speaker = Speaker(configuration)

    async def take_over() -> None:
        is_read = asyncio.Event()

        def post(event: Event) -> None:
            if isinstance(event, SpeakerRead):
                is_read.set()

        driver = Exabgp(path, configuration, post)
        async with await asyncio.start_unix_server(speaker.serve, path):
            running = asyncio.create_task(driver.run())
            await is_read.wait()
            await driver.neighbors.write(Delta(remove=frozenset({"peer-2"})))
            await driver.neighbors.write(Delta(set={"peer-1": ONE}))
            running.cancel()
            await asyncio.wait({running})

    asyncio.run(take_over())
    assert all('description "peer-1 ' in text for text in speaker.ran)
    assert "peer-2" not in speaker.ran[-1]


def test_a_session_that_got_another_name_is_told_again_though_the_write_did_not_end(tmp_path: Path) -> None:
    """It was told to be down, under the name that it had, and stayed so until it flapped."""
    path, configuration = tmp_path / "socket", tmp_path / "exabgp.conf"
    moved = replace(TWO, interface="ncg-tunnel-2")
    configuration.write_text(render.configuration([replace(ONE, peer="earlier"), TWO], bridge(path)))
    speaker = Speaker(configuration)
    speaker.leaves_unanswered = 2

    async def take_over() -> None:
        is_read = asyncio.Event()

        def post(event: Event) -> None:
            if isinstance(event, SpeakerRead):
                is_read.set()

        driver = Exabgp(path, configuration, post, answer_seconds=0.5)
        async with await asyncio.start_unix_server(speaker.serve, path):
            running = asyncio.create_task(driver.run())
            await is_read.wait()
            is_read.clear()
            wanted = Delta(set={"peer-1": ONE, "peer-2": moved})
            with pytest.raises(TimedOut):
                await driver.neighbors.write(wanted)
            assert not (await driver.neighbors.write(wanted)).failed
            async with asyncio.timeout(5):
                await is_read.wait()
            running.cancel()
            await asyncio.wait({running})

    asyncio.run(take_over())
    assert speaker.syncs == 2
