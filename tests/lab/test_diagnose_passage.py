"""``ncgctl diagnose`` from a pod to a VM, on the real thing: each cause is made, named, and undone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from ncgd.lab import gateway, topology
from ncgd.lab.topology import POD, SUBNET, VM
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.diagnosing import Fault, assert_named, diagnosed, done, dropped_at, from_to, run, setting, table
from tests.lab.site_side import GATEWAY, edited

pytestmark = [pytest.mark.lab, pytest.mark.root]
STRANGER = "10.20.0.10"
"""An address of the pod that the cloud is not told of."""


@contextmanager
def unlearned() -> Iterator[None]:
    """The Cloud Router takes nothing that we advertise."""
    with ExitStack() as undo:
        for node in site_side.NODE_OF.values():
            path = topology.STATE / node / "bird.conf"
            usual = path.read_text()
            undo.callback(cloud_side.birdc, node, "configure")
            undo.callback(path.write_text, usual)
            path.write_text(usual.replace("import all;", "import none;"))
            cloud_side.birdc(node, "configure")
            until(lambda node=node: not cloud_side.learned(node), 20, "the router has unlearned it")
        yield


@contextmanager
def denied() -> Iterator[None]:
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["importPolicy"] = {"deny": [{"prefix": SUBNET}]}
    try:
        yield
    finally:
        with edited(GATEWAY) as documents:
            del documents[0]["spec"]["importPolicy"]


@contextmanager
def one_tunnel_with_a_strict_filter_on_the_other() -> Iterator[None]:
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["mode"] = "ActivePassive"
    device = site_side.tunnel("tunnel-2")["interface"]
    try:
        with setting(f"net.ipv4.conf.{device}.rp_filter", "1", "2")():
            yield
    finally:
        with edited(GATEWAY) as documents:
            del documents[0]["spec"]["mode"]


@contextmanager
def gone() -> Iterator[None]:
    """The pod."""
    with done("pod", "ip link set eth0 down", "ip link set eth0 up"):
        yield
    run("pod", "ip route add default via 10.10.0.1")  # it went with the link


@contextmanager
def another_table() -> Iterator[None]:
    with (
        done("gw", "ip route add default via 192.168.100.1 table 77", "ip route flush table 77"),
        done("gw", f"ip rule add to {SUBNET} lookup 77", f"ip rule del to {SUBNET} lookup 77"),
    ):
        yield


@contextmanager
def another_address(address: str) -> Iterator[None]:
    with (
        done("pod", f"ip addr add {address}/32 dev eth0", f"ip addr del {address}/32 dev eth0"),
        done("gw", f"ip route add {address} dev lan0", f"ip route del {address} dev lan0"),
    ):
        yield


MASQUERADE = "chain c { type nat hook postrouting priority -5; ip saddr 10.10.0.0/24 masquerade; }"
POLICY = "chain c { type filter hook forward priority 0; policy drop; ct state established,related accept; }"
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "ip_forward off": (setting("net.ipv4.ip_forward", "0", "1"), "ForwardingOff", "ip_forward is 0"),
    "one interface does not forward": (
        setting("net.ipv4.conf.lan0.forwarding", "0", "1"),
        "ForwardingOff",
        "conf.lan0.forwarding is 0",
    ),
    "rp_filter strict": (one_tunnel_with_a_strict_filter_on_the_other, "ReversePathStrict", "rp_filter is 1"),
    "FORWARD drops by policy": (partial(table, "gw", POLICY, "inet"), "ForwardDropped", "inet fault c: policy drop"),
    "iptables drops by policy": (
        partial(done, "gw", "iptables-nft -P FORWARD DROP", "iptables-nft -P FORWARD ACCEPT"),
        "ForwardDropped",
        "iptables-nft ip filter FORWARD: policy drop",
    ),
    "a rule drops the answers": (
        dropped_at("gw", "forward", 'oifname "lan0" ip saddr 10.128.0.0/9'),
        "ForwardDropped",
        "what 10.128.0.10 answers is dropped",
    ),
    "the answer is lost on this machine": (
        dropped_at("gw", "postrouting", 'oifname "lan0" ip daddr 10.10.0.10 ip saddr 10.128.0.10'),
        "ForwardDropped",
        "did not leave by lan0",
    ),
    "the pod is gone": (
        gone,
        "SourceSilent",
        "did not leave by lan0",
    ),
    "masqueraded": (partial(table, "gw", MASQUERADE), "SourceTranslated", "ip saddr 10.10.0.0/24 masquerade"),
    "another program's routing": (another_table, "RoutedElsewhere", "by wan0"),
    "refused by policy": (denied, "Denied", f"{SUBNET} was received, and is refused"),
    "the cloud does not send back": (unlearned, "NoReturnRoute", f"and not {POD}"),
    "the VM does not answer": (dropped_at("vm", "input", "ip protocol icmp"), "DestinationSilent", "nothing came back"),
    "node can, pod cannot": (
        dropped_at("vm", "input", f"ip saddr {POD}"),
        "NodeCanPodCannot",
        f"it answers this node (10.10.0.1), and not {POD}",
    ),
}


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[None]:
    site_side.healthy()
    yield
    site_side.healthy()
    until(lambda: from_to()["first"] is None, 20, "nothing is wrong any more")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_cause_is_named(fault: str) -> None:
    make, reason, words = FAULTS[fault]
    with make():
        assert_named(reason, words)


def test_a_source_that_the_cloud_is_not_told_of() -> None:
    with another_address(STRANGER):
        assert_named("SourceNotAdvertised", STRANGER, lambda: from_to(STRANGER))


def test_an_address_that_nobody_brings_and_one_that_is_not_here() -> None:
    assert_named("NoPathLearned", "no peer", lambda: from_to(POD, "10.99.0.1"))
    answer = from_to("10.77.0.1")
    assert answer["first"]["reason"] == "SourceNotAdvertised"
    assert [step["reason"] for step in answer["steps"] if step["verdict"] == "warn"] == ["SourceUnknown"]


def test_what_diagnose_does_disturbs_nobody(lab: Lab) -> None:
    with site_side.flowing(VM) as lost:
        for _ in range(3):
            until(lambda: from_to()["first"] is None, 20, "nothing is wrong on the way")
            until(lambda: diagnosed()["first"] is None, 20, "nothing is wrong at all")
    assert lost == {VM: 0}
    said = gateway.ncgctl("diagnose", "--from", POD, "--to", VM).stdout
    assert f"it answers {POD}" in said
    assert "checks are fine" in said
