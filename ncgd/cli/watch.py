"""``ncgctl status --watch``: the screen that stays, with what passes per second and what happened lately."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ncgd.cli import client, colours, events, screen
from ncgd.cli.asking import ask
from ncgd.cli.colours import BOLD, RED, paint
from ncgd.cli.terminal import Terminal
from ncgd.errors import NcgdError
from ncgd.model.meter import Mark, Meter

SECONDS = 1.0
"""Between two looks: ncgd looks at the counters as often."""
LATELY = 30
"""Events that are shown at most."""
_SCROLL = {"up": -1, "down": 1, "page up": -10, "page down": 10}


def watch_status(path: Path) -> None:
    """Show the status until ``q`` or Ctrl-C. An ncgd that goes away is waited for, and what it said last stays."""
    view = _View(path, colour=colours.are_wanted(sys.stdout))
    view.first(ask(path, "/v1/status"))
    try:
        with Terminal() as terminal:
            due, top = time.monotonic(), 0
            while True:
                if time.monotonic() >= due:
                    view.look()
                    due = time.monotonic() + SECONDS
                columns, rows = terminal.size
                lines = view.lines(columns, rows - 1)
                top = max(0, min(top, len(lines) - rows + 1))
                terminal.show([view.headline(columns, more=len(lines) - top > rows - 1), *lines[top:]])
                key = terminal.key(max(0.0, due - time.monotonic()))
                if key == "quit":
                    return
                top = 0 if key == "top" else top + _SCROLL.get(key, 0)
    except KeyboardInterrupt:
        return


class _View:
    """What was seen last, and when."""

    def __init__(self, path: Path, *, colour: bool) -> None:
        self._path, self._colour = path, colour
        self._meters: dict[str, Meter] = {}
        self._status: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._now: dict[str, tuple[float, float]] = {}
        self._silent_since: float | None = None
        self._why = ""

    def first(self, status: dict[str, Any]) -> None:
        self._status = status
        now = time.monotonic()
        marks = {
            each["name"]: Mark(now, each["carried"]["bytesIn"], each["carried"]["bytesOut"])
            for each in status["tunnels"]
        }
        self._meters = {name: self._meters.get(name, Meter()) for name in marks}
        self._now = {name: meter.take(marks[name]) for name, meter in self._meters.items()}

    def look(self) -> None:
        """Ask again; what does not answer within a second is silent."""
        try:
            status = client.get(self._path, "/v1/status", seconds=SECONDS)
            self._events = client.get(self._path, "/v1/events", {"limit": str(LATELY)}, seconds=SECONDS)["events"]
        except NcgdError as error:
            self._silent_since = self._silent_since or time.monotonic()
            self._why = str(error)
            return
        self._silent_since = None
        self.first(status)

    def headline(self, columns: int, *, more: bool) -> str:
        """One line above all: when, and which keys."""
        keys = "↓↑ scroll, q quits" if more else "q quits"
        text = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC"
        return paint(f"{text}{keys:>{max(0, columns - len(text))}}", BOLD, colour=self._colour)

    def lines(self, columns: int, rows: int) -> list[str]:
        """All below it, of which so many rows are seen at once."""
        look = screen.Look(colour=self._colour, width=max(40, columns), table_width=columns, rates=self._now, rows=rows)
        silence = []
        if self._silent_since is not None:
            seconds = time.monotonic() - self._silent_since
            text = f"Silent for {seconds:.0f} s, what follows is older: {self._why}"
            silence = [paint(line, RED, colour=self._colour) for line in look.wrapped(text)]
        look = replace(look, rows=rows - len(silence))
        lately = [line for each in self._events for line in events.lines(each, look)]
        return [*silence, *screen.lines(self._status, look), "", "Lately, newest first (UTC)", *lately]
