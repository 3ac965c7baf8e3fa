"""What a new ncgd, speaker or bridge makes of tunnels, sessions and routes that are in full flight."""

from dataclasses import replace

from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.report import Health
from ncgd.plan.plan import Step
from tests.scenarios.site import VPC, healthy_site
from tests.scenarios.test_gateway_life import BOTH, tables_of


def test_a_restarted_ncgd_changes_nothing_while_it_reads_and_nothing_after() -> None:
    site = healthy_site()
    routes, nexthops, sas = dict(site.routes), dict(site.nexthops), dict(site.sas)
    site.start(site.intent)
    before = len(site.plans)
    site.settle()
    site.charon_answers()
    site.settle()
    site.speaker_answers()
    site.settle()
    assert (site.routes, site.nexthops, site.sas) == (routes, nexthops, sas)
    assert not {"routes", "nexthops", "sas"} & set(tables_of(site, before))
    assert not [
        step for plan in site.plans[before:] for step in plan.steps if isinstance(step, Step) and step.delta.remove
    ]
    assert site.report().health == Health.HEALTHY


def test_tables_that_come_before_the_resources_are_not_lost() -> None:
    """The speaker answered sooner than the files were read: every route went, and nobody sent them again."""
    site = healthy_site()
    routes = dict(site.routes)
    site.start(None)
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.routes == routes
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    assert site.routes == routes
    assert site.report().health == Health.HEALTHY
    assert [peer.received for peer in site.report().peers] == [1, 1]


def test_a_peer_that_is_unknown_for_a_moment_costs_no_route() -> None:
    """Its resource went and came back before the speaker was told."""
    site = healthy_site()
    routes, intent = dict(site.routes), site.intent
    site.failing["neighbors"] = "no answer"
    site.tell(ev.IntentRead(intent=replace(intent, peers={})))
    site.one_pass()
    site.failing.clear()
    site.tell(ev.IntentRead(intent=intent))
    site.after(30)
    assert site.routes == routes
    assert [peer.received for peer in site.report().peers] == [1, 1]


def test_a_restarted_ncgd_keeps_routes_of_a_peer_that_has_not_spoken_yet() -> None:
    site = healthy_site()
    only_two = px.parse("10.200.0.0/16")
    site.peer_sends("peer-2", only_two)
    site.settle()
    site.neighbors.pop("peer-2")
    site.start(site.intent)
    site.unreachable.add("tunnel-2")
    site.sas.pop("tunnel-2")
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert only_two in site.routes
    assert only_two in site.backstops


def test_a_restarted_speaker_keeps_forwarding_until_its_sessions_are_back() -> None:
    site = healthy_site()
    before = len(site.plans)
    site.tell(ev.SpeakerLost(reason="killed"))
    site.settle()
    site.now += 10
    site.tell(ev.SpeakerUp(version="5.0.15"))
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionDown(peer=name, reason="the speaker was started again", is_graceful=True))
    site.one_pass()
    assert site.carries(VPC) == BOTH
    assert "routes" not in tables_of(site, before)
    site.speaker_answers()
    site.settle()
    assert site.report().health == Health.HEALTHY


def test_a_restarted_bridge_says_nothing_of_sessions_that_live_on() -> None:
    site = healthy_site()
    site.tell(ev.SpeakerLost(reason="bridge killed"))
    site.tell(ev.SpeakerUp(version="5.0.15", neighbors=frozenset(site.neighbors)))
    site.settle()
    assert site.report().health == Health.HEALTHY
