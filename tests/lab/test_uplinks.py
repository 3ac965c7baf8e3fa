"""Two tunnels over two uplinks: the one whose uplink goes is left at once, and used again when it is back."""

import subprocess
from collections.abc import Callable

import pytest

from ncgd.lab import topology
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.test_liveness import interfaces_used

pytestmark = [pytest.mark.lab, pytest.mark.root]


def make_second_uplink() -> None:
    """``wan1`` beside ``wan0``, with an address and a way out of its own; the NAT shows both as one address."""
    nat = topology.namespace("nat")
    site_side.ip(f"link add wan1 type veth peer name lan1 netns {nat}")
    site_side.ip("addr add 192.168.101.2/24 dev wan1")
    site_side.ip("rule add from 192.168.101.2 lookup 101")
    for arguments in ("addr add 192.168.101.1/24 dev lan1", "link set lan1 up"):
        subprocess.run(["ip", "-n", nat, *arguments.split()], check=True)
    rule = "add rule ip nat out oifname wan0 ip saddr 192.168.101.2 snat to 203.0.113.10"
    subprocess.run(topology.inside("nat", "nft", *rule.split()), check=True)
    set_up()


def set_up() -> None:
    site_side.ip("link set wan1 up")
    site_side.ip("route replace default via 192.168.101.1 dev wan1 table 101")


def carrier(state: str) -> None:
    """The far end of the cable."""
    subprocess.run(["ip", "-n", topology.namespace("nat"), "link", "set", "lan1", state], check=True)


def healthy_on_both(lab: Lab) -> set[str]:
    site_side.healthy()
    until(lambda: len(interfaces_used(lab)) == 2, what="both tunnels carry")
    return interfaces_used(lab)


@pytest.fixture(scope="module")
def uplinks(lab: Lab) -> Lab:
    make_second_uplink()
    with site_side.edited(site_side.TUNNELS) as documents:
        next(each for each in documents if each["metadata"]["name"] == "tunnel-2")["spec"]["interface"] = "wan1"
    until(lambda: _sent() > 100, 60, "the probes of tunnel-2 leave through wan1")
    healthy_on_both(lab)
    return lab


def _sent() -> int:
    path = "/sys/class/net/wan1/statistics/tx_packets"
    return int(subprocess.run(topology.inside("gw", "cat", path), capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("breaks", "mends"),
    [
        (lambda: carrier("down"), lambda: carrier("up")),
        (lambda: site_side.ip("link set wan1 down"), set_up),
    ],
    ids=["no carrier", "set down"],
)
def test_the_tunnel_over_a_lost_uplink_is_left(
    uplinks: Lab, breaks: Callable[[], object], mends: Callable[[], object]
) -> None:
    before = healthy_on_both(uplinks)
    breaks()
    try:
        site_side.says("UplinkDown", "its uplink wan1 is down or has no carrier", "bring the link up")
        until(lambda: len(interfaces_used(uplinks)) == 1, what="one tunnel carries")
        assert site_side.tunnel("tunnel-1")["usable"]
        assert uplinks.run("pod", "ping", "-c", "3", "-i", "0.1", topology.VM).returncode == 0
    finally:
        mends()
    until(lambda: uplinks.status().get("status") == "Healthy", 40, "back to Healthy")
    assert healthy_on_both(uplinks) == before
