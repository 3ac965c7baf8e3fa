"""Logs that grow without end are cut to their ends, under the programs that write them."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from ncgd.daemon import log_files
from ncgd.daemon.log_files import LARGEST_BYTES, shorten
from ncgd.daemon.supervise import Supervisor
from ncgd.model.delta import Delta
from ncgd.model.event import Event, ProcessChanged
from ncgd.model.process import Launch

LINE = b"12[IKE] something that happens again and again, and is told again and again\n"


def test_a_log_of_four_gigabytes_leaves_its_end(tmp_path: Path) -> None:
    (tmp_path / "charon-1").mkdir()
    flooded = tmp_path / "charon-1" / "charon.log"
    with flooded.open("ab") as stream:
        stream.truncate(4 << 30)
        stream.write(LINE)
        stream.flush()
        (told,) = shorten(tmp_path)
        assert told == f"{flooded} had 4096 MiB and was emptied; its end is in charon.log.1"
        stream.write(b"it goes on\n")
    assert flooded.read_bytes() == b"it goes on\n", "no hole where the old lines were"
    end = tmp_path / "charon-1" / "charon.log.1"
    assert end.stat().st_size == LARGEST_BYTES
    assert end.stat().st_mode & 0o777 == 0o600
    assert end.read_bytes().endswith(LINE)
    assert shorten(tmp_path) == []


def test_a_log_whose_end_cannot_be_kept_is_emptied_all_the_same(tmp_path: Path) -> None:
    """A full disk: what has filled it has to go."""
    (tmp_path / "exabgp.log.1").mkdir()
    (tmp_path / "exabgp.log.1" / "x").touch()
    os.truncate(os.open(tmp_path / "exabgp.log", os.O_CREAT | os.O_WRONLY), LARGEST_BYTES + 1)
    (told,) = shorten(tmp_path)
    assert "was emptied; its end is lost: " in told
    assert (tmp_path / "exabgp.log").stat().st_size == 0


def test_what_a_program_floods_is_bounded_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LOOK_SECONDS", 0.05)
    log = tmp_path / "it.log"
    events: list[Event] = []

    async def launch(_: str, __: object) -> Launch:
        flood = "i=0; while [ $i -lt 30 ]; do head -c 1000000 /dev/zero; i=$((i+1)); done"
        return Launch(argv=("sh", "-c", f"{flood}; while sleep 0.1; do echo done; done"))

    async def scenario() -> None:
        supervisor = Supervisor(tmp_path, launch, events.append)
        task = asyncio.ensure_future(supervisor.run())
        await asyncio.sleep(0)
        await supervisor.write(Delta(set={"it": "row"}))
        async with asyncio.timeout(30):
            while not (log.exists() and log.stat().st_size < LARGEST_BYTES and _says_done(tmp_path)):
                await asyncio.sleep(0.01)
        ups = [event for event in events if isinstance(event, ProcessChanged) and event.is_running]
        assert len(ups) == 1, "the program has noticed nothing"
        await supervisor.write(Delta(remove=frozenset({"it"})))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * LARGEST_BYTES + 1000


def _says_done(folder: Path) -> bool:
    with suppress(FileNotFoundError):  # it is being replaced
        return any(path.read_bytes().endswith(b"done\n") for path in folder.glob("it.log*"))
    return False
