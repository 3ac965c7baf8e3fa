"""How a program is started; drivers say it, the supervisor does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Handover(StrEnum):
    """How a running program gives way to one that is launched differently."""

    END = "end"
    """It is ended, as it ends in good order."""
    KILL = "kill"
    """It is killed: what it has set up goes on without it, and would be taken down in good order."""
    WAIT = "wait"
    """It goes on, and is told to be outdated, until it is removed from the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFile:
    """A file to write before the start."""

    path: Path
    text: str
    mode: int = 0o600
    is_seed: bool = False
    """Written only when there is none, and no part of what makes one launch differ from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One program: the process keeps the pid it is spawned with.

    ``environment`` is added to the supervisor's own. ``directories`` are made (0700) before the files.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[LaunchFile, ...] = ()
    directories: tuple[Path, ...] = ()
    handover: Handover = Handover.END
