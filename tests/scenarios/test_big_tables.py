"""Tables too big for one pass: decided and written by slices, between which a failover has its turn."""

from dataclasses import replace

from ncgd.decision.desired import desired_state
from ncgd.decision.rib import SLICE
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.delta import Outcome
from ncgd.model.fib import RouteChange
from ncgd.model.spec import Intent
from ncgd.plan.plan import Plan, RouteStep, Step, make_plan
from tests.scenarios.site import Site, attributes, ha_vpn, healthy_site

MANY = [px.make(4, (10 << 24) + (1 << 23) + index * 16, 28) for index in range(3 * SLICE)]


def roomy() -> Intent:
    intent = ha_vpn()
    return replace(intent, peers={name: replace(peer, max_prefixes=100_000) for name, peer in intent.peers.items()})


def big_site() -> Site:
    site = healthy_site(roomy())
    for name in site.intent.peers:
        site.peer_sends(name, *MANY)
    site.settle()
    assert len(site.routes) == len(MANY) + 1
    return site


def changes(plans: list[Plan]) -> list[RouteChange]:
    return [step.change for plan in plans for step in plan.steps if isinstance(step, RouteStep)]


def test_a_table_is_taken_by_slices_and_all_of_it_is_installed() -> None:
    site = big_site()
    assert all(len(change.routes) <= SLICE for change in changes(site.plans))


def test_the_next_slice_waits_until_the_last_one_is_written() -> None:
    site = healthy_site(roomy())
    site.peer_sends("peer-1", *MANY)
    (first,) = changes([make_plan(site.world, desired_state(site.world))])
    assert changes([make_plan(site.world, desired_state(site.world))]) == []
    site.tell(ev.RoutesWritten(change=first, outcome=Outcome()))
    (second,) = changes([make_plan(site.world, desired_state(site.world))])
    assert len(first.routes) == len(second.routes) == SLICE
    assert not first.routes.keys() & second.routes.keys()


def test_a_new_ncgd_takes_no_route_away_while_it_still_decides() -> None:
    site = big_site()
    before, seen = dict(site.routes), len(site.plans)
    site.start(site.intent)
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.routes == before
    assert not any(change.routes for change in changes(site.plans[seen:]))


def test_failover_comes_first_though_a_table_is_on_its_way() -> None:
    site = big_site()
    site.tell(ev.PathsLearned(peer="peer-1", attributes=attributes(7), prefixes=tuple(MANY)))
    site.one_pass()
    site.lose_sa("tunnel-1")
    plan = site.one_pass()
    first = plan.steps[0]
    assert isinstance(first, Step)
    assert first.table == "nexthops"
    assert site.world.rib.has_more
    assert all(len(site.carries(prefix)) == 1 for prefix in MANY)
