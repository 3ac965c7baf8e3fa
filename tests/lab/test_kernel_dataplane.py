"""The lab with ESP in the kernel, on both sides. Where this kernel has none, tests/kernel/run boots one that has."""

import pytest

from tests.integration.netns import until
from tests.lab.conftest import PROGRAMS, Lab, assert_comes_back, assert_only_ike_and_esp_crosses
from tests.lab.test_liveness import CLOUD0, assert_survives

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.kernel_esp]

UP = ("--dataplane", "kernel")


def test_up_runs_on_the_kernels_esp(lab: Lab) -> None:
    status = lab.status()
    assert status["status"] == "Healthy"
    assert status["dataplane"]["mode"] == "kernel"
    assert [each["usable"] for each in status["tunnels"]] == [True, True]
    assert "5 of 5 through tunnel-2" in lab.up_output


def test_the_guard_lets_pass_what_the_kernel_is_about_to_encrypt(lab: Lab) -> None:
    until(lambda: lab.status()["leakProtection"]["guarded"], what="the guard is in force")
    assert lab.run("pod", "ping", "-c", "5", "-i", "0.2", "-W", "2", "10.128.0.10").returncode == 0


def test_nothing_but_ike_and_esp_crosses_the_internet(lab: Lab) -> None:
    assert_only_ike_and_esp_crosses(lab)


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_programs_come_back(lab: Lab, program: str) -> None:
    assert_comes_back(lab, program)


def test_a_silent_blackhole_moves_the_traffic_and_the_return_path(lab: Lab) -> None:
    assert_survives(lab, f"ip daddr {CLOUD0}")
