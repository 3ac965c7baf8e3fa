"""Source addresses: which rule of another program would translate them, and what is to be said of it."""

from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from itertools import islice

from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.masquerade import AGENT, PRIORITY, TABLE, AgentRules, NatChain, NatRule, Verdict
from ncgd.model.prefix import Prefix
from ncgd.model.report import MasqueradeReport
from ncgd.model.role import Part
from ncgd.model.spec import Intent, Masquerade
from ncgd.resources.agent_config import AgentConfig

SAMPLES = 8
"""Learned prefixes that the rules are tried on."""
_DEPTH = 16
"""Chains within chains; the kernel allows as many."""


def masquerade_report(world: World, intent: Intent) -> MasqueradeReport:
    """The exemption as it is, and what would translate without it."""
    protection = world.protection
    exempt = protection.exempt.held
    samples = set(islice(exempt or protection.learned or protection.plain, SAMPLES))
    rules = tuple(text for _, text in translators(world.nat_chains, samples))
    is_kept = bool(exempt) and protection.is_exempting and not asked_before_us(world)
    return MasqueradeReport(
        mode=str(intent.gateway.masquerade),
        exempt=len(exempt),
        table=TABLE if exempt else "",
        rules=rules,
        is_kept=is_kept or not rules,
        unread=world.nat_unread,
    )


def own_networks(world: World) -> frozenset[Prefix]:
    """The networks that are reached from learned prefixes, none inside another: advertised ones, and the cluster's."""
    listed = world.intent.gateway.advertised_prefixes if world.intent else ()
    return _collapsed((*listed, *(each.prefix for each in world.own.ours)))


@lru_cache(maxsize=2)
def _collapsed(networks: tuple[Prefix, ...]) -> frozenset[Prefix]:
    """Asked for the same at every pass."""
    return frozenset(px.collapse(networks))


def agent_rows(intent: Intent, world: World) -> dict[str, AgentRules]:
    """What to masquerade in ip-masq-agent's place; as things are while its configuration has not been read."""
    if intent.gateway.masquerade != Masquerade.AGENT:
        return {}
    config = world.agent
    if config is None and world.role.part == Part.STANDALONE:  # there is no cluster, so no ConfigMap
        config = AgentConfig()
    if config is None:
        held = world.written.get("agent", {}).get(AGENT)
        return {AGENT: held} if isinstance(held, AgentRules) else {}
    has_v6 = any(px.version(px.parse(entry)) == 6 for entry in config.non_masquerade)
    return {AGENT: AgentRules(exempt=frozenset(px.collapse(config.exempt)), has_v6=has_v6)}


def translators(chains: tuple[NatChain, ...], prefixes: Set[Prefix]) -> list[tuple[int, str]]:
    """For each base chain the first rule that would translate the source of what goes to one of these prefixes.

    Priority, and for people: where the rule is, and what it says. What cannot be known of a condition counts as met.
    """
    found: dict[str, int] = {}
    by_name = {(chain.table, chain.name): chain for chain in chains}
    bases = [(chain.priority, chain) for chain in chains if chain.priority is not None]
    for priority, base in sorted(bases, key=lambda each: each[0]):
        for prefix in sorted(prefixes, key=px.sort_key):
            if base.version in {None, px.version(prefix)} and (hit := _hit(base, prefix, by_name)):
                chain, rule = hit
                found.setdefault(f"{chain.table} {chain.name}: {rule.text}", priority)
                break
    return [(priority, text) for text, priority in found.items()]


def asked_before_us(world: World) -> list[str]:
    """Rules that decide before the exemption is asked."""
    samples = set(islice(world.protection.exempt.held, SAMPLES))
    return [text for priority, text in translators(world.nat_chains, samples) if priority <= PRIORITY]


def _hit(base: NatChain, prefix: Prefix, chains: Mapping[tuple[str, str], NatChain]) -> tuple[NatChain, NatRule] | None:
    """Walk a base chain as an unmarked packet to ``prefix`` would."""
    for chain, rule in _walk(base, prefix, chains, _DEPTH):
        if rule.verdict == Verdict.TRANSLATE:
            return chain, rule
        if rule.verdict == Verdict.END and not rule.is_conditional:
            return None
    return None


def _walk(
    chain: NatChain, prefix: Prefix, chains: Mapping[tuple[str, str], NatChain], depth: int
) -> Iterator[tuple[NatChain, NatRule]]:
    """The rules that may match, in the order in which they are asked."""
    for rule in chain.rules:
        if not _may_match(rule, prefix):
            continue
        yield chain, rule
        if rule.verdict in {Verdict.JUMP, Verdict.GOTO} and depth and (there := chains.get((chain.table, rule.chain))):
            yield from _walk(there, prefix, chains, depth - 1)
        if rule.verdict in {Verdict.RETURN, Verdict.GOTO} and not rule.is_conditional:
            return


def _may_match(rule: NatRule, prefix: Prefix) -> bool:
    if rule.destination is not None:
        if rule.is_elsewhere and px.covers(rule.destination, prefix):
            return False
        if not rule.is_elsewhere and not (px.covers(rule.destination, prefix) or px.covers(prefix, rule.destination)):
            return False
    if rule.mark is None:
        return True
    return rule.is_unmarked == (rule.mark[1] != 0)
