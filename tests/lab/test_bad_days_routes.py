"""Bad days that come over BGP: what must not be believed, too much of it, and the same thing over and over."""

import os
import signal
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from ncgd.lab import gateway
from ncgd.lab.topology import SUBNET
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import PEERS, edited, says

pytestmark = [pytest.mark.lab, pytest.mark.root]

REFUSED = {
    "0.0.0.0/0": "DefaultRoute",
    "0.0.0.0/8": "Martian",
    "169.254.1.0/24": "Martian",
    "240.0.0.0/4": "Martian",
    "10.10.0.0/24": "OwnPrefix",
    "10.10.0.128/25": "OwnPrefix",
    "10.0.0.0/8": "OwnPrefix",
    "192.168.100.2/32": "OwnPrefix",
    "198.51.100.0/24": "TunnelEndpoint",
    "198.51.100.11/32": "TunnelEndpoint",
    "203.0.113.10/32": "TunnelEndpoint",
}
"""What a Cloud Router must not make us believe; 192.168.100.2 is the gateway's own, the pods are 10.10.0.0/24."""


@pytest.fixture(autouse=True)
def mended(lab: Lab) -> Iterator[Lab]:
    """Whatever the Cloud Router sends in a test, it comes back to its senses and no trace is left."""
    before = site_side.ours(), site_side.nexthops()
    assert site_side.healthy()
    yield lab
    for node in ("cloud0", "cloud1"):
        cloud_side.advertise(node)
    until(lambda: site_side.ours().keys() == before[0].keys(), 30, "only the VPC's subnet is installed")
    until(lambda: site_side.nexthops() == before[1], 20, "no nexthop group is left over")
    until(lambda: site_side.backstops() == {SUBNET}, 20, "no backstop either")
    site_side.untroubled()


def test_prefixes_that_would_hurt_are_refused_one_by_one_with_the_reason() -> None:
    cloud_side.advertise("cloud0", [*REFUSED, "10.200.0.0/24"])
    until(lambda: cloud_side.advertised("cloud0") == {*REFUSED, "10.200.0.0/24", SUBNET}, 20, "the cloud says so")
    until(lambda: site_side.peer("peer-1").get("received") == len(REFUSED) + 2, 20, "all of them arrive")
    status = site_side.got("overlaybgppeer", "peer-1")
    reasons = {each["prefix"]: each["reason"] for each in status["received"]}
    assert reasons == REFUSED | {SUBNET: "Accepted", "10.200.0.0/24": "Accepted"}
    until(lambda: site_side.ours().keys() == {SUBNET, "10.200.0.0/24"}, 20, "what is harmless is installed")
    said = says("DefaultRoute", "allowDefaultRoute", "3 received prefixes are refused", "ncgctl explain peer-1")
    assert gateway.status()["status"] == "Healthy", said
    explained = gateway.ncgctl("explain", "198.51.100.11").stdout
    assert "TunnelEndpoint" in explained
    assert "would loop into the tunnel" in explained


def test_more_prefixes_than_allowed_keep_what_is_installed_and_raise_a_condition(mended: Lab) -> None:
    first = [str(prefix) for prefix in IPv4Network("10.192.0.0/17").subnets(new_prefix=24)][:90]
    rest = [str(prefix) for prefix in IPv4Network("10.224.0.0/11").subnets(new_prefix=28)][:10_000]
    _limit(100)
    cloud_side.advertise("cloud0", first)
    until(lambda: site_side.ours().keys() == {SUBNET, *first}, 20, "90 prefixes fit")
    cloud_side.advertise("cloud0", first + rest)
    until(lambda: site_side.peer("peer-1")["received"] == 10_091, 30, "all of them arrive")
    installed = until(lambda: rows if len(rows := site_side.ours()) == 100 else {}, 20, "what fits is installed")
    assert installed.keys() >= {SUBNET, *first}
    assert _within_limit()["status"] == "False"
    said = says("ERROR PrefixLimit", "9991 prefixes beyond maxPrefixes 100 are refused", "raise maxPrefixes")
    assert gateway.status()["status"] == "Degraded", said
    assert all(row["status"] == "established" for row in gateway.status()["peers"])

    (ncgd,) = mended.processes("ncgd")
    os.kill(ncgd, signal.SIGKILL)
    until(lambda: mended.processes("ncgd") - {ncgd} and gateway.status(), 30, "ncgd is back")
    until(lambda: (now := gateway.status()) and not now["held"] and now["routes"]["installed"] == 100, 30, "and acts")
    assert site_side.ours() == installed, "a new ncgd keeps those of the 10 091 that are installed"

    _limit(20_000)
    until(lambda: len(site_side.ours()) == 10_091, 30, "a higher limit lets them in")
    site_side.healthy()
    _limit(100)
    says("ERROR PrefixLimit", "10091 prefixes were accepted before maxPrefixes was 100; they are kept")
    assert len(site_side.ours()) == 10_091, "a lower limit takes nothing away"
    cloud_side.advertise("cloud0", first)
    until(lambda: _within_limit()["status"] == "True", 30, "fewer prefixes clear the condition")
    until(lambda: site_side.ours().keys() == {SUBNET, *first}, 20, "and they are what is installed")
    site_side.healthy()
    _limit(5000)


def _limit(prefixes: int) -> None:
    """Set the first peer's maxPrefixes, and wait until it is in force."""
    with edited(PEERS) as documents:
        documents[0]["spec"]["maxPrefixes"] = prefixes
    show = ("get", "overlaybgppeer", "peer-1", "-o", "json")
    until(lambda: f'"maxPrefixes": {prefixes}' in gateway.ncgctl(*show).stdout, 20, "the limit is in force")


def _within_limit() -> dict[str, str]:
    conditions = site_side.got("overlaybgppeer", "peer-1")["conditions"]
    return next(each for each in conditions if each["type"] == "PrefixesWithinLimit")


def test_flapping_prefixes_end_as_the_cloud_router_ends() -> None:
    one = [str(prefix) for prefix in IPv4Network("10.200.0.0/20").subnets(new_prefix=26)]
    two = [str(prefix) for prefix in IPv4Network("10.201.0.0/20").subnets(new_prefix=26)]
    with site_side.vm_with_many_addresses():
        addresses = [site_side.address_through(name) for name in ("tunnel-1", "tunnel-2")]
        with site_side.flowing(*addresses) as lost:
            for turn in range(20):
                cloud_side.advertise("cloud0", one if turn % 2 else two)
                cloud_side.advertise("cloud1", two if turn % 3 else [])
            expected = {SUBNET, *one, *two}
            until(
                lambda: cloud_side.advertised("cloud0") | cloud_side.advertised("cloud1") == expected,
                20,
                "the Cloud Router has been configured as it was told last",
            )
            until(lambda: site_side.ours().keys() == expected, 30, "the kernel holds what the Cloud Router has")
        assert lost == dict.fromkeys(addresses, 0)
    until(lambda: site_side.backstops() == expected, 20, "and so behind them")
    groups = {row["id"]: {member["id"] for member in row["group"]} for row in site_side.nexthops() if "group" in row}
    routes = site_side.ours()
    assert groups[routes[one[0]]].isdisjoint(groups[routes[two[0]]]), "each through the tunnel that it comes from"
    assert set(routes.values()) == set(groups), "no group without a route, no route without its group"
    assert site_side.healthy()["routes"]["drift"] == 0, site_side.log_text()


def test_a_session_that_flaps_settles() -> None:
    for _ in range(5):
        cloud_side.birdc("cloud0", "restart", "site")
        until(lambda: "Established" in cloud_side.birdc("cloud0", "show", "protocols", "site"), 30, "it is back")
    until(lambda: [row["accepted"] for row in site_side.healthy()["peers"]] == [1, 1], 30, "both have sent all again")
    assert until(lambda: cloud_side.learned("cloud0") == {"10.10.0.0/24"}, 20)
