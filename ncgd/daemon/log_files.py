"""The logs of programs that we start keep their ends only: a flood of lines fills neither disk nor memory.

They lie on a tmpfs as a rule, and the programs outlive ncgd. So a program keeps the file that it has open, which it
appends to (O_APPEND), and the file is emptied under it; what it writes just then, between the copy and that, is lost.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("ncgd.supervise")

LARGEST_BYTES = 4 << 20
LOOK_SECONDS = 5.0
_PATTERNS = ("*.log", "*/*.log")


async def keep_short(run_dir: Path) -> None:
    """Look at the logs in a run directory, and in a folder for each program there, until cancelled."""
    while True:
        for shortened in await asyncio.to_thread(shorten, run_dir):
            log.warning("%s", shortened, extra={"event": "log"})
        await asyncio.sleep(LOOK_SECONDS)


def shorten(run_dir: Path) -> list[str]:
    """Move the ends of logs that have grown too large to ``.log.1``, and empty them; says what became of each."""
    return [told for pattern in _PATTERNS for path in run_dir.glob(pattern) if (told := _shorten(path))]


def _shorten(path: Path) -> str:
    try:
        size = path.lstat().st_size
        if size <= LARGEST_BYTES:
            return ""
        kept = _keep_end(path, size)
        os.truncate(path, 0)
    except OSError as error:
        return f"{path} is too large, and cannot be emptied: {error}"
    return f"{path} had {size >> 20} MiB and was emptied; {kept}"


def _keep_end(path: Path, size: int) -> str:
    older = path.with_suffix(".log.1")
    try:
        older.unlink(missing_ok=True)
        with path.open("rb") as stream, open(older, "xb", opener=_for_root) as end:
            stream.seek(size - LARGEST_BYTES)
            end.write(stream.read(LARGEST_BYTES))
    except OSError as error:  # no room is left, say: all the more reason to empty the log
        with suppress(OSError):
            older.unlink(missing_ok=True)
        return f"its end is lost: {error}"
    return f"its end is in {older.name}"


def _for_root(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
