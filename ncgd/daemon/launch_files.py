"""Writing what a program needs before it starts. Every file appears whole, with its mode from the first byte on."""

import os
from pathlib import Path

from ncgd.model.process import Launch


def prepare(launch: Launch) -> None:
    """Make the directories and write the files of a launch. Raises OSError."""
    for directory in launch.directories:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in launch.files:
        if not (file.is_seed and file.path.exists()):
            write(file.path, file.text, file.mode)


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    temporary.replace(path)
