"""SAs are renewed while another tunnel carries the traffic: changed configurations, and an IKE daemon that has died."""

from dataclasses import replace

from ncgd.decision.renewal import DRAIN_SECONDS, PATIENCE_SECONDS
from ncgd.model import event as ev
from ncgd.model.ike import IkeFailure
from ncgd.model.probe import Pulse
from ncgd.model.report import Health
from ncgd.model.spec import Intent
from tests.scenarios.resources import tunnel
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site

BOTH = {"ncg-tunnel-1", "ncg-tunnel-2"}


def change(site: Site, *numbers: int) -> None:
    """Other ESP proposals for these tunnels."""
    changed = {
        f"tunnel-{n}": tunnel(n, ike=replace(tunnel(n).ike, esp_proposals=("aes128gcm16-ecp256",))) for n in numbers
    }
    site.intent = replace(site.intent, tunnels={**site.intent.tunnels, **changed})
    site.tell(ev.IntentRead(intent=site.intent))


def meds(site: Site) -> dict[str, int]:
    """What each peer is told, by peer."""
    return {name: row.advertisements[0].med for name, row in site.neighbors.items()}


def watch_renewals(site: Site, seconds: float) -> list[str]:
    """Let time pass; the tunnels initiated in order. Fails when one is initiated that carries, or none carries."""
    initiated: list[str] = []
    while seconds > 0:
        before = {name: sa.ike_id for name, sa in site.sas.items()}
        carried, told = site.carries(VPC), meds(site)
        site.one_pass()
        for name, sa in site.sas.items():
            if before.get(name) != sa.ike_id:
                assert carried == BOTH - {f"ncg-{name}"}, "initiated while it carried, or while nothing else did"
                assert told[name.replace("tunnel", "peer")] > min(told.values()), "before the far side was told"
                initiated.append(name)
        site.now += 0.1
        seconds -= 0.11
    return initiated


def test_a_changed_tunnel_is_emptied_before_it_is_renewed_and_then_carries_again() -> None:
    site = healthy_site()
    change(site, 1)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    assert meds(site) == {"peer-1": 100, "peer-2": 50}
    report = site.report()
    assert report.health == Health.HEALTHY
    assert [row.reason for row in report.tunnels] == ["Renewing", "Usable"]
    assert watch_renewals(site, DRAIN_SECONDS + 1) == ["tunnel-1"]
    assert site.carries(VPC) == BOTH
    assert meds(site) == {"peer-1": 100, "peer-2": 100}
    assert site.report().failovers.recent == (), "it was emptied on purpose"


def test_a_far_side_whose_table_has_not_come_whole_is_told_as_well() -> None:
    """A tunnel whose peer sends no End-of-RIB counted as empty at once, though nobody had told that peer."""
    site = healthy_site()
    site.start(site.intent)
    site.charon_answers()
    site.tell(ev.SpeakerUp(version="5.0.15", neighbors=frozenset(site.neighbors)))
    for name, paths in site.sent.items():
        site.tell(ev.SessionUp(peer=name, restart_seconds=None))
        site.tell(ev.AdjRibInRead(peer=name, paths=dict(paths), families_ended=frozenset()))
    site.tell(ev.SpeakerRead())
    site.after(10)
    change(site, 1)
    assert watch_renewals(site, DRAIN_SECONDS + 1) == ["tunnel-1"]


def test_a_far_side_that_is_told_the_best_of_meds_is_told_a_worse_one() -> None:
    """Nothing is better than 0, so nothing was told, and the tunnel counted as empty at once."""
    both = ha_vpn()
    site = healthy_site(replace(both, peers={name: replace(peer, med=0) for name, peer in both.peers.items()}))
    site.after(PATIENCE_SECONDS)
    change(site, 1)
    assert watch_renewals(site, DRAIN_SECONDS + 1) == ["tunnel-1"]
    assert meds(site) == {"peer-1": 0, "peer-2": 0}


def test_a_far_side_that_is_slow_to_follow_is_waited_for_and_not_for_ever() -> None:
    """A flow still came back through the tunnel when its new SA was made, and lost what was under way."""
    site = healthy_site()
    busy = {name: replace(report, received=100) for name, report in site.world.probes.items()}
    quiet = dict(site.world.probes)
    site.tell(ev.ProbesRead(probes=busy))
    change(site, 1)
    assert watch_renewals(site, PATIENCE_SECONDS / 2) == []
    site.tell(ev.ProbesRead(probes={**busy, "tunnel-1": quiet["tunnel-1"]}))
    assert watch_renewals(site, 0.5) == ["tunnel-1"]
    site.settle()
    change(site, 2)
    assert watch_renewals(site, PATIENCE_SECONDS - 1) == []
    assert watch_renewals(site, 2) == ["tunnel-2"]


def test_two_changed_tunnels_are_renewed_one_after_the_other() -> None:
    site = healthy_site()
    change(site, 1, 2)
    assert watch_renewals(site, 2 * DRAIN_SECONDS + 2) == ["tunnel-1", "tunnel-2"]
    assert site.carries(VPC) == BOTH


def test_the_only_tunnel_is_renewed_at_once() -> None:
    both = ha_vpn()
    one = Intent(gateway=both.gateway, tunnels={"tunnel-1": tunnel(1)}, peers={"peer-1": both.peers["peer-1"]})
    site = healthy_site(one)
    before = site.sas["tunnel-1"]
    change(site, 1)
    site.settle()
    assert site.sas["tunnel-1"].ike_id != before.ike_id
    assert site.carries(VPC) == {"ncg-tunnel-1"}


def test_a_tunnel_that_cannot_be_renewed_carries_on() -> None:
    site = healthy_site()
    site.unreachable.add("tunnel-1")
    change(site, 1)
    site.settle()
    site.now += DRAIN_SECONDS
    site.settle()
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason="NoProposalChosen", message="none of ours")))
    site.settle()
    assert site.carries(VPC) == BOTH
    assert meds(site) == {"peer-1": 100, "peer-2": 100}


def test_a_dead_charons_tunnels_carry_on_and_are_renewed_one_after_the_other() -> None:
    site = healthy_site()
    site.kill_charon()
    report = site.report()
    assert report.health == Health.DEGRADED
    assert [problem.reason for problem in report.problems] == ["SaOrphaned", "SaOrphaned"]
    assert all(row.is_usable for row in report.tunnels)
    assert watch_renewals(site, 2 * DRAIN_SECONDS + 2) == ["tunnel-1", "tunnel-2"]
    assert site.report().health == Health.HEALTHY
    assert site.carries(VPC) == BOTH


def test_the_last_that_carries_is_not_renewed_for_a_moment_in_which_the_other_is_dead() -> None:
    """Both were initiated at once, the sole carrier beside its traffic."""
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.kill_charon()
    assert watch_renewals(site, 0.5) == []
    site.probe_finds(tunnel_2=Pulse.DEAD)
    site.settle()
    assert site.sas.keys() == {"tunnel-2"}
    site.probe_finds(tunnel_2=Pulse.RECOVERING)
    site.after(1)
    assert site.sas.keys() == {"tunnel-2"}
    site.probe_finds(tunnel_2=Pulse.ALIVE)
    assert watch_renewals(site, DRAIN_SECONDS + 1) == ["tunnel-1"]


def test_the_last_that_carries_does_not_wait_for_ever_for_another() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    change(site, 1)
    site.probe_finds(tunnel_2=Pulse.DEAD)
    before = site.sas["tunnel-1"].ike_id
    site.settle()
    assert site.sas["tunnel-1"].ike_id == before
    site.after(PATIENCE_SECONDS)
    assert site.sas["tunnel-1"].ike_id != before


def test_the_last_that_carries_does_not_wait_for_another_whose_path_comes_and_goes() -> None:
    """A path that loses one echo in five recovers and dies for ever, and an edit never came into force."""
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    change(site, 1)
    before = site.sas["tunnel-1"].ike_id
    for second in range(int(PATIENCE_SECONDS) + 2):
        for pulse in (Pulse.DEAD, Pulse.RECOVERING):
            site.probe_finds(tunnel_2=pulse)
            site.after(0.5)
        assert second > 5 or site.sas["tunnel-1"].ike_id == before
    assert site.sas["tunnel-1"].ike_id != before


def test_a_charon_that_dies_and_comes_back_while_the_loop_is_busy_has_left_its_tunnels_all_the_same() -> None:
    """Its last table, its end and the next one's answer are taken in at one moment."""
    site = healthy_site()
    site.esp = frozenset(row.if_id for row in site.connections.values() if row.if_id)
    site.tell(ev.EspRead(if_ids=site.esp))
    site.after(60)
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)), ev.CharonLost(charon="charon", reason="killed"))
    site.sas, site.connections = {}, {}
    site.charon_answers()
    assert all(row.is_usable for row in site.report().tunnels)
    assert watch_renewals(site, 2 * DRAIN_SECONDS + 2) == ["tunnel-1", "tunnel-2"]
    assert site.carries(VPC) == BOTH


def test_what_an_earlier_charon_failed_at_does_not_have_a_tunnel_renewed_under_its_traffic() -> None:
    site = healthy_site()
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason="NoProposalChosen", message="a rekey")))
    site.kill_charon()
    assert watch_renewals(site, 2 * DRAIN_SECONDS + 2) == ["tunnel-1", "tunnel-2"]
    assert site.carries(VPC) == BOTH


def test_what_a_repair_has_failed_at_does_not_have_a_tunnel_renewed_under_its_traffic() -> None:
    """A path was dead and a new SA for it came to nothing; the path is back, and then its proposals are edited."""
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.after(60)
    site.unreachable.add("tunnel-1")
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.after(3)
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason="PeerSilent", message="no answer")))
    site.unreachable.clear()
    site.probe_finds(tunnel_1=Pulse.ALIVE)
    site.after(3)
    assert site.carries(VPC) == BOTH
    change(site, 1)
    assert watch_renewals(site, DRAIN_SECONDS + 1) == ["tunnel-1"]


def test_an_ncgd_that_dies_together_with_charon_finds_what_the_kernel_goes_on_with() -> None:
    site = healthy_site()
    site.kill_charon()
    site.start(site.intent)
    site.tell(ev.EspRead(if_ids=site.esp))
    site.charon_answers()
    site.speaker_answers()
    for _ in range(3):
        site.one_pass()
    assert site.carries(VPC)
    assert watch_renewals(site, 2 * DRAIN_SECONDS + 2) == ["tunnel-1", "tunnel-2"]


def test_a_charon_that_ends_in_good_order_takes_its_tunnels_along_at_once() -> None:
    site = healthy_site()
    site.tell(ev.EspRead(if_ids=frozenset(row.if_id for row in site.connections.values() if row.if_id)))
    site.settle()
    assert site.carries(VPC) == BOTH
    kept = {row.if_id for name, row in site.connections.items() if name == "tunnel-2" and row.if_id}
    site.tell(ev.EspRead(if_ids=frozenset(kept)))
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}


def test_a_tunnel_that_comes_up_is_not_taken_for_a_dead_charons() -> None:
    """The kernel tells of its SA before charon does."""
    site = healthy_site()
    if_ids = {name: row.if_id for name, row in site.connections.items() if row.if_id}
    site.tell(ev.EspRead(if_ids=frozenset(if_ids.values())))
    site.settle()
    site.lose_sa("tunnel-1")
    site.tell(ev.EspRead(if_ids=frozenset({if_ids["tunnel-2"]})))
    site.settle()
    site.tell(ev.EspRead(if_ids=frozenset(if_ids.values())))
    assert [row.is_usable for row in site.report().tunnels] == [False, True]


def test_an_outdated_userspace_charon_is_emptied_before_it_is_ended() -> None:
    site = healthy_site()
    name = "charon"  # the scenario's one stands for that of a tunnel
    site.tell(ev.ProcessChanged(name=name, is_running=True, pid=1, is_outdated=True))
    site.settle()
    assert name in site.world.written["processes"]
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    site.now += DRAIN_SECONDS
    site.one_pass()
    assert name not in site.world.written["processes"]
    site.tell(ev.ProcessChanged(name=name, is_running=False))
    site.one_pass()
    assert name in site.world.written["processes"]


def test_an_outdated_userspace_charon_goes_on_while_no_other_tunnel_carries() -> None:
    site = healthy_site()
    site.lose_sa("tunnel-2")
    site.tell(ev.ProcessChanged(name="charon", is_running=True, pid=1, is_outdated=True))
    site.settle()
    site.now += 10 * DRAIN_SECONDS
    site.settle()
    assert "charon" in site.world.written["processes"]
    assert site.carries(VPC) == {"ncg-tunnel-1"}


def test_a_charon_that_restarts_just_after_ncgd_holds_nothing_up() -> None:
    site = healthy_site()
    site.kill_charon()
    site.start(site.intent)
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    site.tell(ev.CharonLost(charon="charon", reason="killed"), ev.CharonUp(charon="charon", version="5.9.8"))
    assert not {"nexthops", "neighbors"} & site.one_pass().held.keys()


def test_nothing_is_ended_before_it_is_known_what_carries() -> None:
    site = healthy_site()
    site.start(site.intent)
    site.tell(ev.ProcessChanged(name="charon", is_running=True, pid=1, is_outdated=True))
    for _ in range(5):
        site.one_pass()
    assert "charon" in site.world.written["processes"]
