"""Programs are started, kept, found again and ended; real processes."""

import asyncio
import os
import re
import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ncgd.daemon.supervise import Process, Supervisor
from ncgd.errors import Unavailable
from ncgd.model.delta import Delta
from ncgd.model.event import Event, ProcessChanged
from ncgd.model.process import Handover, Launch, LaunchFile

SLEEPER = ("sleep", "1000")


class Watcher:
    """A supervisor that runs, and what it posted."""

    def __init__(self, run_dir: Path, launch: Callable[[str, object], Awaitable[Launch]]) -> None:
        self.events: list[Event] = []
        self.supervisor = Supervisor(run_dir, launch, self.events.append)

    async def __aenter__(self) -> "Watcher":
        self._task = asyncio.ensure_future(self.supervisor.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def next(self, *, running: bool) -> ProcessChanged:
        async with asyncio.timeout(10):
            while True:
                for event in self.events:
                    if isinstance(event, ProcessChanged) and event.is_running == running:
                        self.events.remove(event)
                        return event
                await asyncio.sleep(0.01)


def launcher(
    *argv: str, files: tuple[LaunchFile, ...] = (), handover: Handover = Handover.END
) -> Callable[[str, object], Awaitable[Launch]]:
    async def launch(_: str, row: object) -> Launch:
        return Launch(argv=argv or SLEEPER, environment={"ROW": str(row)}, files=files, handover=handover)

    return launch


START: Delta[object, object] = Delta(set={"it": "row"})
STOP: Delta[object, object] = Delta(remove=frozenset({"it"}))


def is_alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_is_given_up_while_it_is_being_started_does_not_stay_behind(tmp_path: Path) -> None:
    """Here its log is a pipe, which opens only when somebody reads it: the start takes as long as the test likes."""

    async def scenario() -> None:
        os.mkfifo(tmp_path / "it.log")
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            await asyncio.sleep(0.1)  # long enough for the start to begin; when not, there is nothing to see
            stopping = asyncio.ensure_future(watcher.supervisor.write(STOP))
            await asyncio.wait({stopping}, timeout=0.1)
            reading = os.open(tmp_path / "it.log", os.O_RDONLY | os.O_NONBLOCK)
            await stopping
            await asyncio.to_thread(lambda: None)
            os.close(reading)
        assert sleepers() == []
        assert not (tmp_path / "it.process.json").exists()

    def sleepers() -> list[str]:
        """Living children of ours that sleep; whichever thread has started them."""
        found = Path("/proc").glob("[0-9]*/stat")
        return [line for line in map(_stat, found) if f"(sleep) S {os.getpid()} " in line]

    asyncio.run(scenario())


def _stat(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


def test_a_killed_program_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            first = await watcher.next(running=True)
            assert first.pid
            os.kill(first.pid, signal.SIGKILL)
            down = await watcher.next(running=False)
            assert "SIGKILL" in down.reason
            second = await watcher.next(running=True)
            assert second.pid != first.pid
            assert second.restarts == 1
            await watcher.supervisor.write(STOP)
            assert not is_alive(second.pid)

    asyncio.run(scenario())


def test_programs_outlive_the_supervisor_and_are_adopted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            first = await watcher.next(running=True)
        assert not first.is_adopted
        assert is_alive(first.pid)
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            adopted = await watcher.next(running=True)
            assert (adopted.pid, adopted.is_adopted) == (first.pid, True)
            await watcher.supervisor.write(STOP)
        assert not is_alive(first.pid)

    asyncio.run(scenario())


def test_a_changed_launch_replaces_the_adopted_program(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            first = await watcher.next(running=True)
        async with Watcher(tmp_path, launcher("sleep", "999")) as watcher:
            await watcher.supervisor.write(START)
            second = await watcher.next(running=True)
            assert second.pid != first.pid
            assert not is_alive(first.pid)
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_a_changed_launch_waits_until_the_adopted_program_is_removed_or_kills_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            first = await watcher.next(running=True)
        async with Watcher(tmp_path, launcher("sleep", "999", handover=Handover.WAIT)) as watcher:
            await watcher.supervisor.write(START)
            adopted = await watcher.next(running=True)
            assert (adopted.pid, adopted.is_outdated) == (first.pid, True)
            await watcher.supervisor.write(STOP)
            await watcher.supervisor.write(START)
            second = await watcher.next(running=True)
            assert (second.is_outdated, is_alive(first.pid)) == (False, False)
        deaf = launcher("sh", "-c", "trap '' TERM; sleep 1000 & wait", handover=Handover.KILL)
        for launch in (deaf, launcher(handover=Handover.KILL)):
            async with Watcher(tmp_path, launch) as watcher:
                await watcher.supervisor.write(START)
                third = await watcher.next(running=True)
                assert third.pid != second.pid
                second = third
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_a_reused_pid_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = f'{{"pid": {os.getpid()}, "started": 1, "launch": "x"}}'
        (tmp_path / "it.process.json").write_text(record)
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            assert (await watcher.next(running=True)).pid != os.getpid()
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_what_cannot_be_put_on_record_does_not_run(tmp_path: Path) -> None:
    """On a full disk, or when ncgd was killed in between, nobody knew of it, and another one was started."""
    ran = tmp_path / "ran"

    async def scenario() -> None:
        obstacle = tmp_path / "it.process.json.new"
        obstacle.mkdir()
        async with Watcher(tmp_path, launcher("sh", "-c", f"echo ran >> {ran}; exec sleep 1000")) as watcher:
            await watcher.supervisor.write(START)
            for _ in range(2):
                await watcher.next(running=False)
            obstacle.rmdir()
            await watcher.next(running=True)
            async with asyncio.timeout(10):
                while not ran.exists():
                    await asyncio.sleep(0.01)
            await watcher.supervisor.write(STOP)
        assert ran.read_text() == "ran\n"

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "started": 1, "launch": ""}', "\0"])
def test_a_broken_record_starts_afresh(tmp_path: Path, text: str) -> None:
    async def scenario() -> None:
        (tmp_path / "it.process.json").write_text(text)
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            await watcher.next(running=True)
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_a_missing_program_is_reported_and_tried_again_until_it_is_there(tmp_path: Path) -> None:
    installed = False

    async def launch(_: str, __: object) -> Launch:
        if not installed:
            raise Unavailable("charon is not installed; install strongswan-charon")
        return Launch(argv=SLEEPER)

    async def scenario() -> None:
        nonlocal installed
        async with Watcher(tmp_path, launch) as watcher:
            await watcher.supervisor.write(START)
            assert "install strongswan-charon" in (await watcher.next(running=False)).reason
            installed = True
            await watcher.next(running=True)
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_the_last_words_of_a_program_that_dies_young_say_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher("sh", "-c", "echo earlier; echo no such thing >&2; exit 3")) as watcher:
            await watcher.supervisor.write(START)
            assert (await watcher.next(running=False)).reason == "it exited with status 3: no such thing"
            await watcher.supervisor.write(STOP)
        async with Watcher(tmp_path, launcher("false")) as watcher:
            await watcher.supervisor.write(START)
            assert (await watcher.next(running=False)).reason == "it exited with status 1", "what it said itself"
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_an_adopted_program_that_dies_young_needs_no_log(tmp_path: Path) -> None:
    """Somebody had removed it, and that ended ncgd."""

    async def scenario() -> None:
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            first = await watcher.next(running=True)
        (tmp_path / "it.log").unlink()
        async with Watcher(tmp_path, launcher()) as watcher:
            await watcher.supervisor.write(START)
            assert (await watcher.next(running=True)).pid == first.pid
            assert first.pid
            os.kill(first.pid, signal.SIGKILL)
            assert "SIGKILL" in (await watcher.next(running=False)).reason
            await watcher.next(running=True)
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())


def test_a_program_has_not_ended_because_descriptors_have_run_out() -> None:
    async def scenario() -> None:
        process = Process(os.posix_spawnp(SLEEPER[0], SLEEPER, os.environ))  # noqa: ASYNC221 - that does not wait
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            ending = asyncio.ensure_future(process.ended())
            await asyncio.wait({ending}, timeout=0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not ending.done()
        os.kill(process.pid, signal.SIGKILL)
        assert "SIGKILL" in await ending

    asyncio.run(scenario())


def test_a_program_that_cannot_live_is_started_ever_more_slowly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with Watcher(tmp_path, launcher("false")) as watcher:
            await watcher.supervisor.write(START)
            for _ in range(4):
                assert "exited with status 1" in (await watcher.next(running=False)).reason
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())
    pauses = re.findall(r"starting it again in (\S+) s", caplog.text)
    assert pauses[:4] == ["0.1", "0.2", "0.4", "0.8"]


def test_files_are_written_with_their_mode_before_the_start(tmp_path: Path) -> None:
    path = tmp_path / "conf"

    async def scenario() -> None:
        files = (LaunchFile(path=path, text="key", mode=0o600),)
        async with Watcher(tmp_path, launcher("sh", "-c", f"cat {path}; exec sleep 1000", files=files)) as watcher:
            await watcher.supervisor.write(START)
            await watcher.next(running=True)
            async with asyncio.timeout(10):
                while (tmp_path / "it.log").read_text() != "key":
                    await asyncio.sleep(0.01)
            assert path.stat().st_mode & 0o777 == 0o600
            await watcher.supervisor.write(STOP)

    asyncio.run(scenario())
