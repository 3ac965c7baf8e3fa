"""Days on which something is broken for hours, and what must not follow from it."""

from dataclasses import replace

import pytest

from ncgd.decision.retry import LONGEST_SECONDS, Retry, again
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.bgp import SessionState
from ncgd.model.delta import Outcome
from ncgd.model.ike import Charon, IkeFailure, SaState, TunnelSa
from ncgd.model.probe import Pulse
from ncgd.model.report import Health
from ncgd.model.spec import DataplaneChoice, Intent
from ncgd.plan.plan import Step
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import CAPABLE, VPC, Site, attributes, ha_vpn, healthy_site


def test_a_thousand_failures_later_the_next_attempt_is_still_due_soon() -> None:
    retry: Retry | None = None
    for _ in range(5000):
        retry = again(retry, 0.0)
    assert retry is not None
    assert retry.due == LONGEST_SECONDS


def initiations(site: Site, since: int) -> int:
    return sum(
        step.table == "sas" and bool(step.delta.set)
        for plan in site.plans[since:]
        for step in plan.steps
        if isinstance(step, Step)
    )


def test_a_new_configuration_that_the_peer_refuses_is_tried_ever_more_slowly_and_told() -> None:
    site = healthy_site()
    changed = tunnel(1, ike=replace(tunnel(1).ike, esp_proposals=("aes128gcm16-ecp256",)))
    site.unreachable.add("tunnel-1")
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-1": changed})))
    before = len(site.plans)
    failure = IkeFailure(tunnel="tunnel-1", reason="NoProposalChosen", message="the peer accepts none of ours")
    for _ in range(500):
        site.tell(ev.IkeFailed(failure=failure), ev.SasRead(charon="charon", sas=dict(site.sas)))
        site.one_pass()
    assert initiations(site, before) < 5
    problem = next(p for p in site.report().problems if p.reason == "NoProposalChosen")
    assert "still runs on its old configuration" in problem.message
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}


def test_a_tunnel_that_connects_to_the_wrong_address_takes_a_new_one() -> None:
    site = healthy_site()
    site.unreachable.add("tunnel-1")
    site.sas["tunnel-1"] = TunnelSa(tunnel="tunnel-1", state=SaState.CONNECTING, ike_id="99")
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    site.settle()
    before = len(site.plans)
    moved = tunnel(1, remote_address=tunnel(2).remote_address)
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-1": moved})))
    site.settle()
    assert initiations(site, before) == 1
    assert "tunnel-1" not in site.sas


def test_a_session_in_a_tunnel_never_falls_back_to_a_plain_link() -> None:
    site = healthy_site()
    wired = replace(site.interfaces["eth0"], addresses=("169.254.1.2/30", "169.254.2.2/30"))
    site.interfaces["eth0"] = wired
    kernel_only = replace(site.intent.gateway, dataplane=DataplaneChoice.KERNEL)
    site.tell(
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.CapabilityProbed(capability=replace(CAPABLE, kernel_esp=False)),
        ev.IntentRead(intent=replace(site.intent, gateway=kernel_only)),
    )
    site.settle()
    assert "eth0" not in site.carries(VPC)
    assert list(site.sas) == ["tunnel-1", "tunnel-2"]
    assert any(problem.reason == "DataplaneUnavailable" for problem in site.report().problems)


def test_a_charon_that_stays_silent_after_a_restart_costs_no_working_tunnel() -> None:
    site = healthy_site()
    site.start(site.intent)
    site.speaker_answers()
    site.settle()
    site.now += 60
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}


def test_a_peer_that_never_comes_up_keeps_no_withdrawn_route() -> None:
    site = healthy_site()
    third = peer(3, tunnel=None)
    site.tell(ev.IntentRead(intent=replace(site.intent, peers={**site.intent.peers, "peer-3": third})))
    for name in ("peer-1", "peer-2"):
        site.tell(ev.PathsWithdrawn(peer=name, prefixes=(VPC,)))
    site.settle()
    assert VPC not in site.routes


def test_sessions_whose_resources_went_while_ncgd_was_away_are_ended() -> None:
    site = healthy_site()
    site.start(Intent(gateway=site.intent.gateway))
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert not site.neighbors


def test_sessions_whose_resources_cannot_be_read_stay() -> None:
    site = healthy_site()
    site.start(Intent(peers={"peer-1": peer(1)}, tunnels={"tunnel-1": tunnel(1)}, is_complete=False))
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert set(site.neighbors) == {"peer-1", "peer-2"}
    assert "peer-2" in site.report().held["neighbors"]


def test_a_speaker_that_stays_away_is_not_shown_as_established_for_ever() -> None:
    site = healthy_site()
    site.tell(ev.SpeakerLost(reason="killed"))
    site.now += 600
    site.settle()
    assert site.world.session("peer-1").state == SessionState.CONNECT
    assert site.report().health == Health.DOWN
    assert VPC in site.routes


def test_stale_paths_of_a_peer_without_end_of_rib_go_in_time() -> None:
    site = healthy_site()
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionDown(peer=name, reason="reset"), ev.SessionUp(peer=name))
        site.tell(ev.PathsLearned(peer=name, attributes=attributes(), prefixes=(px.parse("10.200.0.0/16"),)))
    site.settle()
    assert VPC in site.routes
    site.now += 61
    site.settle()
    assert VPC not in site.routes


def test_a_failed_row_is_a_problem_for_as_long_as_it_is_to_be_done() -> None:
    site = healthy_site()
    row = site.world.written["clamps"]["ncg-tunnel-2"]
    for key in ("ncg-tunnel-2", "a device that is there no more"):
        failed: Outcome[object] = Outcome(failed={key: "no nft"})
        site.tell(
            ev.TableWritten(
                table="clamps", begun=site.now, ended=site.now, set={key: row}, removed=frozenset(), outcome=failed
            )
        )
    assert site.report().problems == ()
    changed = tunnel(2, mtu=1300)
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-2": changed})))
    assert [problem.object for problem in site.report().problems] == ["clamps/ncg-tunnel-2"]
    site.now += 1
    site.settle()
    assert site.report().problems == ()
    assert site.report().health == Health.HEALTHY


def test_what_a_dead_charon_was_told_late_is_told_to_the_new_one_again() -> None:
    site = healthy_site()
    begun = site.now
    rows = {table: dict(site.world.written[table]) for table in ("credentials", "connections", "sas")}
    site.now += 3
    site.sas, site.connections = {}, {}
    site.tell(ev.CharonLost(charon="charon", reason="killed"))
    site.charon_answers()
    for table, each in rows.items():
        site.tell(
            ev.TableWritten(table=table, begun=begun, ended=site.now, set=each, removed=frozenset(), outcome=Outcome())
        )
    site.settle()
    assert site.connections.keys() == {"tunnel-1", "tunnel-2"}
    assert site.report().health == Health.HEALTHY


def test_a_slow_attempt_to_replace_a_tunnel_is_not_doubled() -> None:
    site = healthy_site()
    old = site.sas["tunnel-1"]
    site.unreachable.add("tunnel-1")
    changed = {**site.intent.tunnels, "tunnel-1": tunnel(1, ike=replace(tunnel(1).ike, child_rekey_seconds=3600))}
    since = len(site.plans)
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels=changed)))
    site.one_pass()
    site.now += 5
    site.settle()
    begun = initiations(site, since)
    site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": replace(old, pending_ike_id="99")}))
    for _ in range(100):
        site.now += 0.3
        site.one_pass()
    assert initiations(site, since) == begun


def test_what_a_dead_speaker_was_told_late_is_told_to_the_new_one_again() -> None:
    site = healthy_site()
    begun, rows = site.now, dict(site.world.written["neighbors"])
    site.now += 3
    site.tell(ev.SpeakerLost(reason="killed"))
    site.neighbors = {}
    site.speaker_answers()
    site.tell(
        ev.TableWritten(
            table="neighbors", begun=begun, ended=site.now, set=rows, removed=frozenset(), outcome=Outcome()
        )
    )
    site.settle()
    assert site.neighbors.keys() == {"peer-1", "peer-2"}


def test_userspace_charons_never_share_a_port() -> None:
    names = [f"tunnel-{number}" for number in range(200)]
    many = {name: tunnel(1, ref=replace(tunnel(1).ref, name=name)) for name in names}
    site = Site(replace(ha_vpn(dataplane=DataplaneChoice.USERSPACE), tunnels=many, peers={}))
    site.one_pass()
    rows = [row for row in site.world.written["processes"].values() if hasattr(row, "ike_port")]
    ports = [port for row in rows for port in (getattr(row, "ike_port", 0), getattr(row, "nat_port", 0))]
    assert len(set(ports)) == 400
    assert max(ports) < 32768


@pytest.mark.parametrize(
    ("choice", "goes_on"),
    [(DataplaneChoice.KERNEL, True), (DataplaneChoice.USERSPACE, False)],
    ids=["kernel", "userspace"],
)
def test_a_charon_that_does_not_answer_is_told_with_what_becomes_of_its_esp(
    choice: DataplaneChoice, goes_on: bool
) -> None:
    site = Site(ha_vpn(dataplane=choice))
    site.one_pass()
    charon = min(row.name for row in site.world.written["processes"].values() if isinstance(row, Charon))
    site.tell(ev.CharonLost(charon=charon, reason="no answer within 5 s"))
    problem = next(each for each in site.report().problems if each.reason == "CharonUnreachable")
    assert ("go on working" in problem.hint) == goes_on
    assert ("only while it runs" in problem.hint) != goes_on


def test_a_peer_that_dies_just_after_our_speaker_has_started_is_not_forwarded_to() -> None:
    site = healthy_site()
    site.tell(ev.SessionUp(peer="peer-1"))
    site.tell(ev.SessionDown(peer="peer-1", reason="closed", is_graceful=True))
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}


def test_a_session_that_ends_with_its_tunnel_is_no_problem_of_its_own() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.tell(ev.SessionDown(peer="peer-1", reason="hold timer expired"))
    site.one_pass()
    assert [problem.reason for problem in site.report().problems] == ["DataPathDead"]
    site.probe_finds(tunnel_1=Pulse.ALIVE)
    site.tell(ev.SessionDown(peer="peer-1", reason="hold timer expired"))
    site.one_pass()
    assert [problem.reason for problem in site.report().problems] == ["SessionDown"]
