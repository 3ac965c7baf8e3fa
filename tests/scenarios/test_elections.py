"""Who is the gateway, when, and what an outage changes."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ncgd.decision.election import DURATION_SECONDS, Election, Move
from ncgd.model.lease import Candidacy, Lease
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part
from tests.scenarios.electorate import CANDIDATE, TICK, Cluster, Ncgd


def test_one_becomes_active_at_once_and_stays() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.run(TICK)
    assert cluster.active == ["a"]
    cluster.run(600)
    assert cluster.active == ["a"]
    assert cluster["b"].role.part == Part.STANDBY
    assert (cluster["b"].role.holder, cluster["b"].role.holder_address) == ("a", ip_address("10.0.0.1"))
    assert cluster.lease.transitions == 0


def test_in_steady_state_the_active_one_writes_twice_in_four_seconds_and_the_others_ask_nothing() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.run(10)
    before = [each.requests for each in cluster.all]
    cluster.run(100)
    a, b, c = (each.requests - earlier for each, earlier in zip(cluster.all, before, strict=True))
    assert a <= 51
    assert (b, c) == (0, 0)


@pytest.mark.parametrize("skew", [-60.0, 0.0, 60.0, 1e6])
def test_power_loss_is_followed_by_a_takeover_whatever_the_clocks_say(skew: float) -> None:
    cluster = Cluster("a", "b", "c", b=skew)
    cluster.run(33)
    cluster["a"].is_alive = False
    cluster["c"].candidacy = Candidacy(is_candidate=False)
    cluster["c"].election.is_told(Candidacy(is_candidate=False, why_not="no label"))
    took = cluster.until_active("b", 11)
    assert took > DURATION_SECONDS - 2 - 2 * TICK, "taken before it had run out"
    assert cluster["b"].role.epoch == 1
    assert cluster["c"].role.part == Part.NODE
    assert cluster["c"].role.holder == "b"


def test_without_a_watch_it_takes_hardly_longer() -> None:
    cluster = Cluster("a", "b")
    cluster["b"].has_watch = False
    cluster.run(31.5)
    cluster["a"].is_alive = False
    cluster.until_active("b", 14)


def test_a_partitioned_holder_begins_nothing_by_the_time_another_takes_over() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["a"].is_reachable = False
    cluster.until_active("b", 12)
    held_over = cluster["a"].role
    assert (held_over.part, held_over.may_initiate, held_over.reason) == (Part.ACTIVE, False, RoleReason.HELD_OVER)
    assert "no route to host" in held_over.message
    cluster["a"].is_reachable = True
    cluster.run(5)
    assert cluster["a"].role.part == Part.STANDBY
    assert cluster.active == ["b"]


def test_a_renewal_under_way_does_not_hide_the_end_of_the_lease() -> None:
    cluster = Cluster("a")
    cluster.run(30)
    a = cluster["a"]
    asking = next(
        choice for tick in range(30) if (choice := a.election.choose(cluster.time + tick * TICK)).move == Move.WRITE
    )
    assert asking.due is not None
    assert asking.due < cluster.time + DURATION_SECONDS + TICK
    assert a.election.choose(asking.due).role.reason == RoleReason.HELD_OVER


def test_all_lose_the_server_at_once_and_nobody_takes_over_when_it_returns() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.run(30)
    cluster.server.is_up = False
    cluster.run(300)
    assert cluster["a"].role.part == Part.ACTIVE
    assert not cluster["a"].role.may_initiate
    cluster.server.is_up = True
    cluster.run(30)
    assert cluster.active == ["a"]
    assert cluster.lease.transitions == 0


def test_a_holder_that_does_not_survive_the_outage_is_followed_after_it() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster.server.is_up = False
    cluster.run(60)
    cluster["a"].is_alive = False
    cluster.server.is_up = True
    cluster.until_active("b", DURATION_SECONDS + 5)


def test_a_server_that_answers_now_and_then_only_leaves_the_holder_alone() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    for _ in range(40):
        cluster.server.is_up = False
        cluster.run(7)
        cluster.server.is_up = True
        cluster.run(3)
        assert cluster["a"].role.part == Part.ACTIVE


def test_a_cordoned_holder_hands_over_at_once_and_goes_on_when_nobody_else_can() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["b"].election.is_told(replace(CANDIDATE, is_cordoned=True))
    cluster["a"].election.is_told(replace(CANDIDATE, is_cordoned=True))
    cluster.run(30)
    assert cluster.active == ["a"]
    assert "cordoned" in cluster["a"].role.message
    cluster["b"].election.is_told(CANDIDATE)
    assert cluster.until_active("b", 1) <= 2 * TICK
    cluster.run(30)
    assert cluster["a"].role.part == Part.STANDBY
    assert cluster.lease.yields == ""


def test_a_cordoned_candidate_takes_over_when_nobody_else_does() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.run(30)
    cluster["b"].election.is_told(replace(CANDIDATE, is_cordoned=True))
    cluster["a"].is_alive = False
    cluster.until_active("c", 12)
    cluster["c"].is_alive = False
    assert cluster.until_active("b", 24) > 16


def test_a_holder_that_leaves_is_followed_at_once() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["a"].election.leaves("ncgd ends")
    assert cluster.until_active("b", 1) <= 2 * TICK
    cluster.run(30)
    assert cluster.active == ["b"]


def test_without_its_label_the_holder_lets_go_and_another_takes_over() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["a"].election.is_told(Candidacy(is_candidate=False, why_not="no label"))
    assert cluster.until_active("b", 1) <= 2 * TICK
    assert cluster["a"].role.part == Part.NODE
    cluster["b"].election.is_told(Candidacy(is_candidate=False, why_not="no label"))
    cluster.run(5)
    assert cluster.active == []
    assert cluster["a"].role.holder == ""
    cluster["a"].election.is_told(CANDIDATE)
    cluster.until_active("a", 1)


def test_a_new_ncgd_on_the_holders_node_goes_on_in_the_same_epoch() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster.restart("a")
    assert cluster.until_active("a", 1) <= 2 * TICK
    cluster.run(30)
    assert cluster["a"].role.epoch == 0


def test_a_restart_during_an_outage_stays_undecided() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster.server.is_up = False
    cluster.restart("a")
    cluster.run(60)
    assert cluster["a"].role.part == Part.UNDECIDED
    assert "no route to host" in cluster["a"].role.message
    cluster.server.is_up = True
    cluster.until_active("a", 5)


def test_a_renamed_node_waits_its_turn_like_any_other() -> None:
    cluster = Cluster("a")
    cluster.run(30)
    cluster["a"].is_alive = False
    cluster.all.append(Ncgd("renamed", cluster.server))
    assert cluster.until_active("renamed", 13) > 7


def test_of_two_processes_with_one_name_the_later_wins_and_they_do_not_fight() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    twin = Ncgd("a", cluster.server, instance="twin")
    first = cluster["a"]
    cluster.all.append(twin)
    cluster.run(3)
    assert (twin.role.part, first.role.part) == (Part.ACTIVE, Part.STANDBY)
    assert first.role.reason == RoleReason.SUPERSEDED
    writes = cluster.server.writes
    cluster.run(20)
    assert cluster.server.writes - writes <= 11
    assert twin.role.part == Part.ACTIVE


def test_conflicts_in_a_storm_end_nothing_and_are_not_answered_by_a_storm() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    before = cluster["a"].requests
    cluster.server.conflicts = 5
    cluster.run(9)
    assert cluster.active == ["a"]
    assert cluster["a"].requests - before <= 20


def test_a_lease_that_somebody_deletes_is_made_again_by_its_holder() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster.server.lease = None
    cluster.all.reverse()
    cluster.run(5)
    assert cluster.active == ["a"]
    assert cluster["a"].role.epoch == 1


def test_a_lease_that_is_gone_is_left_to_its_last_holder_for_a_while() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.run(30)
    cluster["a"].election.leaves("to the next")
    cluster.until_active("b", 1)
    cluster.all = [each for each in cluster.all if each.name != "b"]
    cluster.server.lease = None
    cluster["a"].election.leaves("")
    cluster.run(5)
    assert cluster["a"].role.part == cluster["c"].role.part == Part.STANDBY, "it was active once, and is not the holder"
    assert "there is no Lease" in cluster["a"].role.message
    cluster.run(10)
    assert len(cluster.active) == 1
    assert cluster.lease.transitions == 2


def test_a_lease_that_somebody_gives_to_another_is_not_fought_for() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster.server.put(replace(cluster.lease, holder="nobody-there"), stamp="now")
    cluster.run(1)
    assert cluster["a"].role.part == Part.STANDBY
    cluster.run(12)
    assert len(cluster.active) == 1


def test_a_holder_of_another_version_may_have_a_longer_lease() -> None:
    cluster = Cluster("b")
    cluster.server.put(Lease(holder="old", duration_seconds=30.0), stamp="once")
    cluster.run(28)
    assert cluster["b"].role.part == Part.STANDBY
    cluster.until_active("b", 5)


def test_what_others_write_into_the_lease_is_no_renewal() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["a"].is_alive = False
    for _ in range(11):
        cluster.run(1)
        if cluster.lease.holder == "a":
            cluster.server.put(cluster.lease, stamp=cluster.lease.renewed)
    assert cluster.active == ["b"]


def test_a_node_that_hears_nothing_asks_and_not_all_nodes_at_one_moment() -> None:
    cluster = Cluster("a", *(f"node-{number}" for number in range(20)))
    nodes = cluster.all[1:]
    for node in nodes:
        node.election.is_told(Candidacy(is_candidate=False, why_not="no label"))
    cluster.run(30)
    assert not any(node.requests for node in nodes), "the watch tells of every renewal"
    for node in nodes:
        node.has_watch = False
    cluster.server.put(replace(cluster.lease, holder="other", transitions=7), stamp="once")
    cluster["a"].is_alive = False
    cluster.run(6)
    asked = sum(node.requests for node in nodes)
    cluster.run(4)
    assert 0 <= asked < len(nodes)
    assert {node.role.holder for node in nodes} == {"other"}
    cluster.server.lease = None
    cluster.run(20)
    assert {node.role.holder for node in nodes} == {""}
    assert {node.role.part for node in nodes} == {Part.NODE}


def test_a_candidate_whose_every_second_request_fails_takes_over_nevertheless() -> None:
    cluster = Cluster("a", "b")
    cluster["b"].has_watch = False
    cluster.run(30)
    cluster["a"].is_alive = False
    b = cluster["b"]
    asked = b.requests
    b.is_reachable = False
    for _ in range(round(30 / TICK)):
        if b.requests > asked:
            asked, b.is_reachable = b.requests, not b.is_reachable
        cluster.run(TICK)
    assert cluster.active == ["b"]


def test_a_renewal_that_arrives_and_is_not_answered_counts_once_it_is_seen() -> None:
    cluster = Cluster("a", "b")
    cluster.run(30)
    cluster["a"].is_answered = False
    for _ in range(60):
        cluster.run(1)
        assert cluster.active == ["a"]
    assert cluster.lease.transitions == 0


def test_another_holder_is_followed_though_the_own_node_cannot_be_read() -> None:
    cluster = Cluster("a")
    cluster.run(3)
    blind = Election("ncgd-default", "b", "process of b")
    blind.is_not_told("nodes is forbidden")
    blind.saw(cluster.lease, 0.0)
    choice = blind.choose(0.0)
    assert (choice.role.part, choice.role.holder) == (Part.NODE, "a")
    assert "nodes is forbidden" in choice.role.message
    own = Election("ncgd-default", "a", "later a")
    own.is_not_told("nodes is forbidden")
    own.saw(cluster.lease, 0.0)
    assert own.choose(0.0).role.part == Part.UNDECIDED, "what runs here may be the gateway"
