"""A folder of YAML files as the source of resources: the appliance's home, and the lab's.

The folder is watched with inotify; changes are read after a short silence and taken after another, so that a file
being written is not read in halves. Because watches can miss things (overflow, bind mounts, a replaced folder), it is
also read again every few seconds. Reading happens in a thread: 1000 manifests take about 0.2 s.
"""

import asyncio
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

from ncgd.model.secret import Vault
from ncgd.model.spec import Finding
from ncgd.resources.load import Loaded, hold, load_files
from ncgd.resources.yaml_documents import MAX_BYTES
from ncgd.sources.announce import Announcer
from ncgd.sources.port import Post

QUIET_SECONDS = 0.1
"""Silence after a change before the folder is read, and after that before it counts."""
PATIENCE_SECONDS = 0.5
"""Longest wait for silence, so that a file that is always being written delays nobody for long."""
RESCAN_SECONDS = 10.0
"""Time after which the folder is watched anew and read, without any change seen."""
UNWATCHED_SECONDS = 0.5
"""The same while the folder cannot be watched: it is missing, or the system has no watches left."""

_CHANGES = (
    Mask.CREATE
    | Mask.DELETE
    | Mask.MODIFY
    | Mask.CLOSE_WRITE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ATTRIB
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)
_OF_THE_FOLDER = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED | Mask.UNMOUNT | Mask.Q_OVERFLOW

_SHOWN = re.compile(r"[^.].*\.ya?ml", re.DOTALL)
"""Dot files are editors' and, in a mounted ConfigMap, the data that visible links point to."""

Files = Mapping[str, bytes | Finding]
"""File name to content, or to the finding that says why it could not be read."""


class FilesSource:
    """Posts the Intent of all ``*.yaml`` and ``*.yml`` files in a folder (not below it), now and when it changes."""

    def __init__(self, path: Path, vault: Vault, post: Post) -> None:
        self._path = path
        self._vault = vault
        self._announcer = Announcer(vault, post)
        self._files: Files | None = None
        self._loaded = Loaded()

    async def run(self) -> None:
        """Read, post, wait for a change, for ever. Nothing wrong with folder or files ends it."""
        while True:
            with _watch(self._path) as watch:
                is_same_folder = await self._read(watch)
                while watch and is_same_folder and await _has_changed(watch):
                    is_same_folder = await self._read(watch)
            if watch is None:
                await asyncio.sleep(UNWATCHED_SECONDS)

    async def _read(self, watch: Inotify | None) -> bool:
        """Read, again if that changes meanwhile, and post; False when the folder should be watched anew as well."""
        is_same_folder = True
        files = await asyncio.to_thread(read_folder, self._path)
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while watch and asyncio.get_running_loop().time() < deadline:
            event = await _event(watch, QUIET_SECONDS)
            if event is None:
                break
            is_same_folder = await _is_quiet(watch, event) and is_same_folder
            files = await asyncio.to_thread(read_folder, self._path)
        self._announcer.offer(await asyncio.to_thread(self._next_state, files))
        return is_same_folder

    def _next_state(self, files: Files | Finding) -> Loaded:
        if isinstance(files, Finding):
            return hold(self._loaded, files)
        if files != self._files:
            self._loaded = load_files(files, self._loaded, self._vault)
            self._files = files
        return self._loaded


@contextmanager
def _watch(path: Path) -> Iterator[Inotify | None]:
    """A watch on the folder; None when there cannot be one."""
    try:
        inotify = Inotify()
    except OSError:
        yield None
        return
    with inotify:
        try:
            inotify.add_watch(path, _CHANGES)
        except OSError:
            yield None
            return
        yield inotify


async def _has_changed(watch: Inotify) -> bool:
    """Wait until files have changed and it is quiet again; False when the folder should be watched anew as well."""
    event = await _event(watch, RESCAN_SECONDS)
    return event is not None and await _is_quiet(watch, event)


async def _is_quiet(watch: Inotify, event: Event | None) -> bool:
    """Wait for silence after an event; False when the folder should be watched anew as well."""
    is_same_folder = True
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while event is not None:
        is_same_folder = is_same_folder and not event.mask & _OF_THE_FOLDER
        left = deadline - asyncio.get_running_loop().time()
        event = await _event(watch, min(QUIET_SECONDS, left))
    return is_same_folder


async def _event(watch: Inotify, seconds: float) -> Event | None:
    try:
        async with asyncio.timeout(seconds):
            return await watch.get()
    except TimeoutError:
        return None


def read_folder(path: Path) -> Files | Finding:
    """Every manifest of a folder, or why it cannot be read."""
    try:
        shown = sorted(child for child in path.iterdir() if _SHOWN.fullmatch(child.name))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return Finding(
            reason="FolderMissing" if missing else "FolderUnreadable",
            where=str(path),
            message=f"the folder cannot be read: {error.strerror}; what was in force stays",
            hint="create it, and put the manifests there" if missing else "check its owner and mode",
        )
    contents = {_printable(child.name): _read_file(child) for child in shown}
    return {name: content for name, content in contents.items() if content is not None}


def _read_file(path: Path) -> bytes | Finding | None:
    """At most one byte more than the limit; None when the file has just been removed."""
    try:
        # A named pipe would block an ordinary open for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return _unreadable(path, "it is not a regular file")
            with io.FileIO(descriptor, closefd=False) as file, io.BufferedReader(file) as reader:
                return reader.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return None
        return _unreadable(path, error.strerror or type(error).__name__)


def _unreadable(path: Path, why: str) -> Finding:
    return Finding(
        reason="FileUnreadable",
        where=_printable(path.name),
        message=f"the file cannot be read: {why}; what it held stays in force",
        hint="check its owner and mode, or remove it",
    )


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")
