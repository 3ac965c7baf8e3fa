"""Nothing in cleartext: ncgd dead and its routes flushed, the machine started anew; and what Off takes away."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ncgd.lab import gateway, processes
from ncgd.lab.topology import SUBNET, inside
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import PROGRAMS, Lab, captured, kill
from tests.lab.site_side import says

pytestmark = [pytest.mark.lab, pytest.mark.root]

NODES = {"cloud0": "169.254.1.1/30", "cloud1": "169.254.2.1/30"}
VM = "10.128.0.10"
LEAK = re.compile(r"\b10\.\d+\.\d+\.\d+")
"""An address of the pods or of the VPC, in a line of tcpdump -n."""


def in_gw(*argv: str) -> str:
    """What a command says in gw, as somebody else on that machine would run it."""
    result = subprocess.run(inside("gw", *argv), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(argv)}: {result.stderr}"
    return result.stdout


def tables() -> set[str]:
    """The nftables tables in gw."""
    rows = json.loads(in_gw("nft", "-j", "list", "tables"))["nftables"]
    return {row["table"]["name"] for row in rows if "table" in row}


def ways_back() -> str:
    """What the VM's kernel has learned from the Cloud Router."""
    show = inside("vm", "ip", "route", "show", "proto", "bird")
    return subprocess.run(show, capture_output=True, text=True, check=True).stdout


def pings(lab: Lab, node: str, count: int = 20) -> int:
    """Pings to the VM that were answered."""
    said = lab.run(node, "ping", "-n", "-c", str(count), "-i", "0.05", "-W", "1", VM).stdout
    return sum(map(int, re.findall(r"(\d+) received", said)))  # with no route at all, ping counts nothing


@contextmanager
def without_tunnels() -> Iterator[None]:
    """Both HA VPN interfaces are away while the block runs, and nobody said so."""
    for node in NODES:
        cloud_side.stop_charon(node, signal.SIGKILL)
    try:
        yield
    finally:
        for node, address in NODES.items():
            cloud_side.start_charon(node, address)


@contextmanager
def without(lab: Lab, *programs: str) -> Iterator[None]:
    """These programs are dead in gw, and nobody starts them again while the block runs."""
    keeper = processes.recorded()["gw", "keeper"]
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    try:
        kill({pid for program in programs for pid in lab.processes(program)})
        until(lambda: not [program for program in programs if lab.processes(program)], 20)
        yield
    finally:
        os.kill(keeper, signal.SIGCONT)


def no_tunnel_interfaces() -> bool:
    """Delete those that are there; True when there are none."""
    names = [name for name in site_side.links() if name.startswith(("ncg", "ipsec"))]
    for name in names:
        subprocess.run(inside("gw", "ip", "link", "del", name), capture_output=True, check=False)
    return not names


def default_route_leads_out() -> None:
    """Without ncgd's doing, traffic for the VPC would leave to the internet."""
    assert "dev wan0" in in_gw("ip", "route", "get", "10.127.0.1")


def leaks(seen: list[str]) -> list[str]:
    return [line for line in seen if LEAK.search(line)]


@pytest.fixture(autouse=True)
def whole(lab: Lab) -> Iterator[None]:
    """The end is as the start."""
    site_side.healthy()
    yield
    until(lambda: gateway.status().get("status") == "Healthy", 45, "Healthy again")
    until(lambda: gateway.status()["leakProtection"]["guarded"] == 1, 30, "guarded again")
    until(lambda: all(cloud_side.learned(node) == {"10.10.0.0/24"} for node in NODES), 30, "the cloud knows the way")
    until(lambda: site_side.backstops() == {SUBNET}, 20, "the backstop is there")
    until(lambda: all(f"dev {node}" in ways_back() for node in NODES), 30, "so does the VM")
    assert pings(lab, "pod") == 20
    assert "Traceback" not in site_side.log_text()


def test_routes_flushed_while_ncgd_is_dead_and_the_tunnels_too(lab: Lab) -> None:
    with captured() as seen, without_tunnels(), without(lab, "ncgd"):
        in_gw("ip", "route", "flush", "proto", "157")
        assert SUBNET not in in_gw("ip", "route", "show", "table", "main")
        default_route_leads_out()
        assert [pings(lab, node) for node in ("pod", "gw")] == [0, 0]
    assert leaks(seen) == []
    says("packets dropped")
    until(lambda: gateway.status()["leakProtection"]["dropped"] >= 40, 30, "they were counted")


def test_a_machine_that_starts_anew_while_the_cloud_is_away(lab: Lab) -> None:
    until(lambda: (gateway.RUN / "state" / "guarded-prefixes").read_text().count("\n") == 3, 20, "remembered")
    with captured() as seen, without_tunnels():
        with without(lab, *PROGRAMS):
            in_gw("sysctl", "-qw", "net.ipv4.ip_forward=0")
            in_gw("ip", "route", "flush", "proto", "157")
            in_gw("ip", "nexthop", "flush", "proto", "157")
            in_gw("nft", "flush", "ruleset")
            until(no_tunnel_interfaces, 20, "those of a charon that was killed may be just about to go by themselves")
            assert (site_side.ours(), site_side.backstops(), tables()) == ({}, set(), set())
            default_route_leads_out()
            flow = subprocess.Popen(inside("pod", "ping", "-n", "-q", "-i", "0.005", VM), stdout=subprocess.DEVNULL)
        try:
            says("1 of them remembered from before the start, until peer-1, peer-2 sent all", seconds=20)
            until(lambda: site_side.backstops() == {SUBNET}, 30, "the backstop")
            until(lambda: gateway.status()["leakProtection"]["guarded"] == 1, 30, "the guard")
            assert in_gw("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
            assert pings(lab, "gw") == 0
        finally:
            flow.send_signal(signal.SIGINT)
            flow.wait(10)
    assert leaks(seen) == []


def test_whoever_flushes_the_ruleset_flushes_it_for_a_moment(lab: Lab) -> None:
    before = gateway.status()["routes"]["drift"]
    in_gw("nft", "flush", "ruleset")
    until(lambda: tables() == {"ncgd", "ncgd_guard", "ncgd_masquerade"}, 20, "all tables are back")
    until(lambda: SUBNET.partition("/")[0] in in_gw("nft", "list", "table", "inet", "ncgd_guard"), 20)
    until(lambda: gateway.status()["routes"]["drift"] > before, 20, "counted as drift")
    assert pings(lab, "pod") == 20


def test_off_removes_all_and_then_it_leaks(lab: Lab) -> None:
    """The one test in which packets are seen: so the others would see them."""
    with site_side.edited(site_side.GATEWAY) as documents:
        documents[0]["spec"]["leakProtection"] = "Off"
    says("leakProtection is Off")
    until(
        lambda: (site_side.backstops(), tables()) == (set(), {"ncgd", "ncgd_masquerade"}),
        30,
        "backstop and guard are gone",
    )
    assert pings(lab, "pod") == 20
    with captured() as seen, without_tunnels(), without(lab, "ncgd"):
        in_gw("ip", "route", "flush", "proto", "157")
        assert pings(lab, "pod", 5) == 0
    assert leaks(seen)
    with site_side.edited(site_side.GATEWAY) as documents:
        del documents[0]["spec"]["leakProtection"]
