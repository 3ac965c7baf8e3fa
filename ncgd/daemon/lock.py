"""One ncgd per run directory: two would undo each other's work."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ncgd.errors import UserError


@contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold the run directory. Raises UserError, with the other's pid, when another ncgd has it.

    The kernel lets go of the lock when the process ends, however it ends (flock(2)).
    """
    path = run_dir / "ncgd.lock"
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            pid = stream.read().strip() or "unknown"
            raise UserError(
                f"another ncgd (pid {pid}) runs in {run_dir}; stop it first, or choose another --run-dir"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
