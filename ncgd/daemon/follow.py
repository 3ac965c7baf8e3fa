"""Userspace charons beside an ncgd that does not supervise: those on its roster run, one for each tunnel."""

import asyncio
from pathlib import Path

from ncgd.daemon.capabilities import SYS_ADMIN, effective
from ncgd.daemon.roster import Roster
from ncgd.daemon.supervise import Supervisor
from ncgd.drivers.strongswan import charon
from ncgd.errors import Unavailable
from ncgd.model.delta import diff
from ncgd.model.ike import Charon
from ncgd.model.process import Launch

LOOK_SECONDS = 0.1
"""How often the roster is looked at: one stat."""
PID_FILE = Path("/run/charon.pid")
PID_FILE_LOOKS = 200
"""One each 10 ms: how long a charon may take to write it, which is the first thing that it does."""


async def follow(run_dir: Path) -> None:
    """Run the charons on the roster, until cancelled. Raises OSError."""
    roster = Roster(run_dir)
    roster.open()
    has_mounts = SYS_ADMIN in effective()
    turns = Turns()

    async def launch(name: str, row: object) -> Launch:
        if not isinstance(row, Charon):
            raise Unavailable(f"{name} is no charon")
        if not has_mounts:
            await turns.take()
        installation = await charon.find_installation()
        return charon.launch(row, installation, run_dir / name, private_run=has_mounts)

    supervisor = Supervisor(run_dir, launch, lambda _: None)  # its log says how they fare
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        running: dict[object, object] = dict.fromkeys(supervisor.recorded())
        while True:
            await asyncio.sleep(LOOK_SECONDS)  # first, so that the supervisor runs
            wanted: dict[object, object] = dict(roster.read().items())
            if delta := diff(wanted, running):
                await supervisor.write(delta)
                running = wanted


class Turns:
    """One /run for all: its pid file would keep the next charon from starting, so each takes it over from the last."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._is_first = True

    async def take(self) -> None:
        """Once the last one that started has written the file: away with it."""
        async with self._lock:
            for _ in range(0 if self._is_first else PID_FILE_LOOKS):
                if _is_on_record():
                    break
                await asyncio.sleep(0.01)
            self._is_first = False
            _strike_off()


def _is_on_record() -> bool:
    return PID_FILE.exists()


def _strike_off() -> None:
    PID_FILE.unlink(missing_ok=True)
