"""The file ``guarded-prefixes`` as a table of ours: read once, then written whole, in a thread."""

import asyncio
import os
from pathlib import Path

from ncgd.drivers.statefile import text
from ncgd.errors import Rejected
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import PrefixesRemembered
from ncgd.model.flaw import Flaw
from ncgd.model.prefix import Prefix

NAME = "guarded-prefixes"
_WEAKER = "until the sessions are back, only what the kernel still holds is protected"


class GuardedPrefixes:
    """Table ``memory``: the prefixes that must not leave but through a tunnel, whatever happens to us."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is made, for root only, when there is something to write."""
        self._directory = directory
        self._path = directory / NAME
        self._prefixes: frozenset[Prefix] = frozenset()
        self._obstacle = ""
        """Why the file must not be replaced: it cannot be read, and not be kept under another name either."""

    async def read(self) -> PrefixesRemembered:
        """What an earlier ncgd has left. A file that is of no use is kept under another name, and named as a flaw."""
        remembered = await asyncio.to_thread(self._read)
        self._prefixes = remembered.prefixes
        return remembered

    async def write(self, delta: Delta[Prefix, None]) -> Outcome[Prefix]:
        """Replace the file: all or nothing, and on disk when this returns. Raises Rejected."""
        if self._obstacle:
            raise Rejected(self._obstacle)
        prefixes = (self._prefixes | delta.set.keys()) - delta.remove
        try:
            await asyncio.to_thread(self._replace, prefixes)
        except OSError as error:
            raise Rejected(f"cannot write {self._path}: {error.strerror}") from error
        self._prefixes = prefixes
        return Outcome()

    def _read(self) -> PrefixesRemembered:
        try:
            return PrefixesRemembered(prefixes=text.parse(self._path.read_bytes()))
        except FileNotFoundError:
            return PrefixesRemembered(prefixes=frozenset())
        except text.Newer as error:
            flaw = ("StateNewer", f"{self._path} was written by a newer ncgd: {error}", "newer")
        except text.Damaged as error:
            flaw = ("StateDamaged", f"{self._path} is damaged: {error}", "damaged")
        except OSError as error:
            flaw = ("StateUnreadable", f"cannot read {self._path}: {error.strerror}", "unreadable")
        reason, message, word = flaw
        return PrefixesRemembered(
            prefixes=frozenset(),
            flaw=Flaw(reason=reason, message=f"{message}; {_WEAKER}", hint=self._set_aside(word)),
        )

    def _set_aside(self, word: str) -> str:
        """Keep the file under a name that is free; what a person may do about it."""
        kept = self._path.with_name(f"{NAME}.{word}")
        number = 1
        while os.path.lexists(kept):
            number += 1
            kept = self._path.with_name(f"{NAME}.{word}-{number}")
        try:
            self._path.rename(kept)
        except OSError as error:
            self._obstacle = (
                f"{self._path} is of no use, and cannot be kept as {kept.name} ({error.strerror}); move it away"
            )
            return "move it away, or give ncgd another --state-dir, and restart ncgd"
        return f"it is kept as {kept}; a new one is written as prefixes are learned, so it may be deleted"

    def _replace(self, prefixes: frozenset[Prefix]) -> None:
        """Write beside, then rename: after a crash there is the old file or the new one, whole."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{NAME}.new")
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(text.render(prefixes))
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)  # half a file would only use up what room is left
            raise
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
