"""The worst days: both tunnels lost at once, everything in gw killed at once. Nothing leaks, and all comes back."""

import re
import signal
from collections.abc import Iterator

import pytest

from ncgd.lab import gateway
from ncgd.lab.topology import SUBNET
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import PROGRAMS, Lab, captured, kill
from tests.lab.site_side import says

pytestmark = [pytest.mark.lab, pytest.mark.root]

NODES = {"cloud0": "169.254.1.1/30", "cloud1": "169.254.2.1/30"}
LEAK = re.compile(r"\b10\.\d+\.\d+\.\d+")
"""An address of the pods or of the VPC, in a line of tcpdump -n."""


@pytest.fixture(autouse=True)
def unharmed(lab: Lab) -> Iterator[Lab]:
    """While pods go on asking for the VM, no packet of theirs is seen on the internet; the end is as the start."""
    site_side.healthy()
    routes, groups = site_side.ours(), _groups()
    with captured() as seen, site_side.flowing("10.128.0.10", "10.128.0.11"):
        yield lab
        site_side.healthy()
        until(lambda: (site_side.ours(), _groups()) == (routes, groups), 30, "routes and nexthops are as before")
        until(lambda: all(cloud_side.learned(node) == {"10.10.0.0/24"} for node in NODES), 30, "so is the cloud")
    assert seen
    assert [line for line in seen if LEAK.search(line)] == []
    until(lambda: site_side.backstops() == {SUBNET}, 20, "so are the backstops")
    assert lab.run("pod", "ping", "-c", "3", "-i", "0.1", "10.128.0.10").returncode == 0
    assert "Traceback" not in site_side.log_text()


def _groups() -> list[list[int]]:
    return [[member["id"] for member in row["group"]] for row in site_side.nexthops() if "group" in row]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGTERM, ("Gateway Down", "check that UDP 500 and 4500 reach the peer")),
        (
            signal.SIGKILL,
            ("Gateway Down", "NothingAnswers", "look for what all tunnels share", "DataPathDead", "goes on probing"),
        ),
    ],
    ids=["taking leave", "without a word"],
)
@pytest.mark.usefixtures("unharmed")
def test_both_tunnels_lost_and_back(number: signal.Signals, words: tuple[str, ...]) -> None:
    for node in NODES:
        cloud_side.stop_charon(node, number)
    says("ERROR", "OverlayVPNTunnel/kube-system/tunnel-1", "OverlayVPNTunnel/kube-system/tunnel-2", *words)
    assert [row["usable"] for row in gateway.status()["tunnels"]] == [False, False]
    assert site_side.ours().keys() == {SUBNET}, "the routes stay, and hold the traffic back"
    for node, address in NODES.items():
        cloud_side.start_charon(node, address)
    until(lambda: gateway.status().get("status") == "Healthy", 60, "both are back")


def test_everything_killed_at_once(unharmed: Lab) -> None:
    before = {program: unharmed.processes(program) for program in PROGRAMS}
    assert all(before.values())
    kill(pid for pids in before.values() for pid in pids)
    until(lambda: not any(unharmed.processes(program) & pids for program, pids in before.items()), 20)
    until(lambda: gateway.status().get("status") == "Healthy", 60, "everything is back")
    assert {program: len(unharmed.processes(program)) for program in PROGRAMS} == {
        program: len(pids) for program, pids in before.items()
    }


def test_everything_killed_while_the_cloud_is_away(unharmed: Lab) -> None:
    for node in NODES:
        cloud_side.stop_charon(node, signal.SIGKILL)
    kill(pid for program in PROGRAMS for pid in unharmed.processes(program))
    until(lambda: unharmed.processes("ncgd"), 30, "ncgd is back")
    says("Gateway Down", "OverlayVPNTunnel/kube-system/tunnel-1", "UDP 500 and 4500")
    for node, address in NODES.items():
        cloud_side.start_charon(node, address)
    until(lambda: gateway.status().get("status") == "Healthy", 45, "everything is back")
