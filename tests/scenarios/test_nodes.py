"""A node that is not the gateway: what it takes from slices, how it sends there, and that nothing leaks meanwhile."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ncgd.api.views import status
from ncgd.cli.screen import render
from ncgd.decision.crossing import VXLAN_LINK, vxlan_mac
from ncgd.decision.role import DRAINED_AFTER_SECONDS, has_heard_all
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.fib import Adjacency, Interface, Way
from ncgd.model.prefix import Prefix
from ncgd.model.reason import RoleReason
from ncgd.model.report import Health
from ncgd.model.role import Part, Role
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Gateway, Intent, LeakProtection, NodeTransport
from ncgd.plan.plan import RouteStep
from tests.scenarios.site import ON_LINK, VPC, Site

OTHER = px.parse("10.130.0.0/16")
A, B = ip_address("192.168.100.11"), ip_address("192.168.100.12")
ROUTED = replace(ON_LINK, gateway=ip_address("192.168.100.1"), length=0)
UNDECIDED = Role(part=Part.UNDECIDED, reason=RoleReason.NOT_READ, message="not read yet")


def follows(holder: str, epoch: int, part: Part = Part.NODE) -> Role:
    address = {"gw-a": A, "gw-b": B, "": None}[holder]
    return Role(part=part, holder=holder, holder_address=address, epoch=epoch, reason=RoleReason.NO_LABEL, message="")


def hears(site: Site, role: Role) -> None:
    """The Lease says so."""
    site.role = role
    site.tell(ev.RoleChanged(role=role))


def published(*prefixes: Prefix, epoch: int = 1, number: int = 0) -> dict[str, RouteSlice]:
    name = f"default-{number}"
    return {
        name: RouteSlice(name=name, gateway="default", node="gw-a", epoch=epoch, prefixes=frozenset(prefixes)),
    }


def node(way: Way | None = ON_LINK, *prefixes: Prefix, transport: NodeTransport = NodeTransport.AUTO) -> Site:
    """A node that follows gateway ``gw-a``."""
    site = Site(Intent(gateway=Gateway(node_transport=transport)), role=UNDECIDED)
    site.ways = {A: way, B: way}
    site.slices = published(*(prefixes or (VPC,)))
    hears(site, follows("gw-a", 1))
    site.reads_slices()
    site.after(DRAINED_AFTER_SECONDS)
    return site


def touched(site: Site, since: int) -> list[tuple[str, set[object]]]:
    """Tables and keys that were written, in order."""
    steps = [step for plan in site.plans[since:] for step in plan.steps]
    return [
        ("routes", {*step.change.routes, *step.change.backstops})
        if isinstance(step, RouteStep)
        else (step.table, {*step.delta.set, *step.delta.remove})
        for step in steps
    ]


def test_prefixes_go_to_the_gateway_over_the_link_that_is_shared() -> None:
    site = node()
    assert site.carries(VPC) == {"eth0"}
    assert site.protects(VPC) == (True, True)
    assert f"via {A}" in site.guard
    assert "eth0" not in site.guard
    assert VXLAN_LINK not in site.interfaces
    report = site.report()
    assert report.crossing
    assert (report.crossing.transport, report.crossing.reason, report.crossing.prefixes) == (
        "Direct",
        "GatewayOnLink",
        1,
    )
    assert (report.health, report.problems) == (Health.STANDBY, ())


def test_the_screen_says_how_and_where_to() -> None:
    lines = render(status(node().report())).splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("Crossing")]
    text = " ".join(line.strip() for line in lines[first : first + 2])
    told = "192.168.100.11 (node gw-a, the active gateway) is on the link of eth0; 1 prefix from it"
    assert text.startswith(f"Crossing  Direct: {told}")


def test_one_next_hop_is_replaced_when_the_gateway_moves() -> None:
    site = node()
    before, begun = dict(site.routes), len(site.plans)
    hears(site, follows("gw-b", 2))
    site.settle()
    assert site.routes == before
    (number,) = [row.members[0] for row in site.nexthops.values() if hasattr(row, "members")]
    assert touched(site, begun) == [
        ("ways", {B}),
        ("ways", {A}),
        ("nexthops", {number}),
        ("guard", {f"via {A}", f"via {B}"}),
    ]
    assert site.nexthops[number].gateway == B  # type: ignore[union-attr]


def test_where_no_link_is_shared_a_vxlan_device_carries() -> None:
    site = node(ROUTED)
    assert site.carries(VPC) == {VXLAN_LINK}
    device = site.interfaces[VXLAN_LINK]
    assert device.vxlan
    assert (str(device.vxlan.local), device.mtu) == ("192.168.100.2", 1450)
    assert device.addresses == ("192.168.100.2/32",)
    assert [row for row in site.guard if isinstance(row, str)].count(VXLAN_LINK) == 1
    (row,) = site.world.written["adjacencies"].values()
    assert row == Adjacency(mac=vxlan_mac(A), remote=A)
    report = site.report()
    assert report.crossing
    assert (report.crossing.transport, report.crossing.reason) == ("VXLAN", "GatewayNotOnLink")

    begun, index = len(site.plans), device.index
    hears(site, follows("gw-b", 2))
    site.settle()
    assert site.interfaces[VXLAN_LINK].index == index
    assert [table for table, _ in touched(site, begun)].count("nexthops") == 1
    order = [table for table, _ in touched(site, begun)]
    assert order.index("adjacencies") < order.index("nexthops"), "make before break"
    assert "routes" not in order


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "too quick to be seen"])
def test_a_device_that_went_down_is_told_again_where_the_next_hop_is(*, is_seen: bool) -> None:
    """The kernel drops neighbours and next hops of a device that goes down (measured)."""
    site = node(ROUTED)
    written = dict(site.world.written["adjacencies"])
    site.nexthops.clear()
    site.routes.clear()
    if is_seen:
        site.interfaces[VXLAN_LINK] = replace(site.interfaces[VXLAN_LINK], is_up=False)
        site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    begun = len(site.plans)
    site.tell(ev.NexthopsRead(nexthops={}), ev.RoutesRead(routes={}, backstops=frozenset(site.backstops)))
    site.settle()
    assert site.carries(VPC) == {VXLAN_LINK}
    assert ("adjacencies", set(written)) in touched(site, begun)
    order = [table for table, _ in touched(site, begun)]
    assert order.index("adjacencies") < order.index("nexthops")
    assert site.world.written["adjacencies"] == written


def test_the_transport_can_be_asked_for_and_says_when_it_cannot_be() -> None:
    assert node(transport=NodeTransport.VXLAN).carries(VPC) == {VXLAN_LINK}
    site = node(ROUTED, transport=NodeTransport.DIRECT)
    assert site.carries(VPC) == set()
    assert site.protects(VPC) == (True, True)
    assert [problem.reason for problem in site.report().problems] == ["DirectImpossible"]


def test_a_device_without_neighbours_is_no_shared_link() -> None:
    site = node(Way(interface="wg0", source=ip_address("192.168.100.2"), length=24))
    site.interfaces["wg0"] = Interface(index=9, name="wg0", kind="wireguard", mtu=1420, is_up=True)
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.carries(VPC) == {VXLAN_LINK}
    assert site.interfaces[VXLAN_LINK].mtu == 1370


def test_without_a_way_to_the_gateway_packets_are_held_back_and_status_says_so() -> None:
    site = node(None)
    assert site.carries(VPC) == set()
    assert site.protects(VPC) == (True, True)
    (problem,) = site.report().problems
    assert problem.reason == "NoRouteToGateway"
    assert "192.168.100.11 (node gw-a, the active gateway)" in problem.message
    site.ways[A] = ON_LINK
    site.look()
    site.settle()
    assert site.carries(VPC) == {"eth0"}
    assert site.report().problems == ()


def test_without_a_gateway_packets_are_held_back_until_there_is_one() -> None:
    site = node(ROUTED)
    index = site.interfaces[VXLAN_LINK].index
    hears(site, follows("", 2))
    site.settle()
    assert site.carries(VPC) == set()
    assert site.protects(VPC) == (True, True)
    assert site.report().problems[0].reason == "NoActiveGateway"
    assert site.interfaces[VXLAN_LINK].index == index, "its next hop would take the routes along"
    begun = len(site.plans)
    hears(site, follows("gw-b", 3))
    site.settle()
    assert site.carries(VPC) == {VXLAN_LINK}
    assert "routes" not in [table for table, _ in touched(site, begun)]


def test_a_prefix_comes_and_goes_with_its_slice() -> None:
    site = node()
    site.slices |= published(OTHER, number=1)
    site.reads_slices()
    site.settle()
    assert site.carries(OTHER) == {"eth0"}
    site.slices |= published(number=1)
    site.reads_slices()
    site.settle()
    assert OTHER not in site.routes
    assert site.protects(OTHER) == (False, False)
    assert site.protects(VPC) == (True, True)


def test_a_slice_that_is_gone_says_nothing_until_the_gateway_has_written_it_again() -> None:
    site = node()
    site.slices |= published(OTHER, number=1)
    site.reads_slices()
    hears(site, follows("", 1))
    site.settle()
    lost = site.slices.pop("default-1")
    site.reads_slices()
    hears(site, follows("gw-b", 2))
    site.slices = published(VPC, epoch=2)
    site.reads_slices()
    site.settle()
    assert site.carries(OTHER) == {"eth0"}
    assert site.protects(OTHER) == (True, True)
    site.slices["default-1"] = replace(lost, epoch=2, prefixes=frozenset())
    site.reads_slices()
    site.settle()
    assert OTHER not in site.routes
    assert site.protects(OTHER) == (False, False)


def test_what_a_restarted_node_remembers_stays_while_a_slice_cannot_be_read() -> None:
    site = node()
    site.slices |= published(OTHER, number=1)
    site.reads_slices()
    assert site.saved() == {VPC, OTHER}
    site.role = UNDECIDED
    site.start(site.intent)
    hears(site, follows("gw-a", 1))
    whole = site.slices.pop("default-1")
    site.damaged = {"default-1"}
    site.reads_slices()
    site.after(DRAINED_AFTER_SECONDS)
    assert site.carries(OTHER) == {"eth0"}
    assert site.protects(OTHER) == (True, True)
    site.slices["default-1"] = replace(whole, prefixes=frozenset())
    site.reads_slices()
    site.after(DRAINED_AFTER_SECONDS)
    assert OTHER not in site.routes
    assert site.protects(OTHER) == (False, False)


def test_slices_of_another_gateway_are_not_believed() -> None:
    site = node()
    other = RouteSlice(name="other-0", gateway="other", node="gw-x", epoch=9, prefixes=frozenset({OTHER}))
    site.slices[other.name] = other
    site.damaged = {"other-1"}
    site.reads_slices()
    site.settle()
    assert OTHER not in site.routes
    assert site.protects(OTHER) == (False, False)
    assert has_heard_all(site.world)


def test_what_was_written_before_this_term_adds_and_takes_nothing_away() -> None:
    third = px.parse("10.131.0.0/16")
    site = node(ON_LINK, VPC, OTHER)
    hears(site, follows("gw-b", 2))
    site.slices = published(VPC, third, epoch=1)
    site.reads_slices()
    site.settle()
    assert {each for each in (VPC, OTHER, third) if site.protects(each) == (True, True)} == {VPC, OTHER, third}
    site.slices = published(VPC, third, epoch=2)
    site.reads_slices()
    site.settle()
    assert site.protects(OTHER) == (False, False)


def test_slices_that_are_all_gone_say_nothing() -> None:
    site = node()
    site.slices.clear()
    site.reads_slices()
    site.settle()
    assert site.carries(VPC) == {"eth0"}
    site.slices = published(epoch=1)
    site.slices["default-0"] = replace(site.slices["default-0"], prefixes=frozenset())
    site.reads_slices()
    site.settle()
    assert VPC not in site.routes
    assert site.protects(VPC) == (False, False)


def test_a_restart_touches_nothing_and_what_is_remembered_stays_until_the_gateway_of_this_term_has_spoken() -> None:
    site = node(ON_LINK, VPC, OTHER)
    assert site.saved() == {VPC, OTHER}
    routes, nexthops, begun = dict(site.routes), dict(site.nexthops), len(site.plans)
    site.role = UNDECIDED
    site.start(site.intent, in_a_hurry=True)
    site.settle()
    site.slices = published(VPC, epoch=1)
    hears(site, follows("gw-b", 2))
    site.after(DRAINED_AFTER_SECONDS)
    site.reads_slices()
    site.settle()
    assert site.routes == routes
    assert nexthops.keys() == site.nexthops.keys()
    assert "routes" not in [table for table, _ in touched(site, begun)]
    assert site.protects(OTHER) == (True, True)
    site.slices = published(VPC, epoch=2)
    site.reads_slices()
    site.settle()
    assert site.protects(OTHER) == (False, False)
    assert OTHER not in site.routes
    assert site.carries(VPC) == {"eth0"}


def test_a_reboot_guards_what_is_remembered_before_anything_is_read() -> None:
    site = node()
    assert site.saved() == {VPC}
    site.role = UNDECIDED
    begun = len(site.plans)
    site.reboot(None)
    site.settle()
    assert site.protects(VPC) == (True, True)
    assert site.saved() == {VPC}
    hears(site, follows("gw-a", 1))  # the Lease is read before the resources
    site.settle()
    assert site.protects(VPC) == (True, True)
    assert {table for table, _ in touched(site, begun)} == {"guard", "routes"}
    assert not site.routes
    site.tell(ev.IntentRead(intent=Intent(is_complete=False)))
    site.settle()
    assert site.protects(VPC) == (True, True)


def test_without_leak_protection_prefixes_are_sent_and_nothing_is_guarded() -> None:
    site = node()
    site.tell(ev.IntentRead(intent=Intent(gateway=Gateway(leak_protection=LeakProtection.OFF))))
    site.settle()
    assert site.carries(VPC) == {"eth0"}
    assert site.protects(VPC) == (False, False)


def test_what_is_the_node_s_own_is_refused_with_its_reason() -> None:
    site = node()
    bridge = Interface(index=8, name="cni0", kind="bridge", mtu=1500, is_up=True, addresses=("10.244.1.1/24",))
    site.interfaces["cni0"] = bridge
    clashing, covering = px.parse("10.244.0.0/16"), px.parse("192.168.100.11/32")
    site.slices = published(VPC, clashing, covering, px.make(4, 0, 0))
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.reads_slices()
    site.settle()
    assert set(site.routes) == {VPC}
    report = site.report()
    assert report.crossing
    assert report.crossing.refused == {"OwnPrefix": 1, "TunnelEndpoint": 1, "DefaultRoute": 1}
    (problem,) = report.problems
    assert problem.reason == "PrefixRefused"
    assert "10.244.0.0/16: it overlaps a network of ours" in problem.message


def test_prefixes_of_the_other_ip_version_are_held_back() -> None:
    v6 = px.parse("2001:db8:128::/48")
    site = node(ON_LINK, VPC, v6)
    assert site.carries(v6) == set()
    assert site.protects(v6) == (True, True)
    assert site.carries(VPC) == {"eth0"}
    assert [problem.reason for problem in site.report().problems] == ["NoWayForIPVersion"]
