"""Colours: for people at terminals who want them, and for nobody else."""

import os
from typing import TextIO

GREEN, YELLOW, RED, CYAN, BOLD, DIM = "32", "33", "31", "36", "1", "2"
"""SGR parameters (ECMA-48 §8.3.117)."""


def are_wanted(stream: TextIO) -> bool:
    """Whether what goes there may have colours: https://no-color.org, and terminals that can nothing."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, *, colour: bool = True) -> str:
    """The text in a colour, or as it is."""
    return f"\033[{code}m{text}\033[0m" if colour and code else text
