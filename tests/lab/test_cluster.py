"""The cluster-shaped lab: pods of every node and the VM, while nodes come and go."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from tempfile import TemporaryFile

import pytest

from ncgd.lab import cluster, processes, topology
from ncgd.lab.cluster_topology import API_ADDRESS, CANDIDATES, WORKERS, pod_of
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
def outage(pod: str) -> Iterator[list[float]]:
    """Twenty pings a second from a pod to the VM while the block runs; then the longest time without an answer."""
    argv = topology.inside(pod, "ping", "-D", "-n", "-i", "0.05", topology.VM)
    seconds: list[float] = []
    with TemporaryFile("w+") as output, subprocess.Popen(argv, stdout=output, text=True) as ping:
        try:
            yield seconds
        finally:
            ping.send_signal(signal.SIGINT)  # at which it writes what it has not written yet
            ping.wait(30)
            output.seek(0)
            times = [float(match[1]) for line in output if (match := _REPLY.match(line))]
    assert len(times) > 1, "no ping was answered"
    seconds.append(max(later - earlier for earlier, later in pairwise(times)))


@contextmanager
def nothing_in_clear() -> Iterator[None]:
    """Whatever crosses the internet while the block runs is IKE or ESP."""
    with captured() as seen:
        yield
    assert len(seen) > 40
    assert [line for line in seen if not IKE_OR_ESP.search(line) and not _UNREACHABLE.search(line)] == []


def test_up_proves_that_pods_and_the_vm_see_each_other_s_own_addresses(lab: Lab) -> None:
    assert f"{cluster.holder()} is the gateway" in lab.up_output
    for worker in WORKERS:
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

    until(lambda: learned() == {"10.20.1.0/24", "10.20.2.0/23"}, 30, "the way back")


def test_the_gateway_loses_its_power_and_another_node_takes_over(lab: Lab) -> None:
    lost = cluster.holder()
    with nothing_in_clear(), outage("pod3") as seconds:
        assert lab.command("node", "kill", lost).returncode == 0
        until(lambda: cluster.holder() == other(lost), 60, "the other candidate has the Lease")
        until(lambda: cluster.reaches("pod3"), 60, "the pod reaches the VM again")
    print(f"power loss of the gateway: {seconds[0]:.1f} s")
    until(lambda: cluster.gateway_object()["CurrNode"] == other(lost), 30)
    assert lab.command("node", "start", lost).returncode == 0
    until(lambda: cluster.status(lost).get("role", {}).get("part") == "Standby", 60)
    until(lambda: cluster.reaches(pod_of(lost)), 60, "its pod reaches the VM again")
    assert cluster.holder() == other(lost), "what works is left alone"


def test_a_cordoned_gateway_hands_over(lab: Lab) -> None:
    first = cluster.holder()
    with nothing_in_clear(), outage("pod3") as seconds:
        assert lab.command("node", "cordon", first).returncode == 0
        until(lambda: cluster.holder() == other(first), 30, "the other candidate has the Lease")
        until(lambda: cluster.status(other(first)).get("status") == "Healthy", 60)
        until(lambda: cluster.reaches("pod3"), 30)
    print(f"hand-over: {seconds[0]:.1f} s")
    assert lab.command("node", "uncordon", first).returncode == 0
    until(lambda: cluster.status(first).get("role", {}).get("part") == "Standby", 60)
    lab.prove()


def test_nodes_that_lose_the_api_server_go_on_as_they_are(lab: Lab) -> None:
    active = cluster.holder()
    server = processes.recorded()["lan", "api"]
    assert server is not None

    def may_initiate() -> object:
        return cluster.status(active)["role"]["mayInitiate"]

    def parts() -> list[str]:
        return [cluster.status(worker)["role"]["part"] for worker in WORKERS]

    before = parts()
    with nothing_in_clear(), outage("pod3") as seconds:
        os.kill(server, signal.SIGSTOP)
        try:
            until(lambda: not may_initiate(), 60, "the Lease has run out unrenewed")
            assert parts() == before
            assert cluster.reaches("pod3")
        finally:
            os.kill(server, signal.SIGCONT)
        until(may_initiate, 60, "it holds the Lease again")
    print(f"API server away until after the Lease had run out: {seconds[0]:.1f} s")
    assert parts() == before
    assert cluster.holder() == active


def test_a_new_ncgd_on_the_gateway_goes_on_in_the_same_epoch(lab: Lab) -> None:
    active = cluster.holder()
    before = cluster.status(active)
    lock = topology.STATE / active / "ncgd.lock"
    pid = int(lock.read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: lock.read_text() not in {"", str(pid)}, 30, "a new ncgd")
    until(lambda: cluster.status(active).get("status") == "Healthy" and _role(active) == "HoldsLease", 30)
    now = cluster.status(active)
    ages = {each["name"]: each["establishedSeconds"] for each in now["tunnels"]}
    assert all(ages[each["name"]] >= each["establishedSeconds"] for each in before["tunnels"]), "SAs were made anew"
    assert now["role"]["epoch"] == before["role"]["epoch"]


def test_a_gateway_that_is_cut_off_from_the_api_does_not_fight_the_next_one(lab: Lab) -> None:
    cut_off, after = cluster.holder(), other(cluster.holder())
    devices = {each["interface"] for each in cluster.status(cut_off)["tunnels"]}
    assert all(name in lab.run(cut_off, "ip", "-br", "link").stdout for name in devices)
    rule = ("OUTPUT", "-p", "tcp", "-d", API_ADDRESS, "--dport", str(cluster.API_PORT), "-j", "DROP")
    with nothing_in_clear():
        assert lab.run(cut_off, "iptables", "-I", *rule).returncode == 0
        try:
            until(lambda: cluster.holder() == after, 60, "the other candidate has the Lease")
            until(lambda: cluster.status(after).get("status") == "Healthy" and cluster.reaches(pod_of(after)), 60)
            assert _role(cut_off) == "LeaseHeldOver"
            until(lambda: cluster.status(cut_off)["status"] == "Down", 60, "its tunnels are the other's now")
            assert cluster.status(after)["status"] == "Healthy"
        finally:
            assert lab.run(cut_off, "iptables", "-D", *rule).returncode == 0
        until(lambda: _role(cut_off) == "OtherHoldsLease", 60)

        def is_gone() -> bool:
            links = lab.run(cut_off, "ip", "-br", "link").stdout
            return not any(name in links for name in devices)

        until(is_gone, 30, "nothing of its tunnels is left")
        assert "unreachable 10.128.0.0/20" in lab.run(cut_off, "ip", "route").stdout
    lab.prove()


def _role(worker: str) -> str:
    """Why the node plays its part, in one word."""
    return str(cluster.status(worker).get("role", {}).get("reason"))


def test_down_removes_all_of_it(lab: Lab) -> None:
    assert lab.command("down").returncode == 0
    assert not any(map(topology.exists, topology.ALL_NODES))
    assert not topology.STATE.exists()
