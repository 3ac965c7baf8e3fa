"""The lab, up for as long as a module's tests run. They run in order on one lab: what one breaks must heal."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


class Lab:
    """Drives ``python3 -m ncgd.lab`` as a person would."""

    up_output = ""

    def command(self, *arguments: str, seconds: float = 110) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "ncgd.lab", *arguments]
        return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds, check=False)

    def run(self, node: str, *argv: str) -> "subprocess.CompletedProcess[str]":
        return self.command("exec", node, "--", *argv)

    def status(self) -> dict[str, Any]:
        ncgctl = [str(Path(sys.executable).with_name("ncgctl")), "--socket", "/run/ncgd-lab/gw/ncgd.sock"]
        answer = subprocess.run([*ncgctl, "status", "-o", "json"], capture_output=True, text=True, check=False).stdout
        return json.loads(answer) if answer.startswith("{") else {}

    def processes(self, node: str, name: str) -> set[int]:
        """Ids of the node's processes whose command line begins with a program, or a script, of that name."""
        listed = subprocess.run(["ip", "netns", "pids", f"ncgd-{node}"], capture_output=True, text=True, check=False)
        return {pid for pid in map(int, listed.stdout.split()) if name in _program(pid)}


def _program(pid: int) -> list[str]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
    return [Path(word).name for word in words[:2]]


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    it = Lab()
    it.command("down")
    up = it.command("up", *getattr(request.module, "UP", ()))
    it.up_output = up.stdout
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield it
    finally:
        down = it.command("down")
        assert down.returncode == 0, down.stderr
