"""The lab, up for as long as a module's tests run. They run in order on one lab: what one breaks must heal."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from ncgd.lab import gateway, install, processes
from tests.integration.netns import until
from tests.kernel.offline import make_venv

PROGRAMS = {
    "charon": r"^\S*/charon (?!--version)",
    "exabgp": r"^\S*python\S* .*/exabgp/repaired\.py ",
    "bridge": r"^\S*python\S* .*/exabgp/bridge\.py ",
    "ncgd": r"^\S*python\S* \S*/bin/ncgd ",
}
"""Command lines of what runs in gw."""


class Lab:
    """Drives ``python3 -m ncgd.lab`` as a person would."""

    up_output = ""
    _options: tuple[str, ...] = ()

    def command(self, *arguments: str, seconds: float = 200) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "ncgd.lab", *arguments]
        return subprocess.run(argv, cwd=install.CHECKOUT, capture_output=True, text=True, timeout=seconds, check=False)

    def up(self, *options: str) -> None:
        self._options = options
        self.up_output = self.prove()

    def prove(self) -> str:
        """`up` with the options of the first time: what it prints, once it proved all it proves."""
        up = self.command("up", *self._options)
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        return up.stdout

    def run(self, node: str, *argv: str) -> "subprocess.CompletedProcess[str]":
        return self.command("exec", node, "--", *argv)

    def status(self) -> dict[str, Any]:
        return gateway.status()

    def processes(self, program: str) -> set[int]:
        """Ids of the processes in gw that run one of PROGRAMS; not of its forks that are about to run another one."""
        found = {pid for pid in processes.in_nodes()["gw"] if re.search(PROGRAMS[program], _command_line(pid))}
        return {pid for pid in found if _parent(pid) not in found}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return pid  # it has ended: left out, like a fork


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


_GATEWAY, _CLOUD = r"203\.0\.113\.10", r"198\.51\.100\.1[12]"
IKE_OR_ESP = re.compile(
    rf" IP ({_GATEWAY}\.\d+ > {_CLOUD}\.(500|4500)|{_CLOUD}\.(500|4500) > {_GATEWAY}\.\d+): "
    rf"| IP ({_GATEWAY} > {_CLOUD}|{_CLOUD} > {_GATEWAY}): ESP\("
)
"""A line of tcpdump -n that shows IKE, ESP in UDP or ESP between the gateway's public address and the cloud."""


@contextmanager
def captured() -> Iterator[list[str]]:
    """Every IPv4 packet in `internet`, a line each; the list is filled when the block ends."""
    argv = ["ip", "netns", "exec", "ncgd-internet", "tcpdump", "-nlU", "--immediate-mode", "-i", "any", "ip"]
    lines: list[str] = []
    with (
        TemporaryFile("w+") as output,  # a pipe that nobody reads would stop it after 64 KiB
        subprocess.Popen(argv, stdout=output, stderr=subprocess.PIPE, text=True) as capture,
    ):
        try:
            assert capture.stderr is not None
            while "listening on" not in capture.stderr.readline():
                assert capture.poll() is None
            yield lines
        finally:
            capture.terminate()
            capture.communicate()
            output.seek(0)
            lines += [line for line in output.read().splitlines() if line]


def assert_only_ike_and_esp_crosses(lab: Lab) -> None:
    """Capture while the proofs of `up` run once more and pings go that need nearly the whole MTU."""
    with captured() as seen:
        lab.prove()
        assert lab.run("pod", "ping", "-c", "20", "-i", "0.05", "-s", "1300", "10.128.0.10").returncode == 0
    assert len(seen) > 40
    assert [line for line in seen if not IKE_OR_ESP.search(line)] == []


def kill(pids: Iterable[int]) -> None:
    """SIGKILL, in order; that one has ended with another is no error."""
    for pid in sorted(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def assert_comes_back(lab: Lab, program: str) -> None:
    """Kill every process of a program in gw: within 10 s it runs again and the gateway is Healthy."""
    before = lab.processes(program)
    assert before, f"no {program} runs in gw"
    daemon = lab.processes("ncgd")
    kill(before)

    def healed() -> bool:
        now = lab.processes(program)
        return bool(now) and not now & before and lab.status().get("status") == "Healthy"

    try:
        until(healed, 10)
    except AssertionError as late:
        raise AssertionError(f"{program} is not back, or the gateway not Healthy: {lab.status()}") from late
    assert program == "ncgd" or lab.processes("ncgd") == daemon, "ncgd itself did not survive it"
    lab.prove()


@pytest.fixture(scope="session", autouse=True)
def environment_without_network() -> None:
    make_venv()


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    it = Lab()
    it.command("down")
    try:
        it.up(*getattr(request.module, "UP", ()))
        yield it
    finally:
        down = it.command("down")
        assert down.returncode == 0, down.stderr
