"""What an ncgd does and leaves alone in each part: with the Lease, without it, and in between."""

from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

from ncgd.decision.role import DRAINED_AFTER_SECONDS
from ncgd.model import event as ev
from ncgd.model.ike import Repair, StaleSa
from ncgd.model.probe import Pulse
from ncgd.model.reason import RoleReason
from ncgd.model.report import Health
from ncgd.model.role import Part, Role
from ncgd.model.spec import Intent
from ncgd.plan.plan import RouteStep, Step
from tests.scenarios.site import VPC, Site, attributes, ha_vpn

UNDECIDED = Role(part=Part.UNDECIDED, reason=RoleReason.NOT_READ, message="Lease ncgd-default has not been read yet")
ACTIVE = Role(part=Part.ACTIVE, holder="node-1", epoch=1, reason=RoleReason.HOLDS, message="holds the Lease")
HELD_OVER = Role(
    part=Part.ACTIVE, holder="node-1", epoch=1, may_initiate=False, reason=RoleReason.HELD_OVER, message="not renewed"
)
STANDBY = Role(
    part=Part.STANDBY,
    holder="node-2",
    holder_address=ip_address("192.168.100.3"),
    epoch=2,
    reason=RoleReason.OTHER_HOLDS,
    message="node-2 holds it",
)


def gateway(role: Role = UNDECIDED) -> Site:
    """A machine on which everything answers; the VPC's prefix waits at both peers."""
    site = Site(ha_vpn(), role=role)
    for name in site.intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    return site


def active() -> Site:
    site = gateway()
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.settle()
    assert site.report().health == Health.HEALTHY
    return site


def is_empty(site: Site) -> bool:
    ours = [name for name in site.interfaces if name.startswith("ncg")]
    return not (ours or site.sas or site.connections or site.neighbors or site.routes or site.nexthops or site.probes)


def written(site: Site, since: int) -> list[str]:
    """Tables that something was removed from, in order."""
    return [
        "routes" if isinstance(step, RouteStep) else step.table
        for plan in site.plans[since:]
        for step in plan.steps
        if isinstance(step, RouteStep) or step.delta.remove
    ]


def initiated(site: Site, since: int) -> set[object]:
    steps = [step for plan in site.plans[since:] for step in plan.steps]
    return {key for step in steps if isinstance(step, Step) and step.table == "sas" for key in step.delta.set}


def test_undecided_begins_nothing_and_says_what_it_waits_for() -> None:
    site = gateway()
    assert is_empty(site)
    assert site.report().role.part == Part.UNDECIDED
    assert site.report().problems[0].reason == "LeaseNotRead"
    assert site.plans[-1].held["connections"] == UNDECIDED.message


def test_an_undecided_restart_on_the_active_node_touches_nothing_and_goes_on() -> None:
    site = active()
    before, routes = dict(site.sas), dict(site.routes)
    site.start(site.intent, in_a_hurry=True)
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert (site.sas, site.routes, len(site.neighbors)) == (before, routes, 2)
    begun = len(site.plans)
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.settle()
    assert (site.sas, site.routes, len(site.neighbors)) == (before, routes, 2)
    assert initiated(site, begun) == set()
    assert not written(site, begun)
    assert site.report().health == Health.HEALTHY


def test_a_restart_that_hears_the_sessions_before_the_resources_keeps_the_routes() -> None:
    site = active()
    intent = site.intent
    site.world = type(site.world)(started=site.now, now=site.now, node="node-1", role=UNDECIDED)
    site.charon_answers()
    site.speaker_answers()
    site.one_pass()
    for event in (
        ev.RoleChanged(role=ACTIVE),
        ev.CapabilityProbed(capability=site.capability),
        ev.IntentRead(intent=intent),
        ev.PrefixesRemembered(prefixes=frozenset(site.disk)),
        site.guard_as_it_is(),
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.NexthopsRead(nexthops=dict(site.nexthops)),
        ev.RoutesRead(routes=dict(site.routes), backstops=frozenset(site.backstops)),
    ):
        site.tell(event)
        site.one_pass()
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    assert site.report().peers[0].accepted == 1


def test_a_standby_wants_nothing_and_protects_what_is_remembered() -> None:
    site = Site(ha_vpn(), role=UNDECIDED)
    site.disk = {VPC}
    site.start(site.intent)
    site.charon_answers()
    site.speaker_answers()
    site.tell(ev.RoleChanged(role=STANDBY))
    site.after(1)
    assert is_empty(site)
    assert site.protects(VPC) == (True, True)
    report = site.report()
    assert report.health == Health.STANDBY
    assert {each.reason for each in report.tunnels} | {each.reason for each in report.peers} == {"NotActive"}
    assert report.problems == ()


def test_a_node_ends_what_an_earlier_ncgd_left_though_it_knows_no_resources() -> None:
    site = active()
    site.start(Intent(is_complete=False))
    site.charon_answers()
    site.speaker_answers()
    site.tell(ev.RoleChanged(role=STANDBY))
    site.after(1)
    assert not site.neighbors
    assert not site.sas
    assert not [name for name in site.interfaces if name.startswith("ncg")]


def test_standing_down_withdraws_drains_ends_and_keeps_the_protection() -> None:
    site = active()
    begun = len(site.plans)
    site.tell(ev.RoleChanged(role=STANDBY))
    site.settle()
    assert written(site, begun) == ["neighbors"]
    assert len(site.sas) == 2, "what is under way still comes in"
    assert VPC in site.routes
    site.after(DRAINED_AFTER_SECONDS + 0.1)
    site.after(1)
    assert is_empty(site)
    assert site.protects(VPC) == (True, True)
    assert VPC in site.saved()
    order = [table for table, following in pairwise([*written(site, begun), ""]) if table != following]
    assert order.index("neighbors") < order.index("sas") < order.index("links")
    site.after(3600)
    assert site.protects(VPC) == (True, True)
    assert site.saved() == {VPC}


def test_becoming_active_again_learns_anew_and_protects_meanwhile() -> None:
    site = active()
    site.tell(ev.RoleChanged(role=STANDBY))
    site.settle()
    site.after(5)
    site.unreachable |= {"tunnel-1", "tunnel-2"}
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.after(5)
    assert site.protects(VPC) == (True, True)
    site.unreachable.clear()
    site.after(60)
    site.after(60)
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    assert site.report().health == Health.HEALTHY


def test_a_takeover_is_timed_from_the_lease_until_traffic_can_go() -> None:
    site = gateway(STANDBY)
    assert site.report().failovers.takeovers.count == 0
    site.unreachable |= site.intent.tunnels.keys()
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.after(3)
    assert site.report().failovers.takeovers.count == 0, "nothing goes yet"
    site.unreachable.clear()
    site.after(3)
    takeovers = site.report().failovers.takeovers
    assert (takeovers.count, takeovers.cumulative[:4]) == (1, (0, 0, 0, 0))
    assert 3 <= takeovers.total < 10
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.settle()
    assert site.report().failovers.takeovers == takeovers
    assert [found.peer for found in site.report().failovers.recent] == ["peer-1"]


def test_neither_a_restart_nor_a_lease_that_is_given_away_at_once_is_a_takeover() -> None:
    assert active().report().failovers.takeovers.count == 0
    site = gateway(STANDBY)
    site.unreachable |= site.intent.tunnels.keys()
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.settle()
    site.tell(ev.RoleChanged(role=STANDBY))
    site.after(5)
    assert site.world.taking_over is None
    assert site.report().failovers.takeovers.count == 0


def test_a_role_that_comes_and_goes_between_two_passes_changes_nothing() -> None:
    site = active()
    site.tell(ev.RoleChanged(role=STANDBY), ev.RoleChanged(role=ACTIVE))
    begun = len(site.plans)
    site.settle()
    assert not written(site, begun)
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}


def test_held_over_keeps_what_works() -> None:
    site = active()
    site.tell(ev.RoleChanged(role=HELD_OVER))
    begun = len(site.plans)
    site.after(3600)
    assert (len(site.sas), len(site.neighbors)) == (2, 2)
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    assert not written(site, begun)
    assert [problem.reason for problem in site.report().problems] == ["LeaseHeldOver"]


def test_held_over_fights_for_nothing() -> None:
    site = active()
    site.tell(ev.RoleChanged(role=HELD_OVER))
    site.lose_sa("tunnel-1")
    site.unreachable.clear()
    begun = len(site.plans)
    site.after(60)
    assert initiated(site, begun) == set()
    assert set(site.connections) == {"tunnel-2"}, "the peer could bring it up"
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    assert site.report().health == Health.DEGRADED
    site.lose_sa("tunnel-2")
    site.unreachable.clear()
    site.after(60)
    assert initiated(site, begun) == set()
    assert not site.connections
    assert not site.neighbors
    assert site.carries(VPC) == set()
    assert site.protects(VPC) == (True, True)
    site.tell(ev.RoleChanged(role=ACTIVE))
    site.settle()
    assert site.report().health == Health.HEALTHY


def test_held_over_repairs_no_data_path() -> None:
    site = active()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.DEAD)
    site.tell(ev.RoleChanged(role=HELD_OVER))
    begun = len(site.plans)
    site.after(30)
    assert not [key for key in initiated(site, begun) if isinstance(key, Repair)]


def test_held_over_gives_up_what_is_negotiated_beside_an_old_sa() -> None:
    site = active()
    old = {name: sa.ike_id for name, sa in site.sas.items()}
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], pending_ike_id="99")
    begun = len(site.plans)
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)), ev.RoleChanged(role=HELD_OVER))
    site.settle()
    steps = [step for plan in site.plans[begun:] for step in plan.steps]
    ended = {key for step in steps if isinstance(step, Step) and step.table == "sas" for key in step.delta.remove}
    assert ended == {StaleSa(charon="charon", ike_id="99")}
    assert {name: sa.ike_id for name, sa in site.sas.items()} == old


def test_charon_brings_nothing_back_by_itself_where_a_lease_decides() -> None:
    assert not any(row.heals for row in active().connections.values())
    assert all(row.heals for row in gateway(Site(ha_vpn()).role).connections.values())


def test_both_kinds_of_connection_are_one_to_an_sa() -> None:
    shared, alone = active().connections, gateway(Site(ha_vpn()).role).connections
    assert {row.digest for row in shared.values()} == {row.digest for row in alone.values()}
