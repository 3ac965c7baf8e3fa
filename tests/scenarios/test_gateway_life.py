"""Whole lives of a gateway, through the same pure functions as the daemon's loop."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ncgd.decision.renewal import DRAIN_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.capability import Capability
from ncgd.model.delta import Outcome
from ncgd.model.fib import is_our_nexthop
from ncgd.model.ike import DataplaneMode, SaState, TunnelSa
from ncgd.model.report import Health
from ncgd.model.spec import DataplaneChoice, Intent, Mode
from ncgd.plan.plan import RouteStep, Step
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import CAPABLE, PODS, VPC, Site, attributes, ha_vpn, healthy_site

BOTH = {"ncg-tunnel-1", "ncg-tunnel-2"}


def tables_of(site: Site, since: int) -> list[str]:
    return [
        "routes" if isinstance(step, RouteStep) else step.table for plan in site.plans[since:] for step in plan.steps
    ]


def test_comes_up_healthy_with_ecmp_over_both_tunnels() -> None:
    site = healthy_site()
    report = site.report()
    assert report.health == Health.HEALTHY
    assert [t.status for t in report.tunnels] == ["established", "established"]
    assert [p.status for p in report.peers] == ["established", "established"]
    assert site.carries(VPC) == BOTH
    assert VPC in site.backstops
    assert all(is_our_nexthop(number) for number in site.nexthops)


def test_nothing_is_written_before_everything_was_read() -> None:
    site = Site(ha_vpn())
    plan = site.one_pass()
    assert {step.table for step in plan.steps if isinstance(step, Step)} >= {"processes", "links", "addresses"}
    assert {"nexthops", "routes", "neighbors"} <= plan.held.keys()
    assert all(
        "have not been read" in plan.held[table] or "has not been read" in plan.held[table] for table in plan.held
    )


def test_losing_one_tunnel_replaces_one_group_and_touches_no_route() -> None:
    site = healthy_site()
    many = [px.make(4, (10 << 24) + (200 << 16) + i * 256, 24) for i in range(200)]
    for name in ("peer-1", "peer-2"):
        site.peer_sends(name, *many)
    site.settle()
    before = len(site.plans)
    site.lose_sa("tunnel-1")
    site.settle()
    assert {site.carries(prefix).pop() for prefix in many} == {"ncg-tunnel-2"}
    assert "routes" not in tables_of(site, before)
    assert site.report().health == Health.DEGRADED


def test_losing_both_tunnels_drops_instead_of_leaking() -> None:
    site = healthy_site()
    site.lose_sa("tunnel-1")
    site.lose_sa("tunnel-2")
    site.settle()
    assert site.carries(VPC) == set()
    assert VPC in site.routes
    assert VPC in site.backstops
    assert site.report().health == Health.DOWN


def test_a_withdrawal_by_live_peers_removes_route_and_backstop() -> None:
    site = healthy_site()
    for name in ("peer-1", "peer-2"):
        site.tell(ev.PathsWithdrawn(peer=name, prefixes=(VPC,)))
    site.settle()
    assert not site.routes
    assert not site.backstops


def test_a_dead_charon_takes_nothing_down() -> None:
    site = healthy_site()
    before = len(site.plans)
    site.tell(ev.CharonLost(charon="charon", reason="killed"))
    site.settle()
    assert tables_of(site, before) == []
    assert site.carries(VPC) == BOTH


def test_a_graceful_restart_of_the_peer_forwards_until_its_time_is_over() -> None:
    site = healthy_site()
    site.now += 10
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionDown(peer=name, reason="closed", is_graceful=True))
    site.settle()
    assert site.carries(VPC) == BOTH
    site.now += 121
    site.settle()
    assert site.carries(VPC) == set()
    assert VPC in site.routes


def test_active_passive_uses_one_tunnel_and_tells_the_peers_so() -> None:
    site = healthy_site(ha_vpn(mode=Mode.ACTIVE_PASSIVE))
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    assert [site.neighbors[name].advertisements[0].med for name in ("peer-1", "peer-2")] == [100, 200]
    site.lose_sa("tunnel-1")
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}


def test_the_med_of_the_peer_decides_and_its_loss_falls_back_without_route_edits() -> None:
    site = healthy_site()
    site.peer_sends("peer-2", VPC, med=50)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    before = len(site.plans)
    site.lose_sa("tunnel-2")
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    assert "routes" not in tables_of(site, before)


def test_a_changed_tunnel_is_replaced_make_before_break_and_touches_only_itself() -> None:
    site = healthy_site()
    other = site.sas["tunnel-1"]
    old = site.sas["tunnel-2"]
    changed = tunnel(2, ike=replace(tunnel(2).ike, esp_proposals=("aes128gcm16-ecp256",)))
    intent = replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-2": changed})
    before = len(site.plans)
    site.tell(ev.IntentRead(intent=intent))
    site.settle()
    site.now += DRAIN_SECONDS
    site.settle()
    steps = [step for plan in site.plans[before:] for step in plan.steps if isinstance(step, Step)]
    kinds = [(step.table, "set" if step.delta.set else "remove") for step in steps]
    assert kinds.index(("sas", "set")) < kinds.index(("sas", "remove"))
    assert site.sas["tunnel-1"] == other
    assert site.sas["tunnel-2"].ike_id != old.ike_id
    assert not site.sas["tunnel-2"].stale_ike_ids


def test_a_deleted_tunnel_is_withdrawn_first_and_removed_last() -> None:
    site = healthy_site()
    intent = Intent(
        gateway=site.intent.gateway,
        tunnels={"tunnel-1": tunnel(1)},
        peers={"peer-1": peer(1)},
    )
    before = len(site.plans)
    site.tell(ev.IntentRead(intent=intent))
    site.settle()
    order = tables_of(site, before)
    assert order[0] == "neighbors"
    assert order.index("nexthops") < order.index("links")
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    assert "ncg-tunnel-2" not in site.interfaces
    assert list(site.sas) == ["tunnel-1"]
    assert site.report().health == Health.HEALTHY


def test_an_unreachable_peer_is_tried_again_and_again_but_ever_more_slowly() -> None:
    site = Site(ha_vpn())
    site.unreachable = {"tunnel-1", "tunnel-2"}
    site.charon_answers()
    site.speaker_answers()
    moments = []
    while site.now < 60:
        if "tunnel-1" in dict(_sets(site.one_pass(), "sas")):
            moments.append(site.now)
        site.now += 0.1
    gaps = [round(later - earlier, 1) for earlier, later in pairwise(moments)]
    assert len(moments) > 5
    assert gaps == sorted(gaps)
    assert gaps[-1] <= 16


def test_a_failed_row_waits_and_a_changed_row_does_not() -> None:
    site = Site(ha_vpn())
    site.one_pass()
    row = site.world.written["clamps"]["ncg-tunnel-1"]
    failed = ev.TableWritten(
        table="clamps",
        begun=site.now,
        ended=site.now,
        set={"ncg-tunnel-1": row},
        removed=frozenset(),
        outcome=Outcome(failed={"ncg-tunnel-1": "no nft"}),
    )
    site.world = replace(site.world, written={**site.world.written, "clamps": {}})
    site.tell(failed)
    assert "ncg-tunnel-1" not in dict(_sets(site.one_pass(), "clamps"))
    problem = next(p for p in site.report().problems if p.reason == "NotApplied")
    assert (problem.object, problem.message) == ("clamps/ncg-tunnel-1", "no nft")
    site.now += 1
    assert "ncg-tunnel-1" in dict(_sets(site.one_pass(), "clamps"))


def _sets(plan: object, table: str) -> list[tuple[object, object]]:
    steps = getattr(plan, "steps", ())
    return [item for step in steps if isinstance(step, Step) and step.table == table for item in step.delta.set.items()]


def test_an_address_held_by_another_interface_is_named() -> None:
    site = Site(ha_vpn())
    site.interfaces["eth0"] = replace(site.interfaces["eth0"], addresses=("192.168.100.2/24", "169.254.1.2/30"))
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.charon_answers()
    site.one_pass()
    problem = next(p for p in site.report().problems if p.reason == "AddressInUse")
    assert "169.254.1.2" in problem.message
    assert "eth0" in problem.message


def test_an_interface_that_vanished_is_made_again_and_its_session_dialled_anew() -> None:
    site = healthy_site()
    del site.interfaces["ncg-tunnel-1"]
    lost = [n for n, hop in site.nexthops.items() if getattr(hop, "interface", None) == "ncg-tunnel-1"]
    for number in lost:
        del site.nexthops[number]
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)), ev.NexthopsRead(nexthops=dict(site.nexthops)))
    site.settle()
    assert site.carries(VPC) == BOTH
    assert site.report().health == Health.HEALTHY


def test_resources_that_could_not_be_read_remove_nothing() -> None:
    site = healthy_site()
    before = dict(site.sas), set(site.neighbors), dict(site.routes)
    site.start(Intent(is_complete=False))
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert (site.sas, set(site.neighbors), site.routes) == before
    assert site.carries(VPC) == BOTH


def test_routes_that_somebody_removed_come_back_and_are_counted() -> None:
    site = healthy_site()
    site.routes.clear()
    site.tell(ev.RoutesRead(routes={}, backstops=frozenset(site.backstops)))
    site.settle()
    assert site.carries(VPC) == BOTH
    assert site.report().drift == 1


@pytest.mark.parametrize(
    ("choice", "capability", "mode", "word"),
    [
        (DataplaneChoice.AUTO, CAPABLE, DataplaneMode.KERNEL, "kernel has"),
        (DataplaneChoice.USERSPACE, CAPABLE, DataplaneMode.USERSPACE, "spec.dataplane"),
        (DataplaneChoice.AUTO, replace(CAPABLE, kernel_esp=False), DataplaneMode.USERSPACE, "cannot"),
        (DataplaneChoice.KERNEL, replace(CAPABLE, kernel_esp=False), None, "use auto"),
        (DataplaneChoice.AUTO, replace(CAPABLE, kernel_esp=False, userspace_esp=False), None, "neither"),
        (DataplaneChoice.AUTO, replace(CAPABLE, may_administer=False), None, "CAP_NET_ADMIN"),
    ],
)
def test_the_dataplane_is_chosen_by_the_probe_and_never_silently(
    choice: DataplaneChoice, capability: Capability, mode: DataplaneMode | None, word: str
) -> None:
    site = Site(ha_vpn(dataplane=choice), capability)
    site.one_pass()
    report = site.report()
    assert report.dataplane_mode == str(mode or "none")
    assert word in report.dataplane_reason
    assert (mode is None) == any(problem.reason == "DataplaneUnavailable" for problem in report.problems)


def test_userspace_has_one_charon_per_tunnel_with_ports_of_its_own() -> None:
    site = Site(ha_vpn(dataplane=DataplaneChoice.USERSPACE))
    site.one_pass()
    rows = site.world.written["processes"]
    ports = [
        getattr(row, attribute)
        for row in rows.values()
        for attribute in ("ike_port", "nat_port")
        if hasattr(row, attribute)
    ]
    assert {"charon-tunnel-1", "charon-tunnel-2"} <= rows.keys()
    assert len(set(ports)) == 4


def test_a_session_without_a_tunnel_uses_the_link_that_reaches_the_peer() -> None:
    intent = Intent(peers={"peer-1": peer(1, tunnel=None, local_ip=peer(1).local_ip)})
    site = Site(intent)
    wired = replace(site.interfaces["eth0"], addresses=("169.254.1.2/30",))
    site.interfaces["eth0"] = wired
    site.start(intent)
    site.sent["peer-1"] = {VPC: replace(attributes(), next_hop="169.254.1.1")}
    site.speaker_answers()
    site.settle()
    assert site.carries(VPC) == {"eth0"}
    assert VPC not in site.backstops


def test_advertises_its_prefixes_and_refuses_to_learn_them_back() -> None:
    site = healthy_site()
    assert [a.prefix for a in site.neighbors["peer-1"].advertisements] == [PODS]
    site.peer_sends("peer-1", px.parse("10.10.0.0/16"), px.parse("0.0.0.0/0"), px.parse("169.254.0.0/16"))
    site.settle()
    assert set(site.routes) == {VPC}
    refused = next(p for p in site.report().peers if p.ref.name == "peer-1").refused
    assert refused == {"OwnPrefix": 1, "DefaultRoute": 1, "Martian": 1}


def test_a_userspace_charon_that_dies_takes_its_sas_along_and_nothing_is_written_to_its_lost_device() -> None:
    site = Site(ha_vpn(dataplane=DataplaneChoice.USERSPACE))
    site.one_pass()
    tun = replace(site.interfaces["eth0"], index=7, name="ipsec0", kind="tun", addresses=())
    site.interfaces["ipsec0"] = tun
    sa = TunnelSa(tunnel="tunnel-1", state=SaState.INSTALLED, ike_id="1")
    site.tell(
        ev.TunFound(charon="charon-tunnel-1", interface="ipsec0", index=7),
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.CharonUp(charon="charon-tunnel-1", version="5.9.8"),
        ev.SasRead(charon="charon-tunnel-1", sas={"tunnel-1": sa}),
    )
    site.one_pass()
    assert site.report().tunnels[0].status == "established"
    del site.interfaces["ipsec0"]
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    before = len(site.plans)
    site.one_pass()
    assert not {"links", "addresses", "sysctls"} & set(tables_of(site, before))
    site.interfaces["ipsec0"] = replace(tun, index=8)
    site.tell(
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.TunFound(charon="charon-tunnel-1", interface="ipsec0", index=8),
    )
    assert site.report().tunnels[0].status == "down"


def test_a_picture_that_is_not_complete_yet_is_not_called_down() -> None:
    site = healthy_site()
    site.start(site.intent)
    site.one_pass()
    assert site.report().health == Health.DEGRADED
