"""The lab of docker-compose.yml does what it does on a machine, with the rights of the file and no more."""

import http.client
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ncgd.lab.proof import socket_at
from ncgd.lab.topology import POD, VM
from tests.docker.compose import Compose
from tests.docker.conftest import execute, healthy
from tests.docker.engine import NETWORK
from tests.integration.netns import until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first test waits for the images
PROGRAMS = {"ncgd": "bin/ncgd", "charon": "become charons|ipsec/charon", "exabgp": "repaired.py"}
CAPABILITIES = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13}


def status(lab: Compose) -> dict[str, object]:
    code, output = lab["ncgd"].exec_run(["ncgctl", "status", "-o", "json"], demux=True)
    return json.loads(output[0]) if output[0] else {"status": code}


def kill(lab: Compose, service: str) -> None:
    """SIGKILL by the machine, as the kernel would: the engine's own ``kill`` turns the restart policy off."""
    before = lab[service].attrs["State"]["StartedAt"]
    user = lab.services[service].get("user", "0")  # nobody there may kill what is somebody else's
    execute(lab["gateway"], "pkill", "-KILL", "-f", PROGRAMS[service], user=user)
    until(lambda: lab[service].attrs["State"]["StartedAt"] != before, 60, f"{service} is started again")


@contextmanager
def pinging(lab: Compose) -> Iterator[list[str]]:
    """Twenty pings a second from the pod to the VM; what ping said is in the list at the end."""
    seen: list[str] = []
    lab["pod"].exec_run(["sh", "-c", f"ping -n -i 0.05 {VM} > /run/pings 2>&1"], detach=True)
    until(lambda: lab["pod"].exec_run(["pgrep", "ping"])[0] == 0, 20, "ping runs")
    yield seen
    execute(lab["pod"], "pkill", "-INT", "ping")
    until(lambda: "packet loss" in execute(lab["pod"], "cat", "/run/pings"), 20, "ping has ended")
    seen.append(execute(lab["pod"], "cat", "/run/pings"))


def lost(said: str) -> int:
    """Answers that are missing before the last one: when ping ends, it does not wait for those under way."""
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", said)}
    sent = int(re.findall(r"(\d+) packets transmitted", said)[-1])
    assert answered, said[-2000:]
    return (sent if sent - max(answered) > 20 else max(answered)) - len(answered)


def test_the_gateway_is_healthy_and_ncgctl_needs_no_options(lab: Compose) -> None:
    seen = status(lab)
    assert seen["status"] == "Healthy"
    assert [tunnel["usable"] for tunnel in seen["tunnels"]] == [True, True]  # type: ignore[attr-defined]
    assert seen["problems"] == []


@pytest.mark.parametrize(("node", "source", "target"), [("pod", POD, VM), ("vm", VM, POD)])
def test_ping_both_ways(lab: Compose, node: str, source: str, target: str) -> None:
    assert " 0% packet loss" in execute(lab[node], "ping", "-c3", "-W2", "-I", source, target)


def test_the_status_page_is_on_the_machine_s_own_address(lab: Compose) -> None:
    (published,) = lab["gateway"].attrs["NetworkSettings"]["Ports"]["9179/tcp"]
    assert published["HostIp"] == "127.0.0.1"
    connection = http.client.HTTPConnection("127.0.0.1")
    connection.sock = socket_at(os.environ.get(NETWORK, "/proc/self/ns/net"))
    try:
        connection.sock.connect(("127.0.0.1", int(published["HostPort"])))
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, "tunnel-1" in answer.read().decode()) == (200, True)
    finally:
        connection.close()


def test_each_program_has_the_rights_of_the_file_and_no_more(lab: Compose) -> None:
    for service in ("ncgd", "charon", "exabgp"):
        said = execute(lab[service], "sh", "-c", "cat /proc/self/status; touch /x 2>&1 || :")
        fields = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        granted = sum(1 << CAPABILITIES[name] for name in lab.services[service].get("cap_add", ()))
        bounded = int(fields["CapBnd"], 16)
        assert (bounded, fields["NoNewPrivs"].strip()) == (granted, "1")
        assert int(fields["CapEff"], 16) == (0 if service == "exabgp" else granted)
        assert "Read-only file system" in said
    assert execute(lab["gateway"], "ps", "-o", "user=", "-C", "python3").split().count("root") == 2  # gateway, charons
    assert "ncgd-bgp" in execute(lab["gateway"], "ps", "-eo", "user=,args=")


def test_charon_has_loaded_what_it_needs_and_no_more(lab: Compose) -> None:
    sockets = execute(lab["charon"], "sh", "-c", "ls /run/charon.vici /run/ncgd/charon-*/charon.vici 2>/dev/null || :")
    stats = execute(lab["charon"], "swanctl", "--stats", "--uri", f"unix://{sockets.split()[0]}")
    loaded = set(stats.partition("loaded plugins:")[2].split())
    assert {"kdf", "vici", "openssl"} <= loaded
    assert not loaded & {"farp", "bypass-lan", "connmark", "updown", "forecast", "stroke", "dhcp", "attr"}


@pytest.mark.parametrize("service", ["ncgd", "exabgp"])
def test_a_killed_program_comes_back_and_no_packet_is_lost(lab: Compose, service: str) -> None:
    with pinging(lab) as seen:
        kill(lab, service)
        until(lambda: status(lab)["status"] == "Healthy", 60, "the gateway is healthy again")
    assert lost(seen[0]) == 0, seen[0][-2000:]


def test_a_killed_charon_comes_back(lab: Compose) -> None:
    """In the kernel ESP goes on without it; in userspace it was charon that did ESP."""
    is_userspace = "userspace" in execute(lab["ncgd"], "ncgctl", "status").partition("TUNNEL")[0]
    with pinging(lab) as seen:
        kill(lab, "charon")
        until(lambda: status(lab)["status"] == "Healthy", 90, "the gateway is healthy again")
    assert is_userspace or lost(seen[0]) == 0, seen[0][-2000:]
    until(lambda: "Z" not in execute(lab["gateway"], "ps", "-eo", "stat="), 20, "what has ended is reaped")


def test_failover(lab: Compose) -> None:
    with pinging(lab) as seen:
        lab["cloud0"].pause()
        until(lambda: status(lab)["status"] == "Degraded", 60, "the gateway has noticed")
        assert " 0% packet loss" in execute(lab["pod"], "ping", "-c10", "-i0.1", "-W2", VM)
        lab["cloud0"].unpause()
        until(lambda: status(lab)["status"] == "Healthy", 120, "both tunnels are back")
    # Five seconds' worth; it takes below one on a machine with nothing else to do.
    assert lost(seen[0]) < 100, seen[0][-2000:]


def test_ncgd_names_net_bind_service_when_it_lacks_it(lab: Compose) -> None:
    """It sees by it which device is charon's. In the kernel dataplane there is none to be seen."""
    lab["ncgd"].remove(force=True)
    lab.create("ncgd", lacking="NET_BIND_SERVICE").start()

    def is_told() -> bool:
        said = lab["ncgd"].exec_run(["ncgctl", "status"])[1].decode()
        return "CAP_NET_BIND_SERVICE is missing" in " ".join(said.split()) or "the kernel has XFRM" in said

    until(is_told, 60, "it is named")
    lab["ncgd"].remove(force=True)
    lab.create("ncgd").start()
    until(lambda: status(lab)["status"] == "Healthy", 90, "the gateway is healthy again")


def test_an_engine_without_ipv6_is_enough(lab: Compose) -> None:
    off = execute(lab["gateway"], "sh", "-c", "cat /proc/sys/net/ipv6/conf/eth*/disable_ipv6 || echo 1")
    assert set(off.split()) == {"1"}


def test_down_leaves_nothing_and_up_works_again(lab: Compose) -> None:
    lab.down()
    assert lab.left() == []
    lab.up()
    healthy(lab)
