"""The way back: which networks of the cluster peers are told of, as nodes come and go and claims collide."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ncgd.decision.export import MANY_TOLD, MOST_TOLD
from ncgd.decision.fold import fold
from ncgd.decision.own_ranges import LINGER_SECONDS, RECHECK_SECONDS
from ncgd.decision.world import World
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal, RoleReason
from ncgd.model.role import Part, Role
from ncgd.model.spec import Export, Intent, PodExport, Policy, PrefixRule, ServiceExport
from tests.scenarios.site import VPC, Site, attributes, ha_vpn, healthy_site


def pods(**nodes: str) -> ev.ClusterRangesRead:
    """``pods(one="10.244.0.0/24")``: a reading of the cluster."""
    return ev.ClusterRangesRead(
        ranges=tuple(
            ClusterRange(prefix=px.parse(text), kind=RangeKind.POD, owner=f"node {name}")
            for name, texts in nodes.items()
            for text in texts.split()
        ),
        bare_nodes=tuple(name for name, texts in nodes.items() if not texts),
    )


def unlisted(**gateway: object) -> Intent:
    return ha_vpn(**{"advertised_prefixes": (), **gateway})


def cluster(event: ev.ClusterRangesRead, intent: Intent | None = None) -> Site:
    """A site in a cluster, up and running."""
    site = Site(intent or unlisted())
    site.tell(event)
    for name in site.intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    return site


def told(site: Site, peer: str = "peer-1") -> list[str]:
    return px.texts(row.prefix for row in site.neighbors[peer].advertisements)


def reading(site: Site, event: ev.ClusterRangesRead) -> None:
    site.tell(event)
    site.settle()


def why(site: Site) -> dict[str, str]:
    return {row.prefix: row.reason for row in site.report().exports}


def problems(site: Site) -> dict[str, str]:
    return {problem.reason: problem.message for problem in site.report().problems}


def exported(site: Site) -> tuple[bool, str]:
    (condition,) = (each for each in site.report().conditions if each.type == "Exported")
    return condition.is_true, condition.reason


def test_pods_of_all_nodes_are_told_joined_where_they_fill_a_range() -> None:
    site = cluster(pods(one="10.244.0.0/24", two="10.244.1.0/24", three="10.244.3.0/24"))
    assert told(site) == told(site, "peer-2") == ["10.244.0.0/23", "10.244.3.0/24"]
    assert why(site) == {"10.244.0.0/23": "PodCIDR", "10.244.3.0/24": "PodCIDR"}
    (row, _) = site.report().exports
    assert row.message == "node one, node two"
    assert exported(site) == (True, "Exported")


def test_what_lies_inside_a_listed_prefix_is_not_told_one_by_one() -> None:
    listed = unlisted(advertised_prefixes=(px.parse("10.244.0.0/16"),))
    site = cluster(pods(one="10.244.0.0/24", two="10.245.0.0/24"), listed)
    assert told(site) == ["10.244.0.0/16", "10.245.0.0/24"]
    assert why(site) == {"10.244.0.0/16": "Listed", "10.244.0.0/24": "Covered", "10.245.0.0/24": "PodCIDR"}


def test_nothing_of_the_nodes_is_told_when_that_is_not_wanted() -> None:
    site = cluster(pods(one="10.244.0.0/24"), unlisted(export=Export(pod_cidrs=PodExport.NONE)))
    assert told(site) == []
    assert exported(site) == (False, "NothingAdvertised")
    site.peer_sends("peer-1", px.parse("10.244.0.0/24"))
    site.settle()
    assert site.world.rib.peers["peer-1"].refused == {px.parse("10.244.0.0/24"): Refusal.OWN_PREFIX}


def test_addresses_of_load_balancers_are_told_when_asked_for() -> None:
    web = ClusterRange(prefix=px.parse("192.0.2.10/32"), kind=RangeKind.LOAD_BALANCER, owner="Service default/web")
    event = pods(one="10.244.0.0/24")
    both = replace(event, ranges=(*(event.ranges or ()), web))
    assert told(cluster(both)) == ["10.244.0.0/24"]
    site = cluster(both, unlisted(export=Export(services=ServiceExport.LOAD_BALANCER)))
    assert told(site) == ["10.244.0.0/24", "192.0.2.10/32"]
    assert why(site)["192.0.2.10/32"] == "LoadBalancer"


def test_a_node_that_joins_takes_the_route_of_no_other_for_a_moment() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods(one="10.244.0.0/24", two="10.244.1.0/24"))
    assert told(site) == ["10.244.0.0/23", "10.244.0.0/24"], "the cloud has not taken over the wider one yet"
    assert why(site)["10.244.0.0/24"] == "Lingering"
    site.after(LINGER_SECONDS)
    assert told(site) == ["10.244.0.0/23"]


def test_a_node_that_is_gone_is_withdrawn_later_and_one_that_is_renamed_not_at_all() -> None:
    site = cluster(pods(one="10.244.0.0/24", two="10.244.2.0/24"))
    reading(site, pods(one="10.244.0.0/24"))
    assert told(site) == ["10.244.0.0/24", "10.244.2.0/24"]
    passes = len(site.plans)
    reading(site, pods(one="10.244.0.0/24", renamed="10.244.2.0/24"))
    site.after(2 * LINGER_SECONDS)
    steps = [step for plan in site.plans[passes:] for step in plan.steps if getattr(step, "table", "") == "neighbors"]
    assert not steps, "its peers have heard nothing of it"
    reading(site, pods(one="10.244.0.0/24"))
    site.after(LINGER_SECONDS - 1)
    assert told(site) == ["10.244.0.0/24", "10.244.2.0/24"]
    site.after(2)
    assert told(site) == ["10.244.0.0/24"]


def test_a_list_without_a_single_node_is_not_believed() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods())
    site.after(2 * LINGER_SECONDS)
    assert told(site) == ["10.244.0.0/24"]


@pytest.mark.parametrize("learned", ["10.244.0.0/24", "10.244.0.128/25", "10.244.0.0/16"])
def test_what_is_learned_later_takes_nothing_from_pods(learned: str) -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    site.peer_sends("peer-1", px.parse(learned))
    site.settle()
    assert site.world.rib.peers["peer-1"].refused == {px.parse(learned): Refusal.OWN_PREFIX}
    assert told(site) == ["10.244.0.0/24"]


@pytest.mark.parametrize("range_", ["10.128.0.0/20", "10.128.3.0/24", "10.128.0.0/16"])
def test_a_node_that_comes_later_takes_no_working_route_away(range_: str) -> None:
    assert px.text(VPC) == "10.128.0.0/20"
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods(one="10.244.0.0/24", two=range_))
    assert VPC in site.routes
    assert len(site.carries(VPC)) == 2, "it goes through both tunnels as before"
    assert told(site) == ["10.244.0.0/24"]
    assert why(site)[range_] == "OverlapsLearned"
    assert exported(site) == (False, "OverlapsLearned")
    assert f"{range_} (node two) overlaps 10.128.0.0/20" in problems(site)["OverlapsLearned"]


def test_who_was_first_is_known_after_a_restart_and_while_sessions_are_down() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods(one="10.244.0.0/24", two="10.128.3.0/24"))
    for peer in site.intent.peers:
        site.tell(ev.SessionDown(peer=peer, reason="closed"))
    site.after(RECHECK_SECONDS + 1)
    assert why(site)["10.128.3.0/24"] == "OverlapsLearned"
    site.start(unlisted())
    site.tell(pods(one="10.244.0.0/24", two="10.128.3.0/24"))
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert VPC in site.routes
    assert told(site) == ["10.244.0.0/24"]


def test_who_was_first_is_known_though_the_nodes_are_read_before_the_kernel() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods(one="10.244.0.0/24", two="10.128.3.0/24"))
    routes, disk = dict(site.routes), set(site.disk)
    site.routes.clear()
    site.disk.clear()
    world = World(started=site.now, now=site.now, node="node-1")
    site.world = fold(world, pods(one="10.244.0.0/24", two="10.128.3.0/24"), site.now)
    assert [each.prefix for each in site.world.own.ours] == [px.parse("10.128.3.0/24"), px.parse("10.244.0.0/24")]
    site.tell(ev.RoutesRead(routes=routes, backstops=frozenset()), ev.PrefixesRemembered(prefixes=frozenset(disk)))
    site.tell(ev.Ticked())
    assert site.world.own.overlaps == {px.parse("10.128.3.0/24"): VPC}
    assert not any(site.world.own.lingering.values()), "it was told to nobody"


def test_a_range_is_ours_once_nobody_else_claims_it() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    reading(site, pods(one="10.244.0.0/24", two="10.128.3.0/24"))
    for peer in site.intent.peers:
        site.tell(ev.PathsWithdrawn(peer=peer, prefixes=(VPC,)))
    site.after(RECHECK_SECONDS + 1)
    site.after(RECHECK_SECONDS + 1)
    assert told(site) == ["10.128.3.0/24", "10.244.0.0/24"]
    assert exported(site) == (True, "Exported")


@pytest.mark.parametrize("text", ["0.0.0.0/0", "169.254.0.0/24", "127.0.0.0/8"])
def test_what_no_cluster_can_own_is_neither_ours_nor_told(text: str) -> None:
    site = cluster(pods(one="10.244.0.0/24", odd=text))
    assert told(site) == ["10.244.0.0/24"]
    assert why(site)[text] == "SpecialPurpose"
    assert VPC in site.routes


def test_an_export_policy_judges_each_range_before_it_is_joined() -> None:
    deny = PrefixRule(prefix=px.parse("10.244.1.0/24"), ge=24, le=24)
    intent = unlisted()
    intent = replace(
        intent, peers={**intent.peers, "peer-1": replace(intent.peers["peer-1"], export_policy=Policy(deny=(deny,)))}
    )
    site = cluster(pods(one="10.244.0.0/24", two="10.244.1.0/24"), intent)
    assert told(site) == ["10.244.0.0/24"]
    assert told(site, "peer-2") == ["10.244.0.0/23"]


def test_what_lingers_is_what_an_export_policy_had_let_through() -> None:
    deny = PrefixRule(prefix=px.parse("10.244.1.0/24"), ge=24, le=24)
    intent = unlisted()
    intent = replace(
        intent, peers={**intent.peers, "peer-1": replace(intent.peers["peer-1"], export_policy=Policy(deny=(deny,)))}
    )
    site = cluster(pods(one="10.244.0.0/24", two="10.244.1.0/24", three="10.244.3.0/24"), intent)
    reading(site, pods(two="10.244.1.0/24", three="10.244.3.0/24"))
    assert told(site) == ["10.244.0.0/24", "10.244.3.0/24"]
    assert told(site, "peer-2") == ["10.244.0.0/23", "10.244.1.0/24", "10.244.3.0/24"]
    site.after(LINGER_SECONDS)
    assert told(site) == ["10.244.3.0/24"]
    assert told(site, "peer-2") == ["10.244.1.0/24", "10.244.3.0/24"]


@pytest.mark.parametrize("is_gateway", [True, False])
def test_nodes_that_come_and_go_make_no_pass_dearer(monkeypatch: pytest.MonkeyPatch, *, is_gateway: bool) -> None:
    calls, collapse = [0], px.collapse

    def counted(prefixes: Iterable[Prefix]) -> list[Prefix]:
        calls[0] += 1
        return collapse(prefixes)

    monkeypatch.setattr(px, "collapse", counted)
    site = cluster(many(100))
    if not is_gateway:
        role = Role(part=Part.STANDBY, holder="other", epoch=2, reason=RoleReason.OTHER_HOLDS, message="")
        site.tell(ev.RoleChanged(role=role))
    for number in range(40):
        site.tell(many(100 - number))
    site.settle()
    calls[0] = 0
    site.one_pass()
    assert calls[0] == 0, "nothing has changed since the last pass"
    (lingering,) = site.world.own.lingering.values()
    assert len(lingering) == 39, "only what is told no more"
    site.after(LINGER_SECONDS + 1)
    assert not any(site.world.own.lingering.values())


def many(count: int) -> ev.ClusterRangesRead:
    """Nodes whose ranges cannot be joined."""
    every_other: list[Prefix] = [px.make(4, (100 << 24 | 64 << 16) + (number << 9), 24) for number in range(count)]
    ranges = (
        ClusterRange(prefix=prefix, kind=RangeKind.POD, owner=f"node n{number}")
        for number, prefix in enumerate(every_other)
    )
    return ev.ClusterRangesRead(ranges=tuple(ranges))


def test_no_session_is_told_more_than_a_cloud_router_bears() -> None:
    site = cluster(many(MANY_TOLD + 1))
    assert len(told(site)) == MANY_TOLD + 1
    assert exported(site) == (False, "ManyExported")
    listed = tuple(px.make(4, (198 << 24 | 18 << 16) + (number << 5), 28) for number in range(1000))
    site = cluster(many(MOST_TOLD), unlisted(advertised_prefixes=listed))
    assert len(told(site)) == MOST_TOLD
    assert {px.text(prefix) for prefix in listed} <= set(told(site)), "what was listed goes first"
    assert exported(site) == (False, "ExportLimit")
    assert sum(reason == "ExportLimit" for reason in why(site).values()) == 1000


def test_nodes_without_a_range_are_told_of() -> None:
    site = cluster(pods(one="", two="10.244.0.0/24"))
    assert exported(site) == (False, "NoPodCIDR")
    assert "1 nodes, one the first" in problems(site)["NoPodCIDR"]
    site = cluster(pods(one="", two=""), ha_vpn())
    assert exported(site) == (True, "Exported"), "what was listed is told"


def test_a_restarted_ncgd_takes_nothing_back_before_it_has_read_the_nodes() -> None:
    site = cluster(pods(one="10.244.0.0/24"))
    site.start(unlisted())
    site.tell(ev.ClusterRangesRead(ranges=None))
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert told(site) == ["10.244.0.0/24"]
    assert "nodes have not been read" in site.report().held["neighbors"]
    reading(site, pods(one="10.244.0.0/24", two="10.244.1.0/24"))
    assert told(site) == ["10.244.0.0/23"]
    assert "neighbors" not in site.report().held


def test_sessions_do_not_wait_for_ever_for_nodes_that_cannot_be_read() -> None:
    site = healthy_site()
    site.start(ha_vpn())
    site.tell(ev.ClusterRangesRead(ranges=None))
    site.charon_answers()
    site.speaker_answers()
    site.after(31)
    assert "neighbors" not in site.report().held
