"""Which userspace charons should run, told to a program beside an ncgd that does not supervise.

A file in the run directory: ncgd writes it, ``python3 -m ncgd.daemon.become charons`` makes it and follows it. It
outlives ncgd as the charons do, so the next ncgd finds in it what an earlier one has asked for.
"""

import json
from dataclasses import asdict
from pathlib import Path

from ncgd.daemon import launch_files
from ncgd.drivers.port import Post
from ncgd.errors import Unavailable
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import ProcessesRead
from ncgd.model.ike import Charon, DataplaneMode

NAME = "charons.json"


class Roster:
    """Table ``processes`` without a supervisor. The kernel's charon and the speaker are not on it: they always run."""

    def __init__(self, run_dir: Path, post: Post = lambda _: None) -> None:
        """No I/O."""
        self._path = run_dir / NAME
        self._post = post

    def is_followed(self) -> bool:
        """Whether somebody has asked to be told."""
        return self._path.exists()

    async def run(self) -> None:
        """Tell which charons an earlier ncgd has asked for."""
        if self.is_followed():
            self._post(ProcessesRead(names=frozenset(self.read())))

    def read(self) -> dict[str, Charon]:
        """The charons by name; none of a file that is not there or that nobody can read."""
        try:
            rows = json.loads(self._path.read_text())
            charons = [Charon(**{**row, "mode": DataplaneMode(row["mode"])}) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {charon.name: charon for charon in charons}

    def open(self) -> None:
        """Ask to be told; what an earlier ncgd has asked for stays. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.is_followed():
            self._write({})

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Write the file when it says something else. Raises Unavailable."""
        before = self.read()
        wanted = {name: charon for name, charon in before.items() if name not in delta.remove}
        for row in delta.set.values():
            if isinstance(row, Charon) and row.mode is DataplaneMode.USERSPACE:
                wanted[row.name] = row
        try:
            if wanted != before:
                self._write(wanted)
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error
        return Outcome()

    def _write(self, charons: dict[str, Charon]) -> None:
        launch_files.write(self._path, json.dumps([asdict(charon) for charon in charons.values()]), 0o600)
