"""Others take away what a gateway stands on, and it stands up again; they take what it has, and it keeps it."""

from dataclasses import replace

import pytest

from ncgd.decision.explain import explain
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.fib import ForeignRoute
from ncgd.model.ike import SaState, TunnelSa
from ncgd.model.spec import DataplaneChoice
from ncgd.plan.plan import Step
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site

CHARON = "charon-tunnel-1"


def userspace_site() -> Site:
    """A site whose first tunnel is up in userspace, its charon supervised."""
    site = Site(ha_vpn(dataplane=DataplaneChoice.USERSPACE))
    site.one_pass()
    tun = replace(site.interfaces["eth0"], index=7, name="ipsec0", kind="tun", addresses=())
    site.interfaces["ipsec0"] = tun
    site.tell(
        ev.ProcessChanged(name=CHARON, is_running=True, pid=1),
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.CharonUp(charon=CHARON, version="5.9.8"),
        ev.TunFound(charon=CHARON, interface="ipsec0", index=7),
        ev.SasRead(charon=CHARON, sas={"tunnel-1": TunnelSa(tunnel="tunnel-1", state=SaState.INSTALLED)}),
    )
    site.one_pass()
    return site


def _processes(site: Site) -> list[tuple[set[object], set[object]]]:
    steps = [step for step in site.one_pass().steps if isinstance(step, Step) and step.table == "processes"]
    return [(set(step.delta.set), set(step.delta.remove)) for step in steps]


def test_a_charon_whose_tun_device_was_removed_is_started_anew_once() -> None:
    site = userspace_site()
    del site.interfaces["ipsec0"]
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    assert _processes(site) == [(set(), {CHARON})]
    reasons = {problem.reason for problem in site.report().problems}
    assert reasons & {"InterfaceMissing", "CharonDown"}
    site.tell(ev.ProcessChanged(name=CHARON, is_running=False))
    assert _processes(site) == [({CHARON}, set())]
    site.tell(ev.ProcessChanged(name=CHARON, is_running=True, pid=2), ev.CharonUp(charon=CHARON, version="5.9.8"))
    assert _processes(site) == []


@pytest.mark.parametrize("is_found_first", [True, False])
def test_a_charon_that_was_started_anew_keeps_its_new_device(is_found_first: bool) -> None:
    """Its end, its start, the new device and the reading of interfaces come in any order."""
    site = userspace_site()
    site.tell(ev.ProcessChanged(name=CHARON, is_running=False), ev.ProcessChanged(name=CHARON, is_running=True, pid=2))
    eth0, new = site.interfaces["eth0"], replace(site.interfaces["ipsec0"], index=8)
    found = ev.TunFound(charon=CHARON, interface="ipsec0", index=8)
    gone = ev.InterfacesRead(interfaces={"eth0": eth0})
    back = ev.InterfacesRead(interfaces={"eth0": eth0, "ipsec0": new})
    site.interfaces["ipsec0"] = new
    for event in (found, gone, back) if is_found_first else (gone, back, found):
        site.tell(ev.CharonUp(charon=CHARON, version="5.9.8"), event)
        assert _processes(site) == []
    assert site.world.tuns == {CHARON: "ipsec0"}
    site.tell(found, back)
    assert _processes(site) == []


def test_a_tunnel_keeps_its_address_when_somebody_else_takes_it_too() -> None:
    site = healthy_site()
    site.interfaces["eth0"] = replace(site.interfaces["eth0"], addresses=("192.168.100.2/24", "169.254.1.2/32"))
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    assert site.one_pass().steps == ()
    assert all(tunnel.is_usable for tunnel in site.report().tunnels)


def _delete_route(site: Site) -> None:
    """Another program deletes our one route, and the kernel says so."""
    del site.routes[VPC]
    site.tell(ev.RoutesMeddled(routes={VPC: None}, backstops={}))


def test_a_deleted_route_is_back_with_the_next_pass_and_counted() -> None:
    site = healthy_site()
    before = dict(site.routes)
    _delete_route(site)
    site.one_pass()
    assert site.routes == before
    assert site.report().drift == 1
    assert site.report().problems == ()


def test_what_somebody_adds_under_our_mark_goes() -> None:
    site = healthy_site()
    stranger = px.parse("10.99.0.0/16")
    site.routes[stranger] = site.routes[VPC]
    site.backstops.discard(VPC)
    site.tell(ev.RoutesMeddled(routes={stranger: site.routes[VPC]}, backstops={VPC: False}))
    site.one_pass()
    assert site.routes.keys() == {VPC}
    assert site.backstops == {VPC}
    assert site.report().drift == 2


def test_news_of_what_is_as_we_know_it_are_no_drift() -> None:
    site = healthy_site()
    site.tell(ev.RoutesMeddled(routes={VPC: site.routes[VPC]}, backstops={VPC: True}))
    assert site.one_pass().steps == ()
    assert site.report().drift == 0


def test_a_fight_is_damped_and_named_and_forgotten() -> None:
    site = healthy_site()
    before, repairs, passes = dict(site.routes), 0, 0
    began = site.now
    while site.now < began + 10:
        if VPC in site.routes:
            repairs += 1
            _delete_route(site)
        site.one_pass()
        passes += 1
    assert passes > 900
    assert repairs <= 12, "at most one a second"
    (problem,) = site.report().problems
    assert problem.reason == "RoutesMeddled"
    assert problem.is_error
    site.now += 2
    site.settle()
    assert site.routes == before
    site.now += 120
    site.settle()
    assert site.report().problems == ()


def test_a_foreign_route_that_wins_is_left_alone_and_told() -> None:
    site = healthy_site()
    rows = ev.RoutesRead(
        routes=dict(site.routes), backstops=frozenset(site.backstops), shadows={VPC: ForeignRoute(4, 20)}
    )
    site.tell(rows)
    assert site.one_pass().steps == ()
    (problem,) = site.report().problems
    assert (problem.reason, problem.is_error) == ("RouteShadowed", False)
    assert "10.128.0.0/20" in problem.object
    assert "static, metric 20" in problem.message
    assert site.desired is not None
    lines = explain("10.128.0.9", site.world, site.desired)
    assert lines is not None
    assert any("NOT used" in line and "static" in line for line in lines)
    site.tell(replace(rows, shadows={}))
    assert site.report().problems == ()


def test_a_speaker_that_hangs_is_ended_and_started_anew_and_forwarding_goes_on() -> None:
    site = healthy_site()
    site.tell(ev.ProcessChanged(name="exabgp", is_running=True, pid=1))
    site.settle()
    site.now += 100
    site.tell(ev.SpeakerLost(reason="ExaBGP did not answer 'version' within 10 s"))
    site.settle()
    assert {problem.reason for problem in site.report().problems} == {"SpeakerUnreachable"}
    site.now += 16
    assert _processes(site) == [(set(), {"exabgp"})]
    assert site.carries(VPC) and len(site.carries(VPC)) == 2
    site.tell(ev.ProcessChanged(name="exabgp", is_running=False))
    assert _processes(site) == [({"exabgp"}, set())]
    site.tell(ev.ProcessChanged(name="exabgp", is_running=True, pid=2))
    site.now += 10
    assert _processes(site) == [], "it has only just started"
    site.speaker_answers()
    site.settle()
    site.now += 60
    site.settle()
    assert site.report().problems == ()


def test_a_speaker_may_take_its_time_to_start_unless_it_was_there_before() -> None:
    """On a slow machine it was ended again and again before it could answer."""
    for is_adopted, seconds in ((False, 61), (True, 16)):
        site = Site(ha_vpn())
        site.charon_answers()
        site.tell(ev.SpeakerLost(reason="no such file"))
        site.tell(ev.ProcessChanged(name="exabgp", is_running=True, pid=1, is_adopted=is_adopted))
        site.settle()
        site.now += seconds - 2
        assert _ended(site) == set()
        site.now += 2
        assert _ended(site) == {"exabgp"}


def _ended(site: Site) -> set[object]:
    return {name for _, removed in _processes(site) for name in removed}


def test_a_speaker_that_nobody_supervises_is_left_alone() -> None:
    site = healthy_site()
    site.tell(ev.SpeakerLost(reason="gone"))
    site.now += 60
    assert _processes(site) == []


def test_flushed_rules_that_unwrap_esp_without_charon_are_written_again() -> None:
    """Nobody looked, and a charon that was killed behind a NAT took its tunnels along."""
    site = healthy_site()
    site.tell(ev.EspPortsRead(ports={}))
    steps = [step for step in site.one_pass().steps if isinstance(step, Step) and step.table == "esp_ports"]
    assert [list(step.delta.set) for step in steps] == [[4500]]
    assert site.world.drift == 1
