"""Kill a program of the gateway: everything is back by itself within 10 seconds, and the proofs hold again."""

import os
import signal

import pytest

from tests.integration.netns import until
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.mark.parametrize("program", ["charon", "exabgp", "ncgd"])
def test_killed_programs_come_back(lab: Lab, program: str) -> None:
    before = lab.processes("gw", program)
    assert before, f"no {program} runs in gw"
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def healed() -> bool:
        now = lab.processes("gw", program)
        return bool(now) and not now & before and lab.status().get("status") == "Healthy"

    until(healed, 10, f"{program} back and the gateway Healthy; it is {lab.status()}")
    again = lab.command("up")
    assert again.returncode == 0, f"{again.stdout}\n{again.stderr}"
