"""The timeline on disk, in the run directory: the next ncgd goes on where this one has ended, however it ended."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ncgd.decision.timeline import MOST_KEPT
from ncgd.model.happening import Entry

log = logging.getLogger("ncgd")

MOST_LINES = 2 * MOST_KEPT
LARGEST_BYTES = 8 << 20
"""No chronicle that we write is larger; of one that is, only the end is read."""


class Chronicle:
    """A file with a line of JSON for each entry, or each change of one: appended to, and now and then rewritten.

    Lines that make no sense (the last one, after a crash) are left out. A file that cannot be written is told in the
    log once, and nothing else suffers.
    """

    def __init__(self, path: Path) -> None:
        """``path``: where the file is, or will be."""
        self._path = path
        self._kept: dict[int, Entry] = {}
        self._lines = MOST_LINES
        """In the file; at first, and after an error, as many as have it rewritten: its last line may be half a line."""
        self._is_lost = False

    def recall(self) -> list[Entry]:
        """What was kept, oldest first."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - LARGEST_BYTES))
                lines = stream.read(LARGEST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s cannot be read, so the timeline begins anew: %s", self._path, error)
            return []
        decoder = msgspec.json.Decoder(Entry)
        for line in lines:
            try:
                self._put(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        self._kept = dict(sorted(self._kept.items())[-MOST_KEPT:])
        return list(self._kept.values())

    def keep(self, entries: Iterable[Entry]) -> None:
        """Add what is new; the file is on a tmpfs, so this takes microseconds."""
        fresh = list(entries)
        if not fresh:
            return
        for entry in fresh:
            self._put(entry)
        try:
            if self._lines + len(fresh) > MOST_LINES:
                self._rewrite()
            else:
                self._append(fresh)
        except OSError as error:
            if not self._is_lost:
                log.warning("%s cannot be written, so the next ncgd will not know of it: %s", self._path, error)
            self._lines, self._is_lost = MOST_LINES, True
            return
        self._is_lost = False

    def _put(self, entry: Entry) -> None:
        self._kept.pop(entry.replaces, None)
        self._kept[entry.number] = entry
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _append(self, entries: list[Entry]) -> None:
        with open(self._path, "ab", opener=_for_root) as stream:
            stream.write(_lines(entries))
        self._lines += len(entries)

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(fresh, "wb", opener=_for_root) as stream:
            stream.write(_lines(self._kept.values()))
        fresh.replace(self._path)
        self._lines = len(self._kept)


def _lines(entries: Iterable[Entry]) -> bytes:
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def _for_root(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
