"""exabgp dies, or is ended, under traffic: what was learned forwards on, what was advertised stays (RFC 4724)."""

import os
import signal
import subprocess
import time

import pytest

from ncgd.lab import gateway
from ncgd.lab.topology import inside
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.steadily import undisturbed

pytestmark = [pytest.mark.lab, pytest.mark.root]

ADVERTISED = "10.10.0.0/24"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_speaker_that_ends_costs_no_packet_and_no_route(lab: Lab, number: signal.Signals) -> None:
    monitors = {
        node: subprocess.Popen(
            inside(node, "ip", "monitor", "route"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for node in ("gw", "vm", "cloud0", "cloud1")
    }
    try:
        with undisturbed(sessions=False):
            (speaker,) = lab.processes("exabgp")
            killed = time.monotonic()
            os.kill(speaker, number)
            until(lambda: lab.processes("exabgp") - {speaker}, 30, "exabgp is back")
            until(lambda: _are_younger(time.monotonic() - killed), 60, "the sessions are new")
            site_side.healthy()
    finally:
        told = {node: _ended(monitor) for node, monitor in monitors.items()}
    for node in ("cloud0", "cloud1"):
        assert cloud_side.learned(node) == {ADVERTISED}
    lost = {node: [line for line in lines if "Deleted" in line and ADVERTISED in line] for node, lines in told.items()}
    assert lost == {node: [] for node in monitors}
    assert [line for line in told["gw"] if "Deleted" in line and "proto 157" in line] == []


def _are_younger(seconds: float) -> bool:
    """Both sessions are established, and for no longer than this."""
    peers = gateway.status().get("peers", ())
    is_up = [row["status"] for row in peers] == ["established"] * 2
    return is_up and all(row["uptimeSeconds"] <= seconds for row in peers)


def _ended(monitor: "subprocess.Popen[str]") -> list[str]:
    monitor.terminate()
    return monitor.communicate()[0].splitlines()
