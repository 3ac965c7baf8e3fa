"""The wish turns while a write fails or is under way: nothing is held against what nobody wants any more."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeGuard

from ncgd.decision.explain import explain
from ncgd.decision.protection import FORGET_SECONDS, SAVE_SECONDS
from ncgd.decision.renewal import DRAIN_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.delta import Outcome
from ncgd.model.fib import RouteChange
from ncgd.model.ike import IkeFailure, SaState, StaleSa, TunnelSa
from ncgd.model.report import Health
from ncgd.model.spec import Intent
from ncgd.plan.plan import Step
from tests.scenarios.resources import tunnel
from tests.scenarios.site import VPC, Site, healthy_site

OTHER = px.parse("10.200.0.0/16")


def test_a_failed_file_of_what_nobody_wants_to_remember_any_more_is_no_problem() -> None:
    site = healthy_site()
    site.saved()
    site.failing["memory"] = "No space left on device"
    site.peer_sends("peer-1", OTHER)
    site.after(2 * SAVE_SECONDS)
    site.after(2 * SAVE_SECONDS)
    assert site.report().health == Health.DEGRADED
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)))
    site.after(0.1)
    site.failing.clear()
    for _ in range(10):
        site.after(20)
    assert site.report().problems == ()


def test_a_prefix_that_flaps_between_two_savings_does_not_end_them() -> None:
    site = healthy_site()
    site.saved()
    site.peer_sends("peer-1", OTHER)
    assert site.saved() == {VPC, OTHER}
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)))
    site.after(2 * SAVE_SECONDS)  # it may be forgotten in FORGET_SECONDS
    site.peer_sends("peer-1", OTHER)
    site.after(2 * FORGET_SECONDS)
    for event in (
        ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)),
        ev.PathsLearned(peer="peer-1", attributes=site.sent["peer-1"][OTHER], prefixes=(OTHER,)),
    ):
        site.tell(event)
        site.one_pass()
    site.after(2 * SAVE_SECONDS)
    new = px.parse("10.201.0.0/16")
    site.peer_sends("peer-1", new)
    assert site.saved() == {VPC, OTHER, new}


def edited(site: Site, **changes: object) -> Intent:
    """The first tunnel with something else to it."""
    first = replace(site.intent.tunnels["tunnel-1"], **changes)  # type: ignore[arg-type]
    return replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-1": first})


def drained(site: Site) -> None:
    """The tunnel that is to be renewed is empty, and its new SA asked for."""
    site.settle()
    site.after(DRAIN_SECONDS + 0.1)


def attempt(site: Site) -> TunnelSa:
    """Beside what is up, charon negotiates on and on what it was asked for."""
    under_way = replace(site.sas["tunnel-1"], pending_ike_id="77")
    site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": under_way}))
    return under_way


def is_sas(step: object) -> TypeGuard[Step]:
    return isinstance(step, Step) and step.table == "sas"


def is_ending(step: object) -> TypeGuard[Step]:
    return isinstance(step, Step) and bool(step.delta.remove)


def rows_set(site: Site, table: str, since: int) -> list[object]:
    """The rows of a table that the plans after so many have set, in order."""
    steps = [step for plan in site.plans[since:] for step in plan.steps]
    return [key for step in steps if isinstance(step, Step) and step.table == table for key in step.delta.set]


def test_an_attempt_that_nobody_wants_any_more_is_ended_and_forgotten() -> None:
    """A peer's address is changed to one that is silent, and back: charon would try that one for ever."""
    site = healthy_site()
    site.unreachable.add("tunnel-1")
    site.tell(ev.IntentRead(intent=edited(site, remote_address=IPv4Address("198.51.100.99"))))
    drained(site)
    site.sas["tunnel-1"] = attempt(site)
    failure = IkeFailure(tunnel="tunnel-1", reason="PeerUnreachable", message="the peer does not answer")
    site.tell(ev.IkeFailed(failure=failure))
    site.settle()
    site.tell(ev.IntentRead(intent=site.intent))
    before = len(site.plans)
    site.settle()
    attempt(site)
    site.settle()
    ended = [step.delta.remove for plan in site.plans[before:] for step in plan.steps if is_sas(step)]
    assert frozenset({StaleSa(charon="charon", ike_id="77")}) in ended
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], pending_ike_id="")
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    site.settle()
    assert ("sas", "tunnel-1") not in site.world.retries
    assert not site.world.ike_failures


def test_while_an_sa_of_before_an_edit_carries_on_the_tunnel_says_so() -> None:
    site = healthy_site()
    site.unreachable.add("tunnel-1")
    site.tell(ev.IntentRead(intent=edited(site, remote_address=IPv4Address("198.51.100.99"))))
    drained(site)
    carries = "the SA of before the last change carries on until one with 198.51.100.99 is up"
    assert told(site)[1] == f"  Usable: {carries}"
    failure = IkeFailure(tunnel="tunnel-1", reason="PeerUnreachable", message="the peer does not answer")
    site.tell(ev.IkeFailed(failure=failure))
    site.settle()
    assert told(site)[1] == f"  Usable: {carries}: the peer does not answer"
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    assert told(site)[1] == "  Usable: SA installed, interface up"


def told(site: Site) -> list[str]:
    assert site.desired is not None
    lines = explain("tunnel-1", site.world, site.desired)
    assert lines is not None
    return lines


def brought_back(site: Site) -> TunnelSa:
    """The peer has ended the SA, and charon negotiates another by itself."""
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    under_way = replace(site.sas["tunnel-1"], state=SaState.CONNECTING, ike_id="77", child_id="", digest="")
    site.sas["tunnel-1"] = under_way
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    return under_way


def test_what_charon_brings_back_by_itself_is_not_begun_a_second_time() -> None:
    """There were two negotiations, and one was broken off: the peer kept an SA that nobody had, until its DPD."""
    site = healthy_site()
    brought_back(site)
    before = len(site.plans)
    site.after(5)
    assert not [step for plan in site.plans[before:] for step in plan.steps if is_sas(step)]


def test_what_charon_brings_back_of_an_older_configuration_is_begun_anew() -> None:
    site = healthy_site()
    site.tell(ev.IntentRead(intent=edited(site, remote_address=IPv4Address("198.51.100.99"))))
    brought_back(site)
    before = len(site.plans)
    site.settle()
    assert rows_set(site, "sas", before) == ["tunnel-1"]
    ended = [step.delta.remove for plan in site.plans[before:] for step in plan.steps if is_sas(step)]
    assert frozenset({StaleSa(charon="charon", ike_id="77")}) in ended


def test_a_superfluous_attempt_is_not_broken_off_while_the_peer_may_take_it_for_up() -> None:
    """A peer that has authenticated it is told of its end only if it is up here, too."""
    site = healthy_site()
    beside = replace(site.sas["tunnel-1"], stale_ike_ids=("77",), answered_ike_ids=("77",))
    before = len(site.plans)
    site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": beside}))
    site.settle()
    assert not [step for plan in site.plans[before:] for step in plan.steps if is_sas(step)]
    site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": replace(beside, answered_ike_ids=())}))
    site.settle()
    ended = [step.delta.remove for plan in site.plans[before:] for step in plan.steps if is_sas(step)]
    assert ended == [frozenset({StaleSa(charon="charon", ike_id="77")})]


def test_an_attempt_that_is_answered_and_never_comes_up_is_broken_off_all_the_same() -> None:
    """UDP 4500 is blocked, 500 is not: charon would go on for ever, and nobody would repair a dead data path."""
    site = healthy_site()
    beside = replace(site.sas["tunnel-1"], stale_ike_ids=("77",), answered_ike_ids=("77",))
    before = len(site.plans)
    for _ in range(12):
        site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": beside}))
        site.after(1)
    ended = [step.delta.remove for plan in site.plans[before:] for step in plan.steps if is_sas(step)]
    assert ended[:1] == [frozenset({StaleSa(charon="charon", ike_id="77")})]


def test_an_attempt_that_charon_refused_is_no_problem_once_it_is_not_wanted() -> None:
    site = healthy_site()
    site.failing["sas"] = "no such child"
    site.tell(ev.IntentRead(intent=edited(site, ike=replace(tunnel(1).ike, esp_proposals=("aes128gcm16-ecp256",)))))
    drained(site)
    assert [problem.object for problem in site.report().problems] == ["sas/tunnel-1"]
    site.failing.clear()
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    site.after(1)
    assert site.report().health == Health.HEALTHY


def test_a_withdrawn_prefix_whose_route_the_kernel_has_lost_is_not_guarded_for_ever() -> None:
    """Its route waits to be removed, behind another change, and goes with the device meanwhile."""
    for news in (
        ev.RoutesMeddled(routes={OTHER: None}, backstops={}),
        ev.RoutesRead(routes={}, backstops=frozenset({VPC, OTHER})),
    ):
        site = healthy_site()
        site.peer_sends("peer-1", OTHER)
        site.settle()
        assert site.protects(OTHER) == (True, True)
        change = RouteChange(routes={VPC: site.routes[VPC]}, backstops={})
        site.world.routes.under_way = change
        site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)))
        site.one_pass()
        assert site.protects(OTHER) == (True, True)
        del site.routes[OTHER]
        site.tell(news, ev.RoutesWritten(change=change, outcome=Outcome()))
        site.after(5)
        assert OTHER not in site.routes
        assert site.protects(OTHER) == (False, False)


def test_a_program_that_would_not_end_is_kept_again_once_it_is_wanted_again() -> None:
    """Nobody kept charon any more, nor spoke to it: it counted as running all the while."""
    site = healthy_site()
    site.failing["processes"] = "pid 1 does not end, not even by SIGKILL"
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={}, peers={})))
    site.settle()
    assert "processes/charon" in [problem.object for problem in site.report().problems]
    site.failing.clear()
    before = len(site.plans)
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    assert rows_set(site, "processes", before) == ["charon"]


def test_a_row_whose_write_failed_is_written_again_when_what_was_there_is_wanted_again() -> None:
    """A write that timed out may have been done all the same."""
    site = healthy_site()
    site.failing["clamps"] = "nft -f -: no answer within 10 s"
    site.tell(ev.IntentRead(intent=edited(site, mtu=1300)))
    site.settle()
    site.failing.clear()
    before = len(site.plans)
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    assert rows_set(site, "clamps", before) == ["ncg-tunnel-1"]


def test_an_sa_that_a_hung_charon_did_not_end_is_no_problem_once_that_charon_has_ended() -> None:
    """NotApplied stood in the status for a minute."""
    site = healthy_site()
    site.failing["sas"] = "charon did not answer within 5 s"
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={}, peers={})))
    site.settle()
    assert "processes" in {step.table for plan in site.plans for step in plan.steps if is_ending(step)}
    assert [problem.object for problem in site.report().problems if problem.reason == "NotApplied"] == []
