"""``ncgctl events``: for people, for programs, and while things happen."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ncgd.api import views
from ncgd.cli import events
from ncgd.cli.screen import Look
from ncgd.decision.timeline import Timeline
from ncgd.model.happening import Happening
from tests.integration.netns import until
from tests.scenarios.site import healthy_site
from tests.unit.api.test_api import ncgctl, served

TUNNEL, ODD = "OverlayVPNTunnel/kube-system/tunnel-1", "OverlayBGPPeer/kube-system/peer-1"
NCGCTL = (sys.executable, "-c", "from ncgd.cli.main import main; main()")


def happened(timeline: Timeline, of: str, reason: str, message: str, *, is_warning: bool = False) -> None:
    happening = Happening(object=of, reason=reason, message=message, is_warning=is_warning, is_ongoing=reason == "On")
    timeline.add(happening, "2026-11-21T09:00:00.123Z", 0.0)


def eventful() -> Timeline:
    timeline = Timeline()
    happened(timeline, TUNNEL, "TunnelDown", "SaDown: the peer is gone " + "and gone " * 30, is_warning=True)
    happened(timeline, ODD, "SessionDown", "said \033]0;owned\007 and left", is_warning=True)
    happened(timeline, "a.yaml, document 1, NetworkConnectivityGateway/kube-system/default", "On", "again")
    happened(timeline, "a.yaml, document 1, NetworkConnectivityGateway/kube-system/default", "On", "and again")
    return timeline


def test_the_newest_comes_last_and_objects_are_named_briefly(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        first, second, third = ncgctl(socket, "events").stdout.splitlines()
    assert re.match(r"2026-11-21 09:00:00\.123  tunnel/tunnel-1 +TunnelDown +SaDown: the peer is gone and", first)
    assert re.match(r"\S+ \S+  peer/peer-1 +SessionDown ", second)
    assert re.match(r"\S+ \S+  gateway/default +On +and again \(2 times since 09:00:00\)$", third)


def test_what_a_peer_wrote_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        text = ncgctl(socket, "events").stdout
    assert "\033" not in text
    assert "\007" not in text
    assert "owned" in text


def test_one_object_and_so_many(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        assert len(ncgctl(socket, "events", "tunnel-1").stdout.splitlines()) == 1
        assert len(ncgctl(socket, "events", "-n", "2").stdout.splitlines()) == 2


@pytest.mark.parametrize("name", ["tunnel-2", "PEER-2", "bgppeer/kube-system/peer-2", "machine", "exabgp", "charon"])
def test_an_object_to_which_nothing_has_happened(tmp_path: Path, name: str) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        none = ncgctl(socket, "events", name)
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", f"nothing has happened to {name!r}\n")


@pytest.mark.parametrize("more", [(), ("-o", "json"), ("-f",)])
def test_an_object_that_there_is_not(tmp_path: Path, more: tuple[str, ...]) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        none, near = (ncgctl(socket, "events", name, *more) for name in ("nobody", "tunel-1"))
    assert (none.exit_code, near.exit_code, none.stdout) == (1, 1, "")
    assert none.stderr == (
        "ncgctl: 'nobody' is in the name of no object; there are tunnel-1, tunnel-2, peer-1, peer-2, default\n"
    )
    assert near.stderr.endswith("; did you mean tunnel-1?\n")


def test_what_has_been_removed_has_a_past(tmp_path: Path) -> None:
    happened(timeline := Timeline(), "OverlayVPNTunnel/kube-system/old", "Removed", "is not in force any more")
    with served(healthy_site(), tmp_path, timeline=timeline) as socket:
        assert "is not in force" in ncgctl(socket, "events", "old").stdout


def test_before_everything_is_read_nobody_knows_which_objects_there_are(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, is_started=False) as socket:
        assert ncgctl(socket, "events", "tunnel-1").exit_code == 0


def test_programs_get_an_object_a_line(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=eventful()) as socket:
        rows = [json.loads(line) for line in ncgctl(socket, "events", "-o", "json").stdout.splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert [row["count"] for row in rows] == [1, 1, 2]


def test_it_follows_also_through_an_ncgd_that_is_away(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    timeline = eventful()
    with out.open("w") as stdout, err.open("w") as stderr:
        with served(healthy_site(), tmp_path, timeline=timeline) as socket:
            argv = [*NCGCTL, "--socket", str(socket), "events", "--follow"]
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            process = subprocess.Popen(argv, stdout=stdout, stderr=stderr, env=environment)
            until(lambda: "and again" in out.read_text(), 20, "the past")
            happened(timeline, TUNNEL, "TunnelUp", "it is back")
            until(lambda: "it is back" in out.read_text(), 20, "what is new")
        try:
            until(lambda: "; waiting" in err.read_text(), 20, "it says that ncgd is away")
            happened(timeline, TUNNEL, "TunnelDown", "and gone")
            with served(healthy_site(), tmp_path, timeline=timeline):
                until(lambda: "and gone" in out.read_text().splitlines()[-1], 20, "it goes on")
            another = Timeline()
            happened(another, TUNNEL, "Anew", "the numbers begin again")
            with served(healthy_site(), tmp_path, timeline=another):
                until(lambda: "begin again" in out.read_text(), 20, "another timeline is noticed")
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(10)
    assert code == 130
    assert "Traceback" not in err.read_text()
    assert out.read_text().count("it is back") == 1


@pytest.mark.parametrize("arguments", [("-n", "0"), ("-n", "x"), ("a", "b")])
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert ncgctl(tmp_path / "none", "events", *arguments).exit_code == 2


def test_in_a_narrow_window_there_is_room_for_the_message() -> None:
    """At 40 columns there was a word a line, and that out of sight."""
    happened(timeline := Timeline(), TUNNEL, "TunnelDown", "the peer is gone " * 10)
    (entry,) = views.events(timeline, 1)["events"]
    shown = events.lines(entry, Look(width=40))
    assert max(map(len, shown[1:])) <= 40
    assert len(shown) < 14


def test_what_happens_at_once_is_followed_however_little_of_the_past_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    timeline = eventful()
    with out.open("w") as stdout, served(healthy_site(), tmp_path, timeline=timeline) as socket:
        argv = [*NCGCTL, "--socket", str(socket), "events", "-n", "1", "-f"]
        process = subprocess.Popen(argv, stdout=stdout, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            until(lambda: "and again" in out.read_text(), 20, "the past")
            for word in ("one", "two", "three"):
                happened(timeline, TUNNEL, word, word)
            until(lambda: "three" in out.read_text(), 20, "what is new")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
    assert [line.split()[3] for line in out.read_text().splitlines()] == ["On", "one", "two", "three"]
