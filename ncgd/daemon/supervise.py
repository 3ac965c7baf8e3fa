"""Starts charon and exabgp, keeps them running, and finds them again after a restart of ncgd.

They are started detached, in sessions of their own, and outlive ncgd. A file per program says which process it is; a
new ncgd adopts a process whose pid, start time and launch are the ones in the file. A program that dies is started
again, more slowly each time it dies young.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from ncgd.daemon import launch_files, log_files
from ncgd.drivers.port import Post
from ncgd.errors import DriverError, NcgdError
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import ProcessChanged, ProcessesRead
from ncgd.model.process import Handover, Launch

log = logging.getLogger("ncgd.supervise")

T = TypeVar("T")

YOUNG_SECONDS = 10.0
"""A program that dies younger than this is started again more slowly."""
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 30.0
STOP_SECONDS = 5.0
_NO_DESCRIPTOR_SECONDS = 0.5
_IN_GOOD_ORDER = (signal.SIGTERM, signal.SIGKILL)
LAST_WORDS_BYTES = 400
"""How much of what a program said before it ended is shown, at most."""
_RECORD = ".process.json"
_ONCE_ON_RECORD = 'read -r word && exec "$@" </dev/null'
"""A program becomes one only after the word that it is on record: an ncgd that dies before leaves nothing behind."""


class Process:
    """A process by pid, ours or adopted. Raises ProcessLookupError when there is none."""

    def __init__(self, pid: int, *, is_child: bool = False) -> None:
        """``is_child``: just started by us; it may have ended already and waits to be reaped."""
        self.pid = pid
        self.is_child = is_child
        self.started = _start_time(pid, may_be_dead=is_child)

    async def ended(self) -> str:
        """Wait for its end; returns a sentence that says how it ended."""
        handle = None
        while handle is None:
            try:
                handle = os.pidfd_open(self.pid)
            except ProcessLookupError:
                break
            except OSError:  # no descriptor is left: that says nothing of the process
                await asyncio.sleep(_NO_DESCRIPTOR_SECONDS)
        if handle is not None:
            gone = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(handle, gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(handle)
                os.close(handle)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, os.WNOHANG)[1])  # noqa: ASYNC222 - WNOHANG
        except ChildProcessError:  # adopted, or reaped by an earlier wait
            return "it ended"
        return f"it was killed by {_signal_name(-code)}" if code < 0 else f"it exited with status {code}"


class Supervisor:
    """Table ``processes``: program name to a row that ``launch`` turns into a Launch."""

    def __init__(self, run_dir: Path, launch: Callable[[str, object], Awaitable[Launch]], post: Post) -> None:
        """``launch`` raises DriverError when the program is missing or too old."""
        self._run_dir = run_dir
        self._launch = launch
        self._post = post
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._rows: dict[str, object] = {}
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Tell what an earlier ncgd left running, then supervise until cancelled; the programs live on."""
        self._post(ProcessesRead(names=self.recorded()))
        async with self._group:
            await log_files.keep_short(self._run_dir)

    def recorded(self) -> frozenset[str]:
        """The programs that run now because an ncgd has started them."""
        names = (path.name.removesuffix(_RECORD) for path in self._run_dir.glob(f"*{_RECORD}"))
        return frozenset(name for name in names if self._recorded(name))

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Start or stop supervising; returns at once, how it goes is told by ProcessChanged."""
        for key in [*delta.remove, *delta.set]:
            name = str(key)
            if keeper := self._keepers.pop(name, None):
                keeper.cancel()
                await asyncio.wait([keeper])
            if key in delta.remove:
                await self._stop(name)
                self._post(ProcessChanged(name=name, is_running=False))
        for key, row in delta.set.items():
            name = str(key)
            self._keepers[name] = self._group.create_task(self._keep(name, row), name=f"keep {name}")
        return Outcome()

    async def _keep(self, name: str, row: object) -> None:
        delay, restarts = FIRST_DELAY_SECONDS, 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                spoken = self._spoken(name)
                process, is_outdated = await self._adopt_or_start(name, row)
                up = ProcessChanged(
                    name=name,
                    is_running=True,
                    pid=process.pid,
                    restarts=restarts,
                    is_outdated=is_outdated,
                    is_adopted=not process.is_child,
                )
                self._post(up)
                reason = await process.ended()
                if loop.time() - began <= YOUNG_SECONDS:
                    reason += self._last_words(name, spoken)
            except (NcgdError, OSError) as error:
                reason = str(error)
            restarts += 1
            delay = FIRST_DELAY_SECONDS if loop.time() - began > YOUNG_SECONDS else delay
            log.warning("%s: %s; starting it again in %.1f s", name, reason, delay, extra={"event": "process"})
            self._post(ProcessChanged(name=name, is_running=False, reason=reason, restarts=restarts))
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def _adopt_or_start(self, name: str, row: object) -> tuple[Process, bool]:
        """The process, and whether it is an older one that would be launched differently now."""
        launch = await self._launch(name, row)
        digest = _digest(launch)
        found = self._recorded(name)
        if found is not None:
            process, recorded_digest = found
            is_outdated = recorded_digest != digest
            if not is_outdated or launch.handover == Handover.WAIT:
                log.info("%s: adopted, pid %d", name, process.pid, extra={"event": "process"})
                return process, is_outdated
            log.info("%s: its configuration has changed; restarting it", name, extra={"event": "process"})
            await _end(process, (signal.SIGKILL,) if launch.handover == Handover.KILL else _IN_GOOD_ORDER)
        process = await _to_the_end(asyncio.to_thread(self._spawn, name, launch, digest))
        log.info("%s: started, pid %d", name, process.pid, extra={"event": "process"})
        return process, False

    def _spawn(self, name: str, launch: Launch, digest: str) -> Process:
        launch_files.prepare(launch)
        heard, told = os.pipe()
        with os.fdopen(heard), os.fdopen(told, "wb", buffering=0) as word, self._output(name).open("ab") as stream:
            pid = os.posix_spawnp(
                "sh",
                ("sh", "-c", _ONCE_ON_RECORD, "ncgd", *launch.argv),
                {**os.environ, **launch.environment},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, heard, 0),
                    (os.POSIX_SPAWN_DUP2, stream.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, stream.fileno(), 2),
                ],
                setsid=True,
            )
            try:
                process = Process(pid, is_child=True)
                record = {"pid": pid, "started": process.started, "launch": digest}
                launch_files.write(self._record(name), json.dumps(record), 0o600)
                word.write(b"\n")
            except OSError:
                word.close()
                os.waitpid(pid, 0)
                raise
        return process

    def _output(self, name: str) -> Path:
        return self._run_dir / f"{name}.log"

    def _spoken(self, name: str) -> int:
        """How much a program has said so far, in bytes."""
        output = self._output(name)
        return output.stat().st_size if output.exists() else 0

    def _last_words(self, name: str, spoken: int) -> str:
        """``": "`` and the last line that it has said after the first ``spoken`` bytes; empty when there is none."""
        try:
            size = self._spoken(name)
            with self._output(name).open("rb") as stream:
                stream.seek(max(spoken if spoken <= size else 0, size - LAST_WORDS_BYTES))  # emptied meanwhile, maybe
                lines = stream.read().decode(errors="replace").split("\n")
        except OSError:  # removed by somebody, say
            return ""
        return next((f": {line.strip()}" for line in reversed(lines) if any(map(str.isalnum, line))), "")

    async def _stop(self, name: str) -> None:
        if found := self._recorded(name):
            await _end(found[0])
        self._record(name).unlink(missing_ok=True)

    def _recorded(self, name: str) -> tuple[Process, str] | None:
        try:
            record = json.loads(self._record(name).read_text())
            process = Process(int(record["pid"]))
        except (FileNotFoundError, ProcessLookupError, ValueError, KeyError, TypeError):
            return None
        return (process, str(record["launch"])) if process.started == record["started"] else None

    def _record(self, name: str) -> Path:
        return self._run_dir / f"{name}{_RECORD}"


async def _to_the_end(work: Awaitable[T]) -> T:
    """The result; when cancelled, not before the work is done: a thread cannot be, and what it starts is on record."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


async def _end(process: Process, signals: Sequence[signal.Signals] = _IN_GOOD_ORDER) -> None:
    for number in signals:
        try:
            os.kill(process.pid, number)
            async with asyncio.timeout(STOP_SECONDS):
                await process.ended()
        except ProcessLookupError:
            return
        except TimeoutError:
            continue
        else:
            return
    raise DriverError(f"pid {process.pid} does not end, not even by SIGKILL")


def _start_time(pid: int, *, may_be_dead: bool) -> int:
    """Start time in clock ticks since boot (proc(5), field 22): tells a reused pid from the process we knew."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z" and not may_be_dead:
        raise ProcessLookupError(pid)
    return int(fields[19])


def _digest(launch: Launch) -> str:
    files = [(str(file.path), file.text) for file in launch.files if not file.is_seed]
    text = json.dumps([launch.argv, sorted(launch.environment.items()), files])
    return sha256(text.encode()).hexdigest()[:16]
