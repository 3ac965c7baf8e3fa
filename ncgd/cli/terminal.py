"""A terminal as one screen that is drawn again and again: only lines that differ are sent, so nothing flickers.

Control sequences: ECMA-48 (CUP, EL, ED, SGR); xterm's private modes 1049 (a screen beside the usual one), 25 (cursor).
"""

import os
import re
import select
import shutil
import signal
import sys
import termios
import tty
from collections import deque
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

_ENTER, _LEAVE = "\033[?1049h\033[?25l\033[H\033[2J", "\033[?25h\033[?1049l"
_SEQUENCE = re.compile(r"\033\[[0-9;]*m")
_KEY = re.compile(rb"\033\[[0-9;]*[A-Za-z~]|.", re.DOTALL)
_KEYS = {b"\033[A": "up", b"\033[B": "down", b"\033[5~": "page up", b"\033[6~": "page down", b"\033[H": "top"}
_KEYS |= {b"k": "up", b"j": "down", b" ": "page down", b"b": "page up", b"g": "top", b"q": "quit", b"Q": "quit"}


class Terminal:
    """Standard input and output as one screen, inside ``with``; afterwards the terminal is as before, come what may."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._size = os.terminal_size((0, 0))
        self._typed: deque[bytes] = deque()
        self._usual: list[Any] | None = None
        self._wake_reader, self._wake_writer = os.pipe()

    def __enter__(self) -> Self:
        os.set_blocking(self._wake_writer, False)
        signal.signal(signal.SIGWINCH, lambda *_: os.write(self._wake_writer, b"."))
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGTSTP, self._pause)
        self._enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def _enter(self) -> None:
        if sys.stdin.isatty():
            self._usual = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        self._size = os.terminal_size((0, 0))  # so that the next screen is drawn whole
        _send(_ENTER)

    def _leave(self) -> None:
        _send(_LEAVE)
        if self._usual is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._usual)

    def _pause(self, _: int, __: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal back, until it lets us go on."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()
        os.write(self._wake_writer, b".")

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines, now."""
        return shutil.get_terminal_size()

    def show(self, lines: Sequence[str]) -> None:
        """Have the screen hold these lines, cut where it ends."""
        if self.size != self._size:
            self._size, self._shown = self.size, []
            _send("\033[2J")
        columns, rows = self._size
        wanted = [clipped(line, columns) for line in lines[:rows]]
        parts = [
            f"\033[{row};1H{line}\033[K"
            for row, line in enumerate(wanted, 1)
            if row > len(self._shown) or self._shown[row - 1] != line
        ]
        if len(wanted) < len(self._shown):
            parts.append(f"\033[{len(wanted) + 1};1H\033[J")
        self._shown = wanted
        _send("".join(parts))

    def key(self, seconds: float) -> str:
        """The key that is pressed within that time; empty when none is, or when the window has another size."""
        if self._typed:
            return _KEYS.get(self._typed.popleft(), "")
        watched = [self._wake_reader, *([sys.stdin.fileno()] if self._usual is not None else [])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake_reader in ready:
            os.read(self._wake_reader, 1024)
        elif ready:
            typed = os.read(sys.stdin.fileno(), 1024)
            self._typed.extend(_KEY.findall(typed))
            return _KEYS.get(self._typed.popleft(), "") if typed else "quit"
        return ""


def clipped(line: str, columns: int) -> str:
    """The first columns of a line; colours count for nothing, and are closed."""
    kept, room = [], columns
    position = 0
    for match in (*_SEQUENCE.finditer(line), None):
        text = line[position : match.start() if match else len(line)]
        kept.append(text[:room])
        room -= len(text[:room])
        if match is None:
            break
        kept.append(match.group())
        position = match.end()
    return "".join(kept)


def _send(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(143)
