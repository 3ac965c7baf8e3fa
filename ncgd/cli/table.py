"""Plain tables: columns as wide as their widest cell, two spaces between, nothing at the end of a line."""

import shutil
from collections.abc import Sequence
from typing import TextIO


def lay_out(header: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "") -> list[str]:
    """Lines of a table; the header comes first."""
    cells = [[printable(str(cell)) if cell not in (None, "") else "-" for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header), *cells]) for column in range(len(header))]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(header), *cells]
    ]


def fitted(
    header: Sequence[str], rows: Sequence[Sequence[object]], most: int | None, dispensable: Sequence[Sequence[str]]
) -> list[str]:
    """The table without so many columns that it is at most so wide (None: as wide as it is).

    ``dispensable``: titles of columns that go together, those that go first first; the others stay in any case.
    """
    gone: set[str] = set()
    lines = lay_out(header, rows)
    for titles in dispensable:
        if most is None or max(map(len, lines)) <= most:
            break
        gone.update(titles)
        kept = [number for number, title in enumerate(header) if title not in gone]
        lines = lay_out([header[number] for number in kept], [[row[number] for number in kept] for row in rows])
    return lines


def room(stream: TextIO, most: int) -> int:
    """Columns for text there: at most so many, and no more than a terminal has."""
    return min(most, edge(stream) or most)


def edge(stream: TextIO) -> int | None:
    """Columns that a terminal has; None where that is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def printable(text: str) -> str:
    """The text without control characters: some of what we show was written by a peer."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def amount(count: float, unit: str = "B") -> str:
    """``1536`` → ``1.5 KiB``."""
    for step in ("", "Ki", "Mi", "Gi"):
        if count < 1024:
            return f"{count:.0f} {unit}" if not step else f"{count:.1f} {step}{unit}"
        count /= 1024
    return f"{count:.1f} Ti{unit}"


def duration(seconds: int) -> str:
    """``3725`` → ``1h2m``."""
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600}h"
