"""What follows from what the probe finds: who carries, what is said, and what a restarted ncgd may believe."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ncgd.model import event as ev
from ncgd.model.delta import Outcome
from ncgd.model.ike import Repair
from ncgd.model.probe import ProbeReport, Pulse, Vitality
from ncgd.model.report import Health
from ncgd.model.spec import Liveness, OwnLiveness
from ncgd.plan.plan import Step
from tests.scenarios.resources import tunnel
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site

BOTH = {"ncg-tunnel-1", "ncg-tunnel-2"}


def message(site: Site, name: str) -> str:
    return next(row.message for row in site.report().tunnels if row.ref.name == name)


def test_a_tunnel_is_probed_with_its_own_settings() -> None:
    own = tunnel(1, liveness=OwnLiveness(misses=10))
    intent = ha_vpn(liveness=Liveness(interval_seconds=0.5))
    site = healthy_site(replace(intent, tunnels={**intent.tunnels, "tunnel-1": own}))
    assert site.probes["tunnel-1"].settings == Liveness(interval_seconds=0.5, misses=10)
    assert site.probes["tunnel-2"].settings == Liveness(interval_seconds=0.5)


def test_a_probe_that_is_switched_off_says_nothing_any_more() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.ALIVE)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    off = tunnel(1, liveness=OwnLiveness(is_enabled=False))
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-1": off})))
    site.settle()
    assert site.probes.keys() == {"tunnel-2"}
    assert site.carries(VPC) == BOTH
    assert "liveness.enabled is false" in message(site, "tunnel-1")


def test_with_every_data_path_dead_traffic_goes_on_being_sent_and_the_gateway_is_down() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.DEAD)
    site.settle()
    assert site.report().health == Health.DEGRADED
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.DEAD)
    site.settle()
    assert site.carries(VPC) == BOTH
    assert site.report().health == Health.DOWN
    first = site.report().problems[0]
    assert (first.reason, "peer-1, peer-2" in first.message, "uplink" in first.hint) == ("NothingAnswers", True, True)
    assert not [each for each in site.report().problems if "moved the traffic" in each.hint], "there was nowhere to go"
    site.probe_finds(tunnel_1=Pulse.RECOVERING)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1"}
    assert site.report().health == Health.DEGRADED
    assert "NothingAnswers" not in [problem.reason for problem in site.report().problems]


def test_peers_that_never_answer_do_not_make_a_gateway_down() -> None:
    site = healthy_site()
    assert site.report().health == Health.HEALTHY
    assert "only DPD and BGP watch this tunnel" in message(site, "tunnel-1")


def restarted(site: Site) -> Site:
    """A new ncgd, whose prober has not said anything yet."""
    site.is_probe_mute = True
    site.start(site.intent)
    site.charon_answers()
    site.speaker_answers()
    site.plans.clear()
    return site


def rows_written(site: Site) -> list[str]:
    return [step.table for plan in site.plans for step in plan.steps if isinstance(step, Step)]


def test_a_dead_path_is_not_told_with_the_figures_of_when_it_was_alive() -> None:
    site = healthy_site()
    dead = ProbeReport(vitality=Vitality(pulse=Pulse.DEAD), rtt_seconds=0.0004, loss=0.0)
    site.tell(ev.ProbesRead(probes={"tunnel-1": dead, "tunnel-2": ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE))}))
    assert message(site, "tunnel-1").startswith("probe Dead, no echo is answered any more")


def test_a_restarted_ncgd_leaves_groups_alone_until_it_knows_what_was_known_of_each_path() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.ALIVE)
    site.settle()
    nexthops, meds = dict(site.nexthops), dict(site.neighbors)
    restarted(site).settle()
    assert "probe of tunnel tunnel-1" in site.report().held["nexthops"]
    assert site.report().health == Health.DEGRADED
    site.unmute_probe()
    site.settle()
    assert not {"nexthops", "sas"} & set(rows_written(site))
    assert (site.nexthops, site.neighbors) == (nexthops, meds)
    assert site.carries(VPC) == {"ncg-tunnel-2"}


def test_a_restarted_ncgd_sees_a_path_that_died_while_it_was_away() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    restarted(site).unmute_probe()
    site.settle()
    assert site.carries(VPC) == BOTH
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}


def test_a_restarted_ncgd_is_not_fooled_when_all_paths_were_dead() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.DEAD)
    restarted(site).unmute_probe()
    site.settle()
    assert site.report().health == Health.DOWN


def test_peers_that_never_answer_are_used_by_a_restarted_ncgd_as_before() -> None:
    site = healthy_site()
    restarted(site).unmute_probe()
    site.settle()
    assert "nexthops" not in rows_written(site)
    assert site.report().health == Health.HEALTHY


def test_a_probe_that_cannot_be_had_or_never_speaks_holds_up_nothing_for_ever() -> None:
    for outcome in ("fails", "hangs"):
        site = healthy_site()
        nexthops = dict(site.nexthops)
        restarted(site)
        site.nexthops.clear()
        site.tell(ev.NexthopsRead(nexthops={}))
        site.settle()
        assert not site.nexthops
        if outcome == "fails":
            probes: dict[Any, object] = dict(site.probes)
            failed: Outcome[object] = Outcome(failed=dict.fromkeys(probes, "no socket"))
            site.tell(
                ev.TableWritten(
                    table="probes",
                    set=probes,
                    removed=frozenset(),
                    outcome=failed,
                    begun=site.now,
                    ended=site.now,
                )
            )
        else:
            site.now += 31
        site.settle()
        assert site.nexthops == nexthops


def live(site: Site, seconds: int) -> list[float]:
    """Let time go by, with a pass a second; the moments at which a repair of tunnel-1 began."""
    moments = []
    for _ in range(seconds):
        site.now += 1
        site.sas = {name: replace(sa, established_seconds=sa.established_seconds + 1) for name, sa in site.sas.items()}
        site.tell(ev.SasRead(charon="charon", sas=dict(site.sas), is_routine=True))
        steps = [step for step in site.one_pass().steps if isinstance(step, Step) and step.table == "sas"]
        moments += [site.now for step in steps if Repair(tunnel="tunnel-1") in step.delta.set]
        site.settle()
    return moments


def test_a_dead_path_gets_a_new_sa_beside_the_old_one_which_goes_then() -> None:
    site = healthy_site()
    old = site.sas["tunnel-1"].ike_id
    live(site, 10)
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.ALIVE)
    site.settle()
    site.plans.clear()
    assert len(live(site, 2)) == 1
    steps = [step for plan in site.plans for step in plan.steps if isinstance(step, Step) and step.table == "sas"]
    assert [(set(step.delta.set), {getattr(key, "ike_id", "") for key in step.delta.remove}) for step in steps] == [
        ({Repair(tunnel="tunnel-1")}, set()),
        (set(), {old}),
    ]
    assert site.sas["tunnel-1"].ike_id != old
    assert "repairing: new IKE SA (1 so far" in message(site, "tunnel-1")
    site.probe_finds(tunnel_1=Pulse.ALIVE)
    site.settle()
    assert site.report().health == Health.HEALTHY


def test_a_path_that_stays_dead_is_repaired_ever_more_slowly_and_one_that_flaps_not_much_more_often() -> None:
    site = healthy_site()
    live(site, 10)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    moments = live(site, 400)
    pauses = [round(later - earlier) for earlier, later in pairwise(moments)]
    assert pauses[:8] == pytest.approx([2, 4, 8, 16, 32, 60, 60, 60], abs=3)
    flapping = healthy_site()
    repairs = []
    for _ in range(20):
        flapping.probe_finds(tunnel_1=Pulse.DEAD)
        repairs += live(flapping, 10)
        flapping.probe_finds(tunnel_1=Pulse.ALIVE)
        repairs += live(flapping, 10)
    assert len(repairs) <= len(moments) + 2


def test_the_back_off_of_repairs_is_forgotten_after_a_good_while() -> None:
    site = healthy_site()
    for _ in range(3):
        live(site, 100)
        site.probe_finds(tunnel_1=Pulse.DEAD)
        assert len(live(site, 2)) == 1
        site.probe_finds(tunnel_1=Pulse.ALIVE)


def test_no_repair_while_one_is_under_way_nor_of_what_is_not_known_to_be_dead() -> None:
    site = healthy_site()
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], pending_ike_id="99")
    live(site, 10)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    assert live(site, 100) == []
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], pending_ike_id="")
    for pulse in (Pulse.UNPROVEN, Pulse.ALIVE, Pulse.SUSPECT, Pulse.RECOVERING):
        site.probe_finds(tunnel_1=pulse)
        assert live(site, 20) == []


def test_a_tunnel_whose_uplink_goes_is_left_at_once_and_is_better_than_none() -> None:
    site = healthy_site()
    site.interfaces["eth1"] = replace(site.interfaces["eth0"], name="eth1", index=3, addresses=("192.0.2.7/24",))
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], local_address="192.168.100.2")
    site.sas["tunnel-2"] = replace(site.sas["tunnel-2"], local_address="192.0.2.7")
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)), ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.carries(VPC) == BOTH
    eth0 = site.interfaces["eth0"]
    for broken, word in ((replace(eth0, is_up=False), "eth0 is down"), (replace(eth0, addresses=()), "no interface")):
        site.interfaces["eth0"] = broken
        site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
        site.one_pass()
        assert site.carries(VPC) == {"ncg-tunnel-2"}
        assert site.neighbors["peer-2"].advertisements[0].med == 50
        problem = next(p for p in site.report().problems if p.reason == "UplinkDown")
        assert word in problem.message
    site.interfaces["eth1"] = replace(site.interfaces["eth1"], is_up=False)
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.carries(VPC) == BOTH
    site.interfaces |= {"eth0": eth0, "eth1": replace(site.interfaces["eth1"], is_up=True)}
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.report().health == Health.HEALTHY


def test_a_path_that_is_not_whole_is_told_and_left_only_when_it_is_dead() -> None:
    site = healthy_site()
    large = ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE), large_lost=3)
    lossy = ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE, strain=0.3))
    site.tell(ev.ProbesRead(probes={"tunnel-1": large, "tunnel-2": lossy}))
    site.settle()
    told = {problem.reason: problem for problem in site.report().problems}
    assert "spec.mtu" in told["LargePacketsLost"].hint
    assert "30%" in told["DataPathLossy"].message
    assert site.carries(VPC) == BOTH
