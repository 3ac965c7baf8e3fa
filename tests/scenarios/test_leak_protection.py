"""What was learned through tunnels leaves by a tunnel or not at all: which rows there are, and when they go."""

from dataclasses import replace
from ipaddress import IPv4Address

from ncgd.decision.fold import END_OF_RIB_SECONDS, SPEAKER_GRACE_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.spec import DataplaneChoice, LeakProtection, Policy
from ncgd.plan.plan import Step
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import VPC, Site, attributes, ha_vpn, healthy_site

OTHER = px.parse("10.200.0.0/16")
PASSING = {"lo", "ncg-tunnel-1", "ncg-tunnel-2"}
PLAIN = {"local_ip": IPv4Address("192.168.100.2"), "peer_ip": IPv4Address("192.168.100.9"), "tunnel": None}


def test_what_a_tunnel_brings_has_backstop_guard_and_memory() -> None:
    site = healthy_site()
    assert site.backstops == {VPC}
    assert site.guard == {VPC, *PASSING}
    assert site.saved() == {VPC}
    leak = site.report().leak
    assert (leak.mode, leak.guarded, leak.remembered) == ("Strict", 1, 0)


def test_off_removes_all_and_strict_brings_it_back() -> None:
    site = healthy_site()
    site.saved()
    site.tell(ev.IntentRead(intent=ha_vpn(leak_protection=LeakProtection.OFF)))
    site.settle()
    assert (site.backstops, site.guard) == (set(), set())
    assert site.saved() == set()
    assert VPC in site.routes
    assert site.report().leak.mode == "Off"
    site.tell(ev.IntentRead(intent=ha_vpn()))
    site.settle()
    assert (site.protects(VPC), site.guard) == ((True, True), {VPC, *PASSING})
    assert site.saved() == {VPC}


def test_off_takes_a_large_guard_away_in_parts_and_closes_no_tunnel_meanwhile() -> None:
    site = healthy_site(replace(ha_vpn(), peers={f"peer-{n}": peer(n, max_prefixes=50_000) for n in (1, 2)}))
    site.peer_sends("peer-1", *(px.make(4, (10 << 24) + (1 << 22) + (number << 8), 24) for number in range(12_000)))
    site.settle()
    assert len(site.guard) > 12_000
    site.tell(ev.IntentRead(intent=ha_vpn(leak_protection=LeakProtection.OFF)))
    site.settle()  # the site fails when "lo" is closed while there are prefixes
    assert site.guard == set()


def test_a_restarted_ncgd_finds_the_guard_and_opens_no_gap() -> None:
    site = healthy_site(ha_vpn(dataplane=DataplaneChoice.USERSPACE))
    site.guard = {VPC, "lo", "ipsec0", "ipsec1"}
    site.start(site.intent)
    before = len(site.plans)
    site.one_pass()
    site.one_pass()
    assert not [step for plan in site.plans[before:] for step in plan.steps if is_guard(step)]
    assert site.guard == {VPC, "lo", "ipsec0", "ipsec1"}, "its charons have not told their devices yet"


def is_guard(step: object) -> bool:
    return isinstance(step, Step) and step.table == "guard"


def test_an_interface_that_is_no_tunnel_of_ours_any_more_is_closed() -> None:
    site = healthy_site()
    fewer = replace(ha_vpn(), tunnels={"tunnel-1": tunnel(1)}, peers={"peer-1": peer(1)})
    site.tell(ev.IntentRead(intent=fewer))
    site.settle()
    assert site.guard == {VPC, "lo", "ncg-tunnel-1"}


def test_a_withdrawal_by_every_live_peer_ends_the_protection_after_the_route() -> None:
    site = healthy_site()
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(VPC,)))
    site.settle()
    assert site.protects(VPC) == (True, True)
    site.tell(ev.PathsWithdrawn(peer="peer-2", prefixes=(VPC,)))
    site.settle()  # the site fails when a guard goes before its route
    assert (site.routes, site.backstops, site.guard) == ({}, set(), set())


def test_a_lost_session_is_no_withdrawal_however_long_it_lasts() -> None:
    site = healthy_site()
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionDown(peer=name, reason="hold timer expired"))
    site.after(7 * 86_400)
    assert site.protects(VPC) == (True, True)
    assert site.carries(VPC) == set()


def test_a_speaker_or_a_charon_that_is_gone_for_long_is_no_withdrawal() -> None:
    site = healthy_site()
    site.tell(ev.SpeakerLost(reason="killed"), ev.CharonLost(charon="charon", reason="killed"))
    site.after(SPEAKER_GRACE_SECONDS + 1)
    site.after(86_400)
    assert site.protects(VPC) == (True, True)


def test_routes_that_somebody_flushed_leave_the_guard_alone() -> None:
    site = healthy_site()
    site.routes.clear()
    site.backstops.clear()
    site.tell(ev.RoutesRead(routes={}, backstops=frozenset()))
    before = len(site.plans)
    site.settle()
    assert site.protects(VPC) == (True, True)
    assert not [step for plan in site.plans[before:] for step in plan.steps if is_guard(step)]


def test_a_guard_that_somebody_flushed_comes_back_and_is_counted() -> None:
    site = healthy_site()
    site.guard.clear()
    site.tell(site.guard_as_it_is())
    site.settle()
    assert site.guard == {VPC, *PASSING}
    assert site.report().drift == 4


def test_clamps_that_somebody_flushed_come_back_and_are_counted() -> None:
    site = healthy_site()
    clamps = dict(site.world.written["clamps"])
    assert len(clamps) == 2
    site.tell(ev.ClampsRead(clamps={}))
    assert [step.table for step in site.one_pass().steps if isinstance(step, Step)] == ["clamps"]
    assert site.world.written["clamps"] == clamps
    assert site.report().drift == 2


def test_a_peer_without_end_of_rib_that_sends_its_table_late_leaves_no_gap() -> None:
    """Its old paths are swept a minute after its return. If it has sent nothing by then, it has withdrawn nothing."""
    site = healthy_site()
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionDown(peer=name, reason="reset"), ev.SessionUp(peer=name))
    site.after(END_OF_RIB_SECONDS + 1)
    assert site.protects(VPC) == (True, True)
    for name in ("peer-1", "peer-2"):
        site.tell(ev.PathsLearned(peer=name, attributes=attributes(), prefixes=(OTHER,)))
    site.after(1)
    assert site.protects(VPC) == (False, False), "these peers have other prefixes now"
    assert site.protects(OTHER) == (True, True)


def test_a_peer_that_moves_into_a_tunnel_is_protected_from_then_on() -> None:
    plain = replace(ha_vpn(), tunnels={}, peers={"peer-1": peer(1, **PLAIN)})
    site = Site(plain)
    site.sent["peer-1"] = {VPC: replace(attributes(), next_hop="")}
    site.speaker_answers()
    site.settle()
    assert site.carries(VPC) == {"eth0"}
    assert site.protects(VPC) == (False, False)
    moved = replace(ha_vpn(), tunnels={"tunnel-1": tunnel(1)}, peers={"peer-1": peer(1)})
    site.tell(ev.IntentRead(intent=moved))
    site.settle()
    assert site.protects(VPC) == (True, True)
    site.tell(ev.IntentRead(intent=plain))
    site.settle()
    assert site.protects(VPC) == (False, False)


def test_what_a_peer_without_a_tunnel_carries_too_is_not_guarded() -> None:
    both = replace(ha_vpn(), tunnels={"tunnel-1": tunnel(1)}, peers={"peer-1": peer(1), "peer-2": peer(2, **PLAIN)})
    site = Site(both)
    for name in both.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.carries(VPC) == {"eth0", "ncg-tunnel-1"}
    assert site.protects(VPC) == (True, False)
    site.tell(ev.PathsWithdrawn(peer="peer-2", prefixes=(VPC,)))
    site.settle()
    assert site.protects(VPC) == (True, True)


def test_an_accepted_default_route_is_not_in_the_guard() -> None:
    """It would stop what more specific routes send elsewhere, ESP among it."""
    everything = px.parse("0.0.0.0/0")
    site = healthy_site(ha_vpn(import_policy=Policy(allow_default_route=True)))
    site.peer_sends("peer-1", everything)
    site.settle()
    assert site.protects(everything) == (True, False)


def test_a_guard_that_cannot_be_written_blocks_nothing_and_is_tried_again() -> None:
    site = Site(ha_vpn())
    site.failing["guard"] = "cannot run nft: install the package nftables"
    for name in site.intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.after(1)
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    problem = next(problem for problem in site.report().problems if problem.reason == "GuardNotApplied")
    assert "install the package nftables" in problem.message
    site.failing.clear()
    site.after(20)
    assert VPC in site.guard
    assert not [problem for problem in site.report().problems if problem.reason == "GuardNotApplied"]


def test_a_guard_that_failed_for_what_is_withdrawn_by_now_is_no_problem() -> None:
    site = healthy_site()
    gone = px.parse("10.200.0.0/16")
    site.failing["guard"] = "nft -f -: no answer within 10 s"
    site.peer_sends("peer-1", gone)
    site.settle()
    assert "GuardNotApplied" in [problem.reason for problem in site.report().problems]
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(gone,)))
    site.settle()
    site.failing.clear()
    site.after(20)
    site.after(1)
    assert site.report().problems == ()


def test_a_machine_without_nft_forwards_and_says_so() -> None:
    site = Site(ha_vpn())
    site.world = replace(site.world, protection=type(site.world.protection)())
    site.tell(ev.FilterUnreadable(reason="cannot run nft"), ev.PrefixesRemembered(prefixes=frozenset()))
    site.tell(ev.RoutesRead(routes={}, backstops=frozenset()))
    site.sent["peer-1"] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.protects(VPC) == (True, False)
    assert [problem.message for problem in site.report().problems if problem.reason == "GuardNotApplied"]


def test_the_counter_goes_on_where_a_new_table_begins_anew() -> None:
    site = healthy_site()
    for packets in (5, 7, 2, 3):
        site.tell(ev.GuardCounted(packets=packets))
    assert site.report().leak.dropped == 10
