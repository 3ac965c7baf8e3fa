"""The cluster-shaped lab: pods of every node and the VM, while nodes come and go."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ncgd.lab import cluster, topology
from ncgd.lab.cluster_topology import CANDIDATES, pod_of
from tests.integration.netns import until
from tests.lab.conftest import IKE_OR_ESP, Lab, captured

pytestmark = [pytest.mark.lab, pytest.mark.root]

UP = ("--topology", "cluster")
_UNREACHABLE = re.compile(r" IP 203\.0\.113\.10 > 198\.51\.100\.1[12]: ICMP .* unreachable")
"""What the NAT answers to ESP for a node that is off."""
_REPLY = re.compile(r"^\[(\d+\.\d+)\] .*bytes from")


def other(worker: str) -> str:
    return next(each for each in CANDIDATES if each != worker)


@contextmanager
def nothing_in_clear() -> Iterator[None]:
    """Whatever crosses the internet while the block runs is IKE or ESP."""
    with captured() as seen:
        yield
    assert len(seen) > 40
    assert [line for line in seen if not IKE_OR_ESP.search(line) and not _UNREACHABLE.search(line)] == []


def test_up_proves_that_pods_and_the_vm_see_each_other_s_own_addresses(lab: Lab) -> None:
    assert f"{cluster.holder()} is the gateway" in lab.up_output
    for worker in (cluster.holder(),):
        pod = pod_of(worker)
        assert f"{pod} 10.20.{worker[-1]}.10 -> vm 10.128.0.10: each sees the other's own address" in lab.up_output
        assert f"vm 10.128.0.10 -> {pod} 10.20.{worker[-1]}.10: each sees" in lab.up_output
    assert cluster.gateway_object()["CurrNode"] == cluster.holder()


def test_status_says_who_is_the_gateway_and_why(lab: Lab) -> None:
    status = lab.command("status")
    assert status.returncode == 0, status.stderr
    assert f"{cluster.holder()}: Active, Healthy" in status.stdout
    assert f"{other(cluster.holder())}: Standby" in status.stdout
    assert "node3: Node" in status.stdout


def test_the_vpc_learns_the_pods_ranges_of_all_nodes(lab: Lab) -> None:
    def learned() -> set[str]:
        lines = lab.run("vm", "ip", "route", "show", "proto", "bird").stdout.splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith((" ", "\t"))}

    until(lambda: learned() == {"10.20.1.0/24", "10.20.2.0/23"}, 10, "the way back")


def test_the_gateway_loses_its_power_and_another_node_takes_over(lab: Lab) -> None:
    lost = cluster.holder()
    with nothing_in_clear():
        assert lab.command("node", "kill", lost).returncode == 0
        until(lambda: cluster.holder() == other(lost), 60, "the other candidate has the Lease")
        until(lambda: cluster.status(other(lost)).get("status") == "Healthy", 60)
        until(lambda: cluster.reaches(pod_of(other(lost))), 60, "its pod reaches the VM")
    until(lambda: cluster.gateway_object()["CurrNode"] == other(lost), 30)
    assert lab.command("node", "start", lost).returncode == 0
    until(lambda: cluster.status(lost).get("role", {}).get("part") == "Standby", 60)
    assert cluster.holder() == other(lost), "what works is left alone"


def test_a_cordoned_gateway_hands_over(lab: Lab) -> None:
    first = cluster.holder()
    with nothing_in_clear():
        assert lab.command("node", "cordon", first).returncode == 0
        until(lambda: cluster.holder() == other(first), 30, "the other candidate has the Lease")
        until(lambda: cluster.status(other(first)).get("status") == "Healthy", 60)
        until(lambda: cluster.reaches(pod_of(other(first))), 30)
    assert lab.command("node", "uncordon", first).returncode == 0
    until(lambda: cluster.status(first).get("role", {}).get("part") == "Standby", 60)
    lab.prove()


def test_down_removes_all_of_it(lab: Lab) -> None:
    assert lab.command("down").returncode == 0
    assert not any(map(topology.exists, topology.ALL_NODES))
    assert not topology.STATE.exists()
