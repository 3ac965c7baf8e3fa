"""``ncgctl status --watch`` on a terminal: it stays, follows, scrolls, waits, and leaves everything as it was."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ncgd.cli.terminal import clipped
from ncgd.decision.timeline import Timeline
from ncgd.model.happening import Happening
from tests.integration.netns import until
from tests.scenarios.site import healthy_site
from tests.unit.api.test_api import degraded_site, ncgctl, served
from tests.unit.cli.screen_reader import Terminal

CANARY = "the newest of them"


@contextmanager
def watching(
    socket: Path, environment: Mapping[str, str] | None = None, *, rows: int = 60, columns: int = 100
) -> Iterator[Terminal]:
    argv = [sys.executable, "-c", "from ncgd.cli.main import main; main()", "--socket", str(socket), "status", "-w"]
    terminal = Terminal(argv, environment or {}, rows=rows, columns=columns)
    try:
        yield terminal
    finally:
        terminal.close()


def happening(message: str) -> Happening:
    return Happening(object="OverlayVPNTunnel/kube-system/tunnel-1", reason="TunnelDown", message=message)


def test_it_shows_the_status_and_what_happens_and_leaves_at_q(tmp_path: Path) -> None:
    timeline = Timeline()
    with served(healthy_site(), tmp_path, timeline=timeline) as socket, watching(socket) as terminal:
        until(lambda: "Problems  none" in terminal.text and "IN/S" in terminal.text, 20, "the screen")
        assert terminal.is_aside
        assert terminal.is_cursor_hidden
        assert max(len(line) for line in terminal.lines) <= 100
        timeline.add(happening(CANARY), "2026-11-21T09:00:00.000Z", 0.0)
        until(lambda: CANARY in terminal.text, 20, "what happened")
        terminal.type(b"q")
        assert terminal.process.wait(10) == 0
        until(terminal.is_as_before, 5, "the terminal is as it was")


def test_only_what_has_changed_is_sent(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket, watching(socket) as terminal:
        until(lambda: "0 B" in terminal.text and "Lately" in terminal.text, 20, "all of it, and rates are known")
        before = len(terminal.sent)
        until(lambda: len(terminal.sent) > before + 100, 20, "the clock goes on")
        assert b"\033[2J" not in terminal.sent[before:], "nothing is wiped, so nothing flickers"
        assert b"Problems" not in terminal.sent[before:]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with served(healthy_site(), tmp_path) as socket, watching(socket) as terminal:
        until(lambda: "Problems" in terminal.text, 20, "the screen")
        terminal.process.send_signal(number)
        assert terminal.process.wait(10) == code
        until(terminal.is_as_before, 5, "the terminal is as it was")
        assert b"Traceback" not in terminal.sent


def test_ctrl_z_gives_the_terminal_back_for_as_long(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket, watching(socket) as terminal:
        until(lambda: "Problems" in terminal.text, 20, "the screen")
        terminal.process.send_signal(signal.SIGTSTP)
        status = Path(f"/proc/{terminal.process.pid}/status")
        until(lambda: "State:\tT" in status.read_text(), 5, "it stands still")
        until(terminal.is_as_before, 5, "the terminal is as it was")
        sent = len(terminal.sent)
        terminal.process.send_signal(signal.SIGCONT)
        until(lambda: b"Problems" in terminal.sent[sent:], 20, "all of it again")
        assert terminal.is_aside


def test_an_ncgd_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket, watching(socket) as terminal:
        until(lambda: "Problems" in terminal.text, 20, "the screen")
        socket.rename(tmp_path / "away")
        until(lambda: "Silent for" in terminal.text, 20, "it says so")
        assert "tunnel-1" in terminal.text, "what was seen last stays"
        (tmp_path / "away").rename(socket)
        until(lambda: "Silent for" not in terminal.text, 20, "and goes on")


def test_a_small_window_scrolls_and_a_larger_one_shows_all(tmp_path: Path) -> None:
    with served(degraded_site(), tmp_path) as socket, watching(socket, rows=8) as terminal:
        until(lambda: "scroll" in terminal.text, 20, "the screen")
        assert "Lately" not in terminal.text
        assert len(terminal.text.splitlines()) <= 8
        for _ in range(5):
            terminal.type(b"\033[6~")
        until(lambda: "Lately" in terminal.text, 20, "the end")
        terminal.type(b"g")
        until(lambda: "Degraded" in terminal.text, 20, "the start")
        terminal.resize(70, 60)
        until(lambda: "Lately" in terminal.text and "scroll" not in terminal.text, 20, "all of it")
        assert max(len(line) for line in terminal.lines) <= 60


@pytest.mark.parametrize(
    ("environment", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_those_who_want_them(tmp_path: Path, environment: dict[str, str], has_colour: bool) -> None:
    with served(degraded_site(), tmp_path) as socket, watching(socket, environment) as terminal:
        until(lambda: "ERROR" in terminal.text, 20, "the screen")
        assert (b"\033[31m" in terminal.sent) == has_colour


@pytest.mark.parametrize("more", [(), ("-o", "json")])
def test_it_is_for_terminals(tmp_path: Path, more: tuple[str, ...]) -> None:
    with served(healthy_site(), tmp_path) as socket:
        answer = ncgctl(socket, "status", "--watch", *more)
    assert answer.exit_code == 2
    assert "ncgctl status -o json" in answer.stderr


def test_there_is_nothing_to_watch_without_an_ncgd(tmp_path: Path) -> None:
    with watching(tmp_path / "none") as terminal:
        assert terminal.process.wait(20) == 3
        until(lambda: "no ncgd answers" in terminal.text, 5, "why")
        assert not terminal.is_aside


def test_lines_are_cut_between_colours() -> None:
    assert clipped("ab\033[31mcdef\033[0mgh", 4) == "ab\033[31mcd\033[0m"
    assert clipped("abc", 10) == "abc"
    assert clipped("", 3) == ""
