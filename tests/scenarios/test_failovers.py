"""What counts as a failover, and what is told of it."""

import pytest

from ncgd.model import event as ev
from ncgd.model.failover import CAUSES, Failover
from ncgd.model.probe import Pulse
from ncgd.model.spec import Mode
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import VPC, Site, attributes, ha_vpn, healthy_site

STEP = 0.01
"""What a pass takes here."""


def failovers(site: Site) -> tuple[Failover, ...]:
    return site.report().failovers.recent


def test_a_failover_has_its_cause_its_heirs_and_its_duration() -> None:
    site = healthy_site()
    assert failovers(site) == ()
    began = site.now
    site.lose_sa("tunnel-1")
    site.settle()
    (found,) = failovers(site)
    assert (found.number, found.peer, found.cause, found.successors) == (1, "peer-1", "SaDown", ("peer-2",))
    assert found.at == began
    assert found.seconds == pytest.approx(STEP)
    report = site.report().failovers
    assert report.causes == {"SaDown": 1}
    assert report.times.count == 1
    assert report.times.total == pytest.approx(STEP)


def test_it_lasts_until_the_kernel_has_accepted_the_last_group() -> None:
    site = healthy_site()
    site.failing["nexthops"] = "EBUSY"
    began = site.now
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.one_pass()
    assert failovers(site) == ()
    site.now += 3
    del site.failing["nexthops"]
    site.settle()
    (found,) = failovers(site)
    assert found.cause == "DataPathDead"
    assert found.seconds >= 3
    assert found.at == began


def lose_interface(site: Site) -> None:
    del site.interfaces["ncg-tunnel-1"]
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))


@pytest.mark.parametrize(
    ("cause", "happens"),
    [
        ("SessionDown", lambda site: site.tell(ev.SessionDown(peer="peer-1", reason="hold timer expired"))),
        ("DataPathDead", lambda site: site.probe_finds(tunnel_1=Pulse.DEAD)),
        ("SaDown", lambda site: site.lose_sa("tunnel-1")),
        ("InterfaceMissing", lose_interface),
    ],
)
def test_the_cause_is_named(cause: str, happens: object) -> None:
    assert callable(happens)
    site = healthy_site()
    happens(site)
    site.settle()
    (found,) = failovers(site)
    assert found.cause == cause
    assert cause in CAUSES
    assert found.successors == ("peer-2",)


def test_what_nobody_can_take_over_lasts_until_somebody_can() -> None:
    site = healthy_site()
    site.lose_sa("tunnel-1")
    site.lose_sa("tunnel-2")
    site.settle()
    assert site.carries(VPC) == set()
    assert failovers(site) == ()
    site.now += 60
    site.unreachable.discard("tunnel-2")
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    (found,) = failovers(site)
    assert (found.peer, found.successors) == ("peer-1", ("peer-2",))
    assert found.seconds >= 60


def test_one_dead_path_does_not_take_over_from_another() -> None:
    """Both paths dead, and one SA gone for it: its traffic was told to go through the other, seconds later."""
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.DEAD)
    site.settle()
    site.now += 18
    site.lose_sa("tunnel-1")
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    assert failovers(site) == ()
    site.now += 60
    site.probe_finds(tunnel_2=Pulse.ALIVE)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    (found,) = failovers(site)
    assert (found.peer, found.successors) == ("peer-1", ("peer-2",))
    assert found.seconds >= 78


def test_a_peer_that_is_back_before_has_not_failed_over() -> None:
    site = healthy_site()
    site.failing["nexthops"] = "EBUSY"
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.one_pass()
    site.probe_finds(tunnel_1=Pulse.ALIVE)
    del site.failing["nexthops"]
    site.after(5)
    assert failovers(site) == ()
    assert not site.world.lost


def test_a_standby_that_is_lost_and_a_return_to_the_preferred_are_no_failovers() -> None:
    intent = ha_vpn(mode=Mode.ACTIVE_PASSIVE)
    site = healthy_site(intent)
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_2=Pulse.DEAD)
    site.settle()
    site.probe_finds(tunnel_2=Pulse.ALIVE)
    site.settle()
    assert failovers(site) == ()
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.settle()
    site.probe_finds(tunnel_1=Pulse.ALIVE)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    assert [found.peer for found in failovers(site)] == ["peer-1"]


def test_a_peer_that_is_removed_has_not_failed() -> None:
    site = healthy_site()
    one = ha_vpn()
    del one.peers["peer-1"]
    site.tell(ev.IntentRead(intent=one))
    site.settle()
    site.after(5)
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    assert failovers(site) == ()


def test_only_the_last_are_remembered_one_by_one_and_all_are_counted() -> None:
    site = healthy_site()
    for _ in range(40):
        site.probe_finds(tunnel_1=Pulse.DEAD)
        site.settle()
        site.probe_finds(tunnel_1=Pulse.ALIVE)
        site.settle()
    report = site.report().failovers
    assert [found.number for found in report.recent] == list(range(9, 41))
    assert (report.times.count, report.causes) == (40, {"DataPathDead": 40})


def test_of_three_the_heirs_are_all_that_carry_now() -> None:
    intent = ha_vpn()
    intent.tunnels["tunnel-3"], intent.peers["peer-3"] = tunnel(3), peer(3)
    site = Site(intent)
    for name in intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    site.lose_sa("tunnel-2")
    site.settle()
    (found,) = failovers(site)
    assert (found.peer, found.successors) == ("peer-2", ("peer-1", "peer-3"))
