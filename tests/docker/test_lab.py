"""The lab in its container does what it does on a machine, with the capabilities of docker-compose.yml and no more."""

import json

import pytest
from docker.models.containers import Container

from ncgd.lab.topology import POD, VM
from tests.docker.conftest import Home, execute, healthy, in_node, log
from tests.integration.netns import until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]  # the first test waits for the image


def test_the_gateway_is_healthy_and_ncgctl_needs_no_options(lab: Container) -> None:
    status = json.loads(execute(lab, "ncgctl", "status", "-o", "json"))
    assert status["status"] == "Healthy"
    assert [tunnel["status"] for tunnel in status["tunnels"]] == ["established", "established"]


@pytest.mark.parametrize(("node", "address"), [("pod", VM), ("vm", POD)])
def test_ping_both_ways(lab: Container, node: str, address: str) -> None:
    assert " 0% packet loss" in in_node(lab, node, "ping", "-c1", "-W2", address)


def test_nothing_but_the_loopback_leads_out(lab: Container) -> None:
    assert execute(lab, "ls", "/sys/class/net").split() == ["lo"]


def test_the_programs_that_help_names_run(lab: Container) -> None:
    packets = in_node(lab, "internet", "timeout", "60", "tcpdump", "-c1", "-nq", "udp port 4500")
    assert "198.51.100." in packets
    sessions = in_node(lab, "cloud0", "birdc", "-s", "/run/ncgd-lab/cloud0/bird.ctl", "show", "protocols", "site")
    assert "Established" in sessions


def test_killed_programs_come_back_and_leave_no_zombie(lab: Container) -> None:
    def gateway() -> set[str]:
        return set(in_node(lab, "gw", "sh", "-c", "pgrep --ns $$ --nslist net 'ncgd|charon'").split())

    killed = gateway()  # with ncgd gone its charons are orphans, which process 1 has to reap
    execute(lab, "kill", "-9", *killed)
    until(lambda: lab.exec_run(["ncgctl", "status"])[0] == 0 and not killed & gateway(), 60, "ncgd and charon are back")
    assert len(gateway()) == len(killed) == 3
    assert "Z" not in execute(lab, "ps", "-eo", "stat=")


def test_sigterm_ends_it_cleanly_and_it_starts_again(home: Home) -> None:
    with home.container("--prefixes", "10") as container:
        healthy(container)
        assert json.loads(execute(container, "ncgctl", "status", "-o", "json"))["routes"]["installed"] == 11
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 0
        assert log(container).rstrip().endswith("the lab is down; nothing of it is left")
        assert not container.diff()
        container.start()
        healthy(container)
        container.kill()
        container.start()
        healthy(container)


def test_sigterm_during_up_ends_it_cleanly(home: Home) -> None:
    with home.container() as container:
        until(lambda: "starting ncgd" in log(container))
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 0
        assert log(container).rstrip().endswith("the lab is down; nothing of it is left")


@pytest.mark.parametrize("capability", ["SYS_ADMIN", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"])
def test_a_missing_capability_is_named(home: Home, capability: str) -> None:
    with home.container(without=capability) as container:
        assert container.wait()["StatusCode"] == 1
        assert f"missing capabilities: {capability};" in log(container)
