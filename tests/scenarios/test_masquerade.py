"""Pods keep their source address towards what was learned: which prefixes are exempt from masquerade, and how long."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from ncgd.decision.masquerade import translators
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Condition, Fate, Rule
from ncgd.model.fib import Interface
from ncgd.model.masquerade import HostSource, OwnNetwork
from ncgd.model.masquerade_event import AgentConfigRead, AgentRulesRead, NatChainsRead
from ncgd.model.spec import LeakProtection, Masquerade, Policy
from tests.scenarios.resources import peer
from tests.scenarios.site import PODS, VPC, Site, attributes, ha_vpn, healthy_site
from tests.scenarios.test_nodes import follows, hears, node

OTHER = px.parse("10.200.0.0/16")
PART = px.parse("10.128.0.0/24")
EVERYTHING = px.parse("0.0.0.0/0")
EXEMPT = {VPC, OwnNetwork(PODS)}


def test_what_is_learned_is_exempt_before_it_has_a_route_and_until_it_has_none() -> None:
    site = healthy_site()
    assert site.exempt == EXEMPT
    tables = [getattr(step, "table", "routes") for plan in site.plans for step in plan.steps]
    assert tables.index("masquerade") < tables.index("routes")
    for name in site.intent.peers:
        site.tell(ev.PathsWithdrawn(peer=name, prefixes=(VPC,)))
    site.settle()  # the site fails when a prefix loses its exemption before its route
    assert site.exempt == set()
    assert site.report().masquerade.table == ""


def test_leak_protection_off_changes_nothing_about_source_addresses() -> None:
    site = healthy_site(ha_vpn(leak_protection=LeakProtection.OFF))
    assert site.exempt == EXEMPT


def test_off_removes_all_of_it_at_once_and_exempt_brings_it_back() -> None:
    site = healthy_site()
    site.tell(ev.IntentRead(intent=ha_vpn(masquerade=Masquerade.OFF)))
    site.settle()
    assert site.exempt == set()
    assert site.carries(VPC)
    assert site.report().masquerade.mode == "Off"
    site.tell(ev.IntentRead(intent=ha_vpn()))
    site.settle()
    assert site.exempt == EXEMPT


def test_a_peer_without_a_tunnel_counts_too_and_a_default_route_does_not() -> None:
    plain = peer(1, local_ip=IPv4Address("192.168.100.2"), peer_ip=IPv4Address("192.168.100.9"), tunnel=None)
    policy = Policy(allow_default_route=True)
    site = Site(replace(ha_vpn(import_policy=policy), tunnels={}, peers={"peer-1": plain}))
    site.sent["peer-1"] = {prefix: replace(attributes(), next_hop="") for prefix in (VPC, EVERYTHING)}
    site.speaker_answers()
    site.settle()
    assert site.carries(EVERYTHING) == {"eth0"}
    assert site.exempt == EXEMPT


def test_own_networks_follow_what_is_advertised() -> None:
    site = healthy_site()
    halves = (px.parse("10.20.0.0/17"), px.parse("10.20.128.0/17"), px.parse("10.20.1.0/24"))
    site.tell(ev.IntentRead(intent=ha_vpn(advertised_prefixes=halves)))
    site.settle()
    assert site.exempt == {VPC, OwnNetwork(px.parse("10.20.0.0/16"))}


def test_a_restart_touches_nothing_while_peers_have_not_spoken_yet() -> None:
    for protection in LeakProtection:
        site = healthy_site(ha_vpn(leak_protection=protection))
        site.start(site.intent)
        before = len(site.plans)
        site.settle()
        site.speaker_answers()
        site.charon_answers()
        site.settle()
        steps = [step for plan in site.plans[before:] for step in plan.steps]
        assert not [step for step in steps if getattr(step, "table", "") == "masquerade"]
        assert site.exempt == EXEMPT


def test_what_somebody_flushed_comes_back_and_is_counted() -> None:
    site = healthy_site()
    site.exempt.clear()
    site.tell(site.exemption_as_it_is())
    site.settle()
    assert site.exempt == EXEMPT
    assert site.report().drift == 2


def test_an_exemption_that_cannot_be_written_is_named_and_tried_again() -> None:
    site = Site(ha_vpn())
    site.failing["masquerade"] = "nft: Operation not supported"
    site.sent["peer-1"] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.after(1)
    assert site.carries(VPC)
    problem = next(problem for problem in site.report().problems if problem.reason == "ExemptionNotApplied")
    assert "Operation not supported" in problem.message
    site.failing.clear()
    site.after(20)
    assert site.exempt == EXEMPT
    assert not [problem for problem in site.report().problems if problem.reason == "ExemptionNotApplied"]


def test_a_failure_is_over_once_there_is_nothing_left_to_write() -> None:
    """nft hung while a prefix was advertised, which was taken back before the next attempt: Degraded for ever."""
    site = healthy_site()
    more = replace(site.intent.gateway, advertised_prefixes=(PODS, px.parse("10.10.7.0/24")))
    site.failing["masquerade"] = "nft -f -: no answer within 10 s"
    site.tell(ev.IntentRead(intent=replace(site.intent, gateway=more)))
    site.settle()
    assert "ExemptionNotApplied" in [problem.reason for problem in site.report().problems]
    site.tell(ev.IntentRead(intent=site.intent))
    site.failing.clear()
    site.after(20)
    site.after(1)
    assert site.report().problems == ()
    assert site.exempt == EXEMPT


def cni(*rules: Rule, priority: int = 100, **more: Chain) -> NatChainsRead:
    """A base chain of another program, and those that it jumps to, by name."""
    base = Chain(table="nftables inet cni", name="post", priority=priority, rules=rules)
    return NatChainsRead(chains=(base, *(replace(chain, table=base.table, name=name) for name, chain in more.items())))


def rule(fate: Fate, *conditions: Condition, chain: str = "", is_conditional: bool = False) -> Rule:
    return Rule(fate=fate, conditions=conditions, chain=chain, is_conditional=is_conditional, text=f"{fate}!")


def to(*prefixes: px.Prefix, is_negated: bool = False) -> Condition:
    return Condition(field="destination", values=prefixes, is_negated=is_negated)


def marked(mark: str, *, is_negated: bool = False) -> Condition:
    return Condition(field="mark", values=(mark,), is_negated=is_negated)


def condition(site: Site) -> tuple[bool, str, str]:
    found = next(each for each in site.report().conditions if each.type == "SourceAddressesKept")
    return found.is_true, found.reason, found.message


def test_the_rule_that_would_translate_is_named_and_where_the_exemption_is() -> None:
    site = healthy_site()
    site.tell(cni(rule(Fate.TRANSLATE)))
    is_kept, reason, message = condition(site)
    assert (is_kept, reason) == (True, "Exempt")
    assert "exempt in inet ncgd_masquerade: 1 prefix" in message
    assert "nftables inet cni post: translate!" in message
    site.tell(ev.IntentRead(intent=ha_vpn(masquerade=Masquerade.OFF)))
    site.settle()
    is_kept, reason, message = condition(site)
    assert (is_kept, reason) == (False, "Translated")
    assert "post: translate!" in message


def test_a_rule_that_is_asked_before_ours_is_a_problem() -> None:
    site = healthy_site()
    site.tell(cni(rule(Fate.TRANSLATE), priority=-5))
    problem = next(problem for problem in site.report().problems if problem.reason == "TranslatedBefore")
    assert "post: translate!" in problem.message
    assert condition(site)[0] is False
    site.tell(cni(rule(Fate.TRANSLATE), priority=5))
    assert not [problem for problem in site.report().problems if problem.reason == "TranslatedBefore"]


@pytest.mark.parametrize(
    ("rules", "is_named"),
    [
        ([rule(Fate.TRANSLATE, is_conditional=True)], True),
        ([rule(Fate.TRANSLATE, to(VPC))], True),
        ([rule(Fate.TRANSLATE, to(VPC, is_negated=True))], False),
        ([rule(Fate.TRANSLATE, to(OTHER))], False),
        ([rule(Fate.TRANSLATE, to(OTHER, is_negated=True))], True),
        ([rule(Fate.RETURN), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.ACCEPT), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.NOTHING), rule(Fate.TRANSLATE)], True),
        ([rule(Fate.RETURN, is_conditional=True), rule(Fate.TRANSLATE)], True),
        ([rule(Fate.RETURN, to(VPC)), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.RETURN, to(OTHER, VPC)), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.RETURN, to(PART)), rule(Fate.TRANSLATE)], True),
        ([rule(Fate.TRANSLATE, marked("0x4000"))], False),
        ([rule(Fate.RETURN, marked("0x4000", is_negated=True)), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.RETURN, marked("0x0")), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.JUMP, chain="inner")], True),
        ([rule(Fate.JUMP, chain="kept", is_conditional=True), rule(Fate.TRANSLATE)], False),
        ([rule(Fate.JUMP, chain="round"), rule(Fate.TRANSLATE)], True),
        ([rule(Fate.GOTO, chain="nowhere"), rule(Fate.TRANSLATE)], False),
    ],
)
def test_only_what_would_hit_a_packet_to_the_vpc_is_named(rules: list[Rule], is_named: bool) -> None:
    inner = Chain(table="", name="", rules=(rule(Fate.TRANSLATE),))
    kept = Chain(table="", name="", rules=(rule(Fate.ACCEPT),))
    circle = Chain(table="", name="", rules=(rule(Fate.JUMP, chain="round"),))
    assert bool(translators(cni(*rules, inner=inner, kept=kept, round=circle).chains, {VPC})) == is_named


def agent(text: str, site: Site | None = None) -> Site:
    """A site whose ncgd stands in for ip-masq-agent, once that one's configuration is read."""
    site = site or healthy_site(ha_vpn(masquerade=Masquerade.AGENT))
    site.tell(AgentConfigRead(text=text))
    site.settle()
    return site


def exempt_texts(site: Site) -> set[str]:
    assert site.agent
    return set(px.texts(site.agent.exempt))


def test_the_agent_masquerades_by_its_configuration_and_the_exemption_is_there_too() -> None:
    site = agent("")
    assert exempt_texts(site) == {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10"}
    assert site.exempt == EXEMPT
    agent("nonMasqueradeCIDRs: [10.0.0.0/9, 10.128.0.0/9, 'fd00::/8']\nmasqLinkLocal: true\n", site)
    assert exempt_texts(site) == {"10.0.0.0/8", "fd00::/8", "fe80::/10"}
    assert site.agent
    assert site.agent.has_v6
    site.tell(ev.IntentRead(intent=ha_vpn()))
    site.settle()
    assert site.agent is None


def test_an_invalid_configuration_leaves_the_last_valid_one_in_force() -> None:
    site = agent("nonMasqueradeCIDRs: [10.0.0.0/9]\n")
    agent("nonMasqueradeCIDRs: [10.0.0.1/9]\n", site)
    assert "10.0.0.0/9" in exempt_texts(site)
    problem = next(problem for problem in site.report().problems if problem.reason == "AgentConfigInvalid")
    assert "10.0.0.1/9" in problem.message
    agent("nonMasqueradeCIDRs: [10.0.0.0/10]\n", site)
    assert not [problem for problem in site.report().problems if problem.reason == "AgentConfigInvalid"]


def test_the_agents_rules_come_back_when_somebody_removes_them_and_outlive_a_restart() -> None:
    site = agent("")
    rules = site.agent
    site.tell(AgentRulesRead(rules=None))
    site.agent = None
    site.settle()
    assert site.agent == rules
    assert site.report().drift == 1
    before = len(site.plans)
    site.start(site.intent)
    agent("", site)
    steps = [step for plan in site.plans[before:] for step in plan.steps]
    assert not [step for step in steps if getattr(step, "table", "") == "agent"]


def test_rules_of_an_earlier_ncgd_go_when_nobody_wants_them() -> None:
    site = agent("")
    site.start(ha_vpn())
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.agent is None


def test_a_gateway_stands_for_itself_with_an_address_that_is_advertised() -> None:
    nodes = px.parse("192.168.100.0/24")
    site = healthy_site(ha_vpn(advertised_prefixes=(PODS, nodes)))
    node = HostSource(IPv4Address("192.168.100.2"))
    assert site.exempt == {*EXEMPT, OwnNetwork(nodes), node}
    site.tell(ev.IntentRead(intent=ha_vpn()))
    site.settle()
    assert site.exempt == EXEMPT, "the VPC has no route to that address"
    bridge = Interface(index=9, name="cni0", kind="bridge", mtu=1500, is_up=True, addresses=("10.10.0.1/24",))
    site.interfaces["cni0"] = bridge
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.exempt == {*EXEMPT, HostSource(IPv4Address("10.10.0.1"))}
    assert site.report().drift == 0


def test_a_node_exempts_what_it_sends_to_the_gateway_and_never_stands_for_itself() -> None:
    site = node()
    assert VPC in site.exempt
    assert not [row for row in site.exempt if isinstance(row, HostSource)]
    site.tell(cni(rule(Fate.TRANSLATE)))
    assert site.report().masquerade.rules == ("nftables inet cni post: translate!",)
    before = len(site.plans)
    hears(site, follows("gw-b", 2))
    site.after(1)
    moved = [step for plan in site.plans[before:] for step in plan.steps if getattr(step, "table", "") == "masquerade"]
    assert not moved, "the gateway moves, the exemption does not"
    hears(site, follows("", 3))
    site.after(1)
    assert VPC in site.exempt
