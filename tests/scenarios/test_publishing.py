"""A candidate that becomes the gateway and stops being it: what it publishes; nothing is unprotected in between."""

from dataclasses import replace
from ipaddress import ip_address

from ncgd.api.views import status
from ncgd.cli.screen import render
from ncgd.decision.crossing import VXLAN_LINK
from ncgd.decision.role import DRAINED_AFTER_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role
from ncgd.model.spec import LeakProtection, ObjectRef
from tests.scenarios.site import ON_LINK, VPC, Site, attributes, ha_vpn
from tests.scenarios.test_nodes import OTHER, ROUTED, UNDECIDED, A, B, follows, hears, published, touched


def candidate() -> Site:
    """A standby with tunnels of its own in its resources, behind gateway ``gw-a``."""
    site = Site(ha_vpn(), role=UNDECIDED)
    for peer in site.intent.peers:
        site.sent[peer] = {VPC: attributes()}
    site.ways = {A: ON_LINK, B: ON_LINK}
    site.slices = published(VPC, OTHER)
    site.charon_answers()
    site.speaker_answers()
    hears(site, follows("gw-a", 1, Part.STANDBY))
    site.reads_slices()
    site.after(DRAINED_AFTER_SECONDS)
    return site


def active(epoch: int, *, may_initiate: bool = True) -> Role:
    return Role(
        part=Part.ACTIVE,
        holder="node-1",
        holder_address=ip_address("192.168.100.2"),
        epoch=epoch,
        may_initiate=may_initiate,
        reason=RoleReason.HOLDS,
        message="holds the Lease" if may_initiate else "the Lease has run out",
    )


def test_a_standby_sends_to_the_active_one_as_every_node_does() -> None:
    site = candidate()
    assert (site.carries(VPC), site.sas) == ({"eth0"}, {})


def candidate_that_is_active() -> Site:
    site = candidate()
    hears(site, active(2))
    site.settle()
    return site


def test_a_standby_that_becomes_active_leaves_no_gap_and_lets_go_only_what_its_peers_do_not_send() -> None:
    site = candidate()
    hears(site, active(2))
    for _ in range(30):
        plan = site.one_pass()
        assert site.protects(VPC) == (True, True)
        if site.world.synced != set(site.intent.peers):
            assert site.protects(OTHER) == (True, True)
            assert OTHER in {prefix for row in site.slices.values() for prefix in row.prefixes}
        if not plan.steps:
            break
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    assert VXLAN_LINK in site.interfaces, "nodes that share no link with us send through it"
    assert not any(isinstance(row, str) and ("via" in row or row == VXLAN_LINK) for row in site.guard)
    site.after(1.0)
    assert site.protects(OTHER) == (False, False)
    (row,) = site.slices.values()
    assert (row.node, row.epoch, row.prefixes) == ("node-1", 2, frozenset({VPC}))
    assert site.report().published == 1


def newcomer() -> Site:
    """A candidate with an empty disk, whose tunnels do not come up; what another has published is there."""
    site = Site(ha_vpn(), role=UNDECIDED)
    site.unreachable = {"tunnel-1", "tunnel-2"}
    site.slices = published(VPC, OTHER)
    site.charon_answers()
    site.speaker_answers()
    return site


def test_a_newcomer_protects_what_is_published_before_it_says_that_it_is_its_own() -> None:
    site = newcomer()
    hears(site, active(2))
    site.one_pass()
    site.reads_slices()
    for _ in range(10):
        site.one_pass()
        (row,) = site.slices.values()
        if row.epoch == 2:
            assert (site.protects(VPC), site.protects(OTHER)) == ((True, True), (True, True))
    assert (row.node, row.epoch, row.prefixes) == ("node-1", 2, frozenset({VPC, OTHER}))
    assert site.saved() == {VPC, OTHER}


def test_what_is_published_is_protected_before_the_lease_has_been_read() -> None:
    site = newcomer()
    site.reads_slices()
    site.settle()
    assert (site.protects(VPC), site.protects(OTHER)) == ((True, True), (True, True))


def test_a_newcomer_without_nftables_publishes_all_the_same() -> None:
    site = newcomer()
    site.failing["guard"] = "nft is not there"
    hears(site, active(2))
    site.reads_slices()
    site.after(1.0)
    assert {row.epoch for row in site.slices.values()} == {2}


def test_a_newcomer_without_leak_protection_keeps_what_is_published() -> None:
    site = newcomer()
    site.tell(ev.IntentRead(intent=ha_vpn(leak_protection=LeakProtection.OFF)))
    hears(site, active(2))
    site.reads_slices()
    site.after(1.0)
    assert {(row.epoch, row.prefixes) for row in site.slices.values()} == {(2, frozenset({VPC, OTHER}))}


def test_a_damaged_slice_is_written_anew_and_one_of_before_our_term_once_the_peers_have_spoken() -> None:
    site = candidate_that_is_active()
    site.slices.clear()
    site.damaged = {"default-0", "default-3"}
    site.reads_slices()
    site.after(1.0)
    assert {name: (row.epoch, row.prefixes) for name, row in site.slices.items()} == {
        "default-0": (2, {VPC}),
        "default-3": (2, frozenset()),
    }
    site = newcomer()
    site.damaged = {"default-1"}
    hears(site, active(2))
    site.reads_slices()
    site.after(1.0)
    assert site.slices.keys() == {"default-0"}, "what is not known to be gone is not said to be gone"


def test_slices_carry_the_name_of_the_lease_whatever_the_resource_is_called() -> None:
    site = candidate_that_is_active()
    site.tell(ev.IntentRead(intent=ha_vpn(ref=ObjectRef(kind="x", namespace="kube-system", name="prod"))))
    site.after(1.0)
    assert [(row.name, row.gateway) for row in site.slices.values()] == [("default-0", "default")]


def test_an_active_one_that_stands_down_turns_its_routes_to_the_next() -> None:
    site = candidate()
    hears(site, active(2))
    site.settle()
    site.after(1.0)
    site.slices = {name: replace(row, node="gw-a", epoch=3) for name, row in site.slices.items()}
    hears(site, follows("gw-a", 3, Part.STANDBY))
    for _ in range(30):
        site.one_pass()
        assert VPC in site.routes
        assert site.protects(VPC) == (True, True)
    site.after(1.0)
    assert site.carries(VPC) == {"eth0"}
    assert f"via {A}" in site.guard
    assert not site.sas
    assert {row.node for row in site.slices.values()} == {"gw-a"}, "another's term"


def test_a_lease_that_has_run_out_publishes_nothing_new() -> None:
    site = candidate()
    hears(site, active(2))
    site.settle()
    hears(site, active(2, may_initiate=False))
    before = dict(site.slices)
    site.peer_sends("peer-1", px.parse("10.131.0.0/16"))
    site.settle()
    assert site.slices == before
    assert site.plans[-1].held["slices"] == "the Lease has run out"
    hears(site, active(2))
    site.settle()
    assert len({prefix for row in site.slices.values() for prefix in row.prefixes}) > 1


def test_a_restarted_gateway_takes_nothing_back_before_its_peers_have_spoken() -> None:
    site = candidate()
    hears(site, active(2))
    site.settle()
    site.peer_sends("peer-1", OTHER)
    site.after(1.0)
    both = {prefix for row in site.slices.values() for prefix in row.prefixes}
    assert both == {VPC, OTHER}
    begun = len(site.plans)
    site.role = UNDECIDED
    site.disk.clear()
    neighbors, site.neighbors = site.neighbors, {}
    site.start(site.intent)
    hears(site, active(2))
    site.reads_slices()
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert not [keys for table, keys in touched(site, begun) if table == "slices"]
    assert neighbors.keys() == site.neighbors.keys()


def test_one_changed_prefix_of_five_thousand_rewrites_one_slice() -> None:
    site = candidate()
    hears(site, active(2))
    many = [px.make(4, (10 << 24) + (140 << 16) + (number << 4), 28) for number in range(5000)]
    site.peer_sends("peer-1", *many[:4990])
    site.settle()
    site.after(1.0)
    assert len(site.slices) == 20
    begun = len(site.plans)
    site.peer_sends("peer-1", many[4995])
    site.settle()
    (keys,) = [keys for table, keys in touched(site, begun) if table == "slices"]
    assert len(keys) == 1


def test_a_gateway_without_a_route_to_another_node_s_pods_says_so() -> None:
    site = candidate()
    hears(site, active(2))
    pods = {name: px.parse(f"10.244.{number}.0/24") for number, name in enumerate(("node-1", "node-2", "node-3"))}
    ranges = tuple(ClusterRange(prefix=each, kind=RangeKind.POD, owner=f"node {name}") for name, each in pods.items())
    site.ways |= {ip_address("10.244.1.1"): ON_LINK, ip_address("10.244.2.1"): ROUTED}
    site.tell(ev.ClusterRangesRead(ranges=ranges))
    site.settle()
    (problem,) = [each for each in site.report().problems if each.reason == "NoRouteToPods"]
    assert "10.244.2.0/24 (node node-3)" in problem.message
    assert "10.244.0.0/24" not in problem.message
    assert "10.244.1.0/24" not in problem.message


def test_on_the_gateway_itself_there_is_no_crossing() -> None:
    report = candidate_that_is_active().report()
    assert report.crossing is None
    assert "Crossing" not in render(status(report))
