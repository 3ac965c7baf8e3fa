"""The lab with ESP in the kernel, on both sides. Where this kernel has none, tests/kernel/run boots one that has."""

import os
import signal

import pytest

from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab, assert_comes_back, assert_only_ike_and_esp_crosses
from tests.lab.rekeys import TUNNEL, rekey
from tests.lab.site_side import TUNNELS, edited
from tests.lab.steadily import undisturbed
from tests.lab.test_liveness import CLOUD0, assert_survives

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.kernel_esp]

UP = ("--dataplane", "kernel")


def test_up_runs_on_the_kernels_esp(lab: Lab) -> None:
    status = site_side.healthy()
    assert status["dataplane"]["mode"] == "kernel"
    assert [each["usable"] for each in status["tunnels"]] == [True, True]
    assert "5 of 5 through tunnel-2" in lab.up_output


def test_the_guard_lets_pass_what_the_kernel_is_about_to_encrypt(lab: Lab) -> None:
    until(lambda: lab.status()["leakProtection"]["guarded"], what="the guard is in force")
    assert lab.run("pod", "ping", "-c", "5", "-i", "0.2", "-W", "2", "10.128.0.10").returncode == 0


def test_nothing_but_ike_and_esp_crosses_the_internet(lab: Lab) -> None:
    assert_only_ike_and_esp_crosses(lab)


def test_a_killed_charon_comes_back(lab: Lab) -> None:
    assert_comes_back(lab, "charon")


def test_a_silent_blackhole_moves_the_traffic_and_the_return_path(lab: Lab) -> None:
    assert_survives(lab, f"ip daddr {CLOUD0}")


def test_keys_and_proposals_change_and_no_packet_is_lost(lab: Lab) -> None:
    with undisturbed():
        for what in ("child", "ike"):
            for who in (("us",), ("cloud",), ("us", "cloud")):
                rekey(what, who)
        old = site_side.sa_ids(TUNNEL)
        with edited(TUNNELS) as documents:
            documents[0]["spec"]["ike"] = {"espProposals": ["aes128gcm16-ecp256"]}
        until(lambda: len(now := site_side.sa_ids(TUNNEL)) == 1 and not now & old, 30, "the old SA is gone")


def test_a_killed_charon_costs_no_packet_and_no_session(lab: Lab) -> None:
    old = {name: site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")}
    (charon,) = lab.processes("charon")
    with undisturbed():
        os.kill(charon, signal.SIGKILL)
        for name, ids in old.items():
            until(
                lambda name=name, ids=ids: (now := site_side.sa_ids(name)) and not now & ids, 20, f"{name} is renewed"
            )
