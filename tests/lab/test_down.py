"""`down` leaves nothing, whatever state it finds."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from ncgd.lab import processes, topology
from tests.integration.netns import until
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


def _mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def _assert_nothing_left(before: set[int]) -> None:
    assert not any(topology.exists(node) for node in topology.NODES)
    assert not topology.STATE.exists()
    assert "ncgd-" not in _mounts()
    assert not [pid for pid in before if Path(f"/proc/{pid}/ns/net").exists()]


def _command(pid: int) -> str:
    """A process' program; empty when it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _in_the_lab() -> set[int]:
    return {pid for pids in processes.in_nodes().values() for pid in pids}


def test_down_ends_everything_also_what_people_started(lab: Lab) -> None:
    argv = ["ip", "netns", "exec", "ncgd-pod", "sleep", "600"]
    with subprocess.Popen(argv) as visitor:
        until(lambda: visitor.pid in _in_the_lab())
        before = _in_the_lab()
        assert lab.command("down").returncode == 0
        visitor.wait(30)
    _assert_nothing_left(before)


def test_down_after_everything_was_killed() -> None:
    lab = Lab()
    topology.build()
    processes.spawn("gw", "sleeper", ["sleep", "600"])
    until(lambda: [_command(pid) for pid in _in_the_lab()] == ["sleep"], what="only the sleeper is left of its start")
    before = _in_the_lab()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert lab.command("down").returncode == 0
    _assert_nothing_left(before)


def test_up_after_half_an_up_says_what_to_do_and_down_clears() -> None:
    lab = Lab()
    topology.build()
    subprocess.run(["ip", "netns", "del", "ncgd-vm"], check=True)
    refused = lab.command("up")
    assert refused.returncode == 1
    assert "down" in refused.stderr
    assert lab.command("down").returncode == 0
    _assert_nothing_left(set())


def test_down_when_nothing_is_up() -> None:
    assert Lab().command("down").returncode == 0


def test_a_stranger_with_a_recycled_process_id_is_left_alone() -> None:
    lab = Lab()
    topology.build()
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (topology.STATE / "gw" / "old.process").write_text(f"{stranger.pid} 1")
        assert lab.command("down").returncode == 0
        assert stranger.poll() is None
        stranger.terminate()
    _assert_nothing_left(set())
