"""Bad days of the gateway's machine: addresses taken, interfaces and routes meddled with, logs flooded."""

from collections.abc import Iterator

import pytest

from ncgd.daemon.log_files import LARGEST_BYTES
from ncgd.lab import gateway
from ncgd.lab.topology import SUBNET
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.rekeys import rekey
from tests.lab.site_side import GATEWAY, TUNNELS, edited, ip, says

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[Lab]:
    """Nobody mends what a test breaks but ncgd: afterwards all is as it was before."""
    site_side.healthy()
    routes, nexthops = site_side.ours(), site_side.nexthops()
    yield lab
    site_side.untroubled()
    until(lambda: site_side.ours() == routes, 20, "the routes are as before")
    until(lambda: site_side.backstops() == {SUBNET}, 20, "so are the backstops")
    until(lambda: _without_devices(site_side.nexthops()) == _without_devices(nexthops), 20, "so are the nexthops")


def _without_devices(nexthops: list[dict[str, object]]) -> list[dict[str, object]]:
    """A userspace charon that has to make its TUN device anew may get another name for it."""
    return [{key: value for key, value in row.items() if key != "dev"} for row in nexthops]


def test_a_tunnel_address_on_another_interface_is_named_and_taken_once_it_is_free() -> None:
    tunnels = (gateway.RESOURCES / TUNNELS).read_bytes()
    device = site_side.tunnel("tunnel-1")["interface"]
    with edited(TUNNELS) as documents:
        del documents[0]
    until(lambda: len(gateway.status()["tunnels"]) == 1, 20, "the tunnel is gone")
    until(lambda: device not in site_side.links(), 20, "and its interface, with the address")
    ip("addr add 169.254.1.2/32 dev lan0")
    (gateway.RESOURCES / TUNNELS).write_bytes(tunnels)
    says("ERROR AddressInUse", "169.254.1.2 is already on interface lan0", "free the address")
    assert gateway.status()["status"] == "Degraded"
    assert site_side.tunnel("tunnel-2")["usable"]
    ip("addr del 169.254.1.2/32 dev lan0")
    site_side.healthy()


def test_a_tunnel_address_that_somebody_else_takes_as_well_costs_no_session() -> None:
    ages = [site_side.peer(name)["uptimeSeconds"] for name in ("peer-1", "peer-2")]
    sas = site_side.sa_ids("tunnel-1")
    ip("addr add 169.254.1.2/32 dev lan0")
    try:
        with edited(GATEWAY) as documents:
            documents[0]["spec"]["advertisedPrefixes"].append("10.10.7.0/24")
        until(lambda: len(site_side.peer("peer-1")["advertised"]) == 2, 20, "ncgd has gone on meanwhile")
        now = gateway.status()
        assert [row["usable"] for row in now["tunnels"]] == [True, True]
        assert all(row["uptimeSeconds"] >= age for row, age in zip(now["peers"], ages, strict=True))
        assert site_side.sa_ids("tunnel-1") == sas
    finally:
        ip("addr del 169.254.1.2/32 dev lan0")
        with edited(GATEWAY) as documents:
            documents[0]["spec"]["advertisedPrefixes"].remove("10.10.7.0/24")
        until(lambda: len(site_side.peer("peer-1")["advertised"]) == 1, 20)


@pytest.mark.parametrize(
    "meddling",
    [
        "link set {device} down",
        "link del {device}",
        "addr flush dev {device}",
        "link set {device} mtu 1500",
    ],
)
def test_a_meddled_interface_is_put_right(meddling: str) -> None:
    mtu = site_side.tunnel("tunnel-1")["mtu"]
    ip(meddling.format(device=site_side.tunnel("tunnel-1")["interface"]))

    def is_right() -> bool:
        link = site_side.links().get(site_side.tunnel("tunnel-1")["interface"])
        if not link or link["mtu"] != mtu or "UP" not in link["flags"]:
            return False
        ends = [(row["local"], row["address"]) for row in link["addr_info"] if "address" in row]
        return ends == [("169.254.1.2", "169.254.1.1")]

    until(is_right, 30, "the interface is as it was")
    assert [row["usable"] for row in site_side.healthy()["tunnels"]] == [True, True]


def test_meddled_nexthops_and_routes_are_put_right_and_counted() -> None:
    before = gateway.status()["routes"]["drift"]
    group, members = _group(), _members()
    ip(f"nexthop replace id {group} group {members[1]}")
    until(lambda: _members() == members, 20, "the group has its members again")
    ip("nexthop flush protocol 157")
    until(lambda: site_side.ours() == {SUBNET: group} and _members() == members, 20, "everything is back")
    ip("route add 10.77.0.0/16 via 10.10.0.10 proto static")
    ip("route add 10.128.0.0/20 via 10.10.0.10 metric 500 proto static")
    foreign = _foreign()
    ip(f"route replace {SUBNET} via 10.10.0.10 metric 157 proto 157")
    ip(f"route del unreachable {SUBNET} metric 4294967057 proto 157")
    ip(f"route add 10.99.0.0/24 nhid {group} metric 157 proto 157")
    until(lambda: site_side.backstops() == {SUBNET}, 20, "the backstop is back")
    until(lambda: site_side.ours() == {SUBNET: group}, 20, "what carries our mark is as we want it, and no more")
    until(lambda: _members() == members, 20, "through both tunnels")
    assert _foreign() == foreign, "what does not carry our mark is left alone"
    says("rows changed by others and put right")
    ip(f"nexthop del id {members[0]}")
    until(lambda: _members() == members, 20, "again through both tunnels")
    assert gateway.status()["routes"]["drift"] > before
    ip("route del 10.77.0.0/16 proto static")
    ip("route del 10.128.0.0/20 metric 500 proto static")


def _group() -> int:
    return site_side.ours()[SUBNET]


def _members() -> list[int]:
    groups = [row for row in site_side.nexthops() if "group" in row]
    return [member["id"] for member in groups[0]["group"]] if groups else []


def _foreign() -> list[str]:
    return [line for line in ip("route show").splitlines() if "proto 157" not in line]


def test_logs_that_are_flooded_are_emptied_under_the_programs_that_go_on_writing() -> None:
    site_side.healthy()
    ages = [each["uptimeSeconds"] for each in gateway.status()["peers"]]
    logs = [path for pattern in ("exabgp.log", "charon*/charon.log") for path in gateway.RUN.glob(pattern)]
    assert len(logs) >= 2
    for path in logs:
        with path.open("ab") as stream:
            stream.write(b"a line of a flood\n" * 2**18)
    until(lambda: all(path.stat().st_size < LARGEST_BYTES for path in logs), 30, "the logs are short again")
    rekey("child", ("us",))
    log_of_charon = next(path for path in logs if path.parent.name in {"charon", "charon-tunnel-1"})
    said = until(log_of_charon.read_bytes, 10, "charon writes on")
    assert b"CHILD_SA" in said
    assert b"\0" not in said, "from the start of the file, not after a hole"
    assert b"a line of a flood" in log_of_charon.with_suffix(".log.1").read_bytes()
    assert "had 4 MiB and was emptied; its end is in exabgp.log.1" in site_side.log_text()
    assert all(now["uptimeSeconds"] >= age for now, age in zip(gateway.status()["peers"], ages, strict=True))
