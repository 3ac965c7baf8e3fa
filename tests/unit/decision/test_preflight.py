"""What ``ncgctl verify`` says of facts: each check, fine and not fine."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from ncgd.decision.preflight.checks import all_checks
from ncgd.decision.preflight.cluster import cluster_checks
from ncgd.decision.preflight.facts import (
    ClusterFacts,
    ClusterNode,
    Daemon,
    KeyShape,
    NodeFacts,
    Reach,
    Wanted,
    shape_of,
)
from ncgd.decision.preflight.keys import key_checks
from ncgd.decision.preflight.node import node_checks
from ncgd.decision.preflight.ranges import link_local_checks, range_checks
from ncgd.decision.preflight.verdict import Check, Verdict, worst
from ncgd.model import prefix as px
from ncgd.model.capability import Capability
from ncgd.model.spec import Intent
from ncgd.resources import crd
from tests.unit.resources.manifests import Loader, a_file, changed, gateway, peer, secret, tunnel

ABLE = Capability(kernel_esp=True, kernel_detail="all yes", userspace_esp=True, userspace_detail="")
NODE = NodeFacts(
    name="worker1",
    kernel="6.1.0-18-amd64",
    capability=ABLE,
    nft="nftables v1.0.6",
    ip_forward=True,
    rp_filter={"eth0": 1, "lo": 0, "ncg1": 2},
    addresses={"eth0": ("10.0.0.11/24",), "lo": ("127.0.0.1/8",)},
    uplinks=("eth0",),
    udp_ports={},
)
WORKER = ClusterNode(
    name="worker1", is_ready=True, is_candidate=True, addresses=("10.0.0.11",), pod_cidrs=("10.244.1.0/24",)
)
CLUSTER = ClusterFacts(
    url="https://10.0.0.1:6443",
    version="v1.29.3",
    minor=29,
    nodes=(WORKER,),
    service_cidrs=("10.96.0.0/16",),
    cni=("kube-flannel-ds",),
    definitions={kind: crd.definition(kind) for kind in crd.DEFINED},
)


def intent(*manifests: Any) -> Intent:
    given = manifests or (secret(), tunnel(1), tunnel(2), peer(1), peer(2), pods_advertised())
    return Loader().load({"all.yaml": a_file(*given)}).intent


def pods_advertised() -> dict[str, Any]:
    return gateway(advertisedPrefixes=["10.244.0.0/16"])


def wanted(*manifests: Any, **fields: Any) -> Wanted:
    return Wanted(intent=intent(*manifests), keys={"kube-system/ike-key": KeyShape(flaws=frozenset())}, **fields)


def bad(checks: Any) -> list[tuple[str, Verdict]]:
    found: list[Check] = list(checks)
    assert all(check.saw for check in found)
    assert all(bool(check.todo) == (check.verdict is not Verdict.OK) for check in found), "says what to do, if anything"
    return [(check.name, check.verdict) for check in found if check.verdict is not Verdict.OK]


def of_node(**changes: Any) -> list[tuple[str, Verdict]]:
    return bad(node_checks(replace(NODE, **changes), intent(), is_gateway=True))


def of_cluster(**changes: Any) -> list[tuple[str, Verdict]]:
    return bad(cluster_checks(replace(CLUSTER, **changes), wanted()))


def test_a_healthy_cluster_passes_every_check() -> None:
    checks = list(all_checks(CLUSTER, [NODE], wanted()))
    assert bad(checks) == []
    assert worst(checks) is Verdict.OK
    assert {"kernel", "dataplane", "forwarding", "rp_filter", "ranges", "psk", "link-local", "rights"} <= {
        check.name for check in checks
    }


def test_a_healthy_host_passes_every_check_without_a_cluster() -> None:
    assert bad(all_checks(None, [NODE], wanted())) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"kernel": "4.18.0-553.el8"}, [("kernel", Verdict.FAIL)]),
        ({"kernel": "5.3.0"}, []),
        ({"capability": replace(ABLE, kernel_esp=False)}, [("dataplane", Verdict.WARN)]),
        ({"capability": replace(ABLE, kernel_esp=False, userspace_esp=False)}, [("dataplane", Verdict.FAIL)]),
        ({"capability": replace(ABLE, kernel_esp=False, may_administer=False)}, [("dataplane", Verdict.WARN)]),
        ({"nft": ""}, [("nft", Verdict.WARN)]),
        ({"ip_forward": False}, []),
        ({"rp_filter": {"ncg1": 1}}, [("rp_filter", Verdict.FAIL)]),
        ({"uplinks": ("eth0", "eth1")}, [("rp_filter", Verdict.WARN)]),
        ({"uplinks": ("eth0", "eth1"), "rp_filter": {"eth0": 2, "eth1": 0}}, []),
        ({"udp_ports": {500: "charon", 4500: "charon"}}, []),
        ({"udp_ports": {500: "racoon"}}, [("ike-port", Verdict.FAIL)]),
        ({"udp_ports": {4500: "?"}}, [("ike-port", Verdict.WARN)]),
        ({"reach": (Reach(peer="198.51.100.11", port=500, outcome="answered"),)}, []),
        ({"reach": (Reach(peer="198.51.100.11", port=4500, outcome="silent"),)}, [("reach", Verdict.WARN)]),
        ({"reach": (Reach(peer="198.51.100.11", port=500, outcome="No route to host"),)}, [("reach", Verdict.FAIL)]),
    ],
)
def test_nodes(changes: dict[str, Any], found: list[tuple[str, Verdict]]) -> None:
    assert of_node(**changes) == found


def test_userspace_esp_is_nothing_for_pods() -> None:
    slow = replace(NODE, capability=replace(ABLE, kernel_esp=False))
    assert bad(node_checks(slow, intent(), is_gateway=True)) == [("dataplane", Verdict.WARN)]
    assert bad(node_checks(slow, intent(), is_gateway=True, in_pods=True)) == [("dataplane", Verdict.FAIL)]


def test_ports_that_ncgd_s_own_pod_has_are_no_matter() -> None:
    taken = replace(NODE, udp_ports={500: "?", 4500: "?"})
    assert bad(node_checks(taken, intent(), is_gateway=True, is_installed=True)) == []
    other = replace(NODE, udp_ports={500: "racoon"})
    assert bad(node_checks(other, intent(), is_gateway=True, is_installed=True)) == [("ike-port", Verdict.FAIL)]


def test_both_ports_of_a_silent_peer_are_one_matter() -> None:
    tried = tuple(Reach(peer="198.51.100.11", port=port, outcome="silent") for port in (500, 4500))
    assert of_node(reach=tried) == [("reach", Verdict.WARN)]


def test_a_node_that_is_no_candidate_needs_no_esp() -> None:
    unable = replace(NODE, capability=replace(ABLE, kernel_esp=False, userspace_esp=False))
    assert bad(node_checks(unable, intent(), is_gateway=False)) == []


def test_several_uplinks_are_also_those_that_tunnels_name() -> None:
    second = changed(tunnel(2), "spec.interface", "eth1")
    here = intent(secret(), tunnel(1), second)
    assert bad(node_checks(replace(NODE, rp_filter={"eth1": 1}), here, is_gateway=True)) == [
        ("rp_filter", Verdict.WARN)
    ]


def outdated(kind: str) -> dict[str, Any]:
    definition = crd.definition(kind)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"].pop(next(reversed(spec["properties"])))
    return definition


def newer(kind: str) -> dict[str, Any]:
    definition = crd.definition(kind)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["fieldOfTheFuture"] = {"type": "string"}
    return definition


TUNNELS = "OverlayVPNTunnel"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"version": "v1.19.16", "minor": 19}, [("version", Verdict.FAIL)]),
        ({"denied": ("create daemonsets.apps",)}, [("rights", Verdict.WARN)]),
        ({"definitions": dict.fromkeys(CLUSTER.definitions)}, [("definitions", Verdict.WARN)]),
        ({"definitions": {**CLUSTER.definitions, TUNNELS: None}}, [("definitions", Verdict.FAIL)]),
        ({"definitions": {TUNNELS: outdated(TUNNELS)}}, [("definitions", Verdict.FAIL)]),
        ({"definitions": {TUNNELS: newer(TUNNELS)}}, [("definitions", Verdict.WARN)]),
        ({"nodes": (replace(WORKER, is_ready=False),)}, [("nodes", Verdict.WARN)]),
        ({"nodes": (replace(WORKER, is_candidate=False),)}, [("gateway-nodes", Verdict.WARN)]),
        ({"masquerade": {"cilium-config enable-bpf-masquerade": "false"}}, []),
        ({"enabled": {"cluster-1/one": "true"}}, []),
        ({"enabled": {"cluster-1/one": None}}, [("enabled", Verdict.WARN)]),
        ({"enabled": {"cluster-1/one": "True"}}, [("enabled", Verdict.WARN)]),
        ({"daemon": Daemon(image="ncgd:1", desired=3, updated=3, available=3)}, []),
        ({"daemon": Daemon(image="ncgd:1", desired=3, updated=3, available=2)}, [("daemon", Verdict.WARN)]),
        ({"daemon": Daemon(image="ncgd:1", desired=3, updated=1, available=3)}, [("daemon", Verdict.WARN)]),
        (
            {"daemon": Daemon(image="ncgd:1", desired=1, updated=1, available=1), "lacking": ("watch nodes",)},
            [("daemon-rights", Verdict.FAIL)],
        ),
        (
            {
                "daemon": Daemon(image="ncgd:1", desired=1, updated=1, available=1),
                "lacking_options": ("list services",),
            },
            [("daemon-rights", Verdict.WARN)],
        ),
        ({"unreadable_keys": ("other-key",)}, [("key-rights", Verdict.FAIL)]),
        ({"unknown": {"nodes": "the API server says 403: no"}}, [("unknown", Verdict.WARN)]),
    ],
)
def test_clusters(changes: dict[str, Any], found: list[tuple[str, Verdict]]) -> None:
    assert of_cluster(**changes) == found


def test_what_the_gateway_says_of_itself_counts_once_there_are_tunnels() -> None:
    for told, found in (("Healthy on worker1", []), ("Down on worker1", [("gateway", Verdict.WARN)])):
        assert bad(cluster_checks(CLUSTER, wanted(health={"default": told}))) == found
    assert bad(cluster_checks(CLUSTER, wanted(gateway(), health={"default": "Down on worker1"}))) == []


def test_masquerade_in_ebpf_needs_cilium_s_agent_and_the_config_map() -> None:
    bpf = {"cilium-config enable-bpf-masquerade": "true"}
    agent = {**bpf, "cilium-config enable-ip-masq-agent": "true"}
    in_step = wanted(gateway(masquerade="ConfigMap"))
    assert of_cluster(masquerade=bpf) == [("network", Verdict.WARN)]
    assert of_cluster(masquerade=agent) == [("network", Verdict.WARN)]
    assert bad(cluster_checks(replace(CLUSTER, masquerade=agent), in_step)) == []


def of_ranges(resources: Wanted, **changes: Any) -> list[tuple[str, Verdict]]:
    return bad(range_checks(replace(CLUSTER, **changes), resources))


def test_ranges_of_the_cluster_must_not_overlap() -> None:
    assert of_ranges(wanted()) == []
    assert of_ranges(wanted(), service_cidrs=("10.244.0.0/20",)) == [("ranges", Verdict.FAIL)]
    assert of_ranges(wanted(), nodes=(replace(WORKER, addresses=("10.244.1.7",)),)) == [("ranges", Verdict.FAIL)]


@pytest.mark.parametrize("prefix", ["10.244.1.128/25", "10.0.0.0/8", "10.96.128.0/24", "10.0.0.0/24"])
def test_what_is_learned_must_not_overlap_the_cluster(prefix: str) -> None:
    assert of_ranges(wanted(learned=(px.parse(prefix),))) == [("learned-ranges", Verdict.FAIL)]
    assert of_ranges(wanted(learned=(px.parse("172.16.0.0/16"),))) == []


def test_pods_that_are_not_advertised_have_no_way_back() -> None:
    lost, here = [("return-path", Verdict.WARN)], (secret(), tunnel(1), peer(1))
    assert of_ranges(wanted(*here, gateway())) == [], "ncgd exports every node's range"
    assert of_ranges(wanted(*here, gateway()), nodes=(replace(WORKER, pod_cidrs=()),)) == lost, "no range to export"
    assert of_ranges(wanted(*here, pods_advertised()), nodes=(replace(WORKER, pod_cidrs=()),)) == []
    assert of_ranges(wanted(*here, gateway(export={"podCIDRs": "None"}))) == lost
    listed = gateway(export={"podCIDRs": "None"}, advertisedPrefixes=["10.244.0.0/16"])
    assert of_ranges(wanted(*here, listed)) == []
    assert of_ranges(wanted(gateway(export={"podCIDRs": "None"}))) == [], "nothing to come back through"


def of_link_locals(address: str, node: NodeFacts = NODE, **changes: Any) -> list[tuple[str, Verdict]]:
    here = intent(secret(), changed(tunnel(1), "spec.localTunnelIP", address), tunnel(2), peer(2))
    return bad(link_local_checks(here, [node], replace(CLUSTER, **changes)))


def test_link_local_addresses_clash_with_what_others_have_there() -> None:
    clash = [("link-local", Verdict.FAIL)]
    assert of_link_locals("169.254.1.2") == []
    assert of_link_locals("169.254.169.253")[0] == clash[0], "metadata is in the same /30"
    assert of_link_locals("169.254.20.9") == [], "nobody is there"
    assert of_link_locals("169.254.20.9", has_node_local_dns=True) == clash
    assert of_link_locals("169.254.2.1") == clash, "the other tunnel's /30"
    dns = replace(NODE, addresses={"nodelocaldns": ("169.254.25.10/32",)})
    assert of_link_locals("169.254.25.9", dns) == clash
    own = replace(NODE, addresses={"ncg1": ("169.254.25.9/32",)})
    assert of_link_locals("169.254.25.9", own) == []
    userspace = replace(NODE, addresses={"ipsec0": ("169.254.25.9/32",)})
    assert of_link_locals("169.254.25.9", userspace) == [], "a tunnel that runs is no reason to renumber it"
    assert of_link_locals("169.254.25.10", userspace) == clash


@pytest.mark.parametrize(
    ("key", "flaws"),
    [
        (b"correct horse battery staple", set()),
        (base64.b64encode(bytes(range(200, 232))), set()),
        (b"correct horse battery staple\n", {"newline"}),
        (b"correct horse battery staple\r\n", {"newline"}),
        (b" correct horse battery staple", {"space"}),
        (b'"correct horse battery staple"', {"quoted"}),
        (base64.b64encode(b"correct horse battery staple"), {"base64"}),
        (base64.b64encode(base64.b64encode(bytes(range(200, 232)))), {"base64"}),
        (b"hunter2", {"short"}),
        (b"\n", {"empty", "newline"}),
        (b"", {"empty"}),
        (b"\xef\xbb\xbfcorrect horse battery staple", {"binary"}),
    ],
)
def test_the_shape_of_a_key(key: bytes, flaws: set[str]) -> None:
    shape = shape_of(key)
    assert shape.flaws == flaws
    checks = list(key_checks(Wanted(intent=Intent(), keys={"kube-system/ike-key": shape})))
    expected = Verdict.FAIL if "empty" in flaws else Verdict.WARN if flaws else Verdict.OK
    assert worst(checks) is expected
    assert bad(checks) or not flaws
    assert not any(
        word and word in str(checks) + repr(shape) for word in ("horse", key.decode(errors="ignore").strip())
    )


def test_what_ncgd_would_refuse_is_told_before_it_runs() -> None:
    broken = wanted(secret(), changed(tunnel(1), "spec.peer.publicIP", "10.300.0.1"), pods_advertised())
    (found,) = [check for check in all_checks(CLUSTER, [NODE], broken) if check.verdict is Verdict.FAIL]
    assert found.name == "resources"
    assert "spec.peer.publicIP" in found.where
