"""Source addresses: which rule of another program would translate them, and what is to be said of it."""

from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache
from ipaddress import IPv4Address, ip_interface
from itertools import islice

from ncgd.decision.protection import LOOPBACK
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.fib import LINK_PREFIX
from ncgd.model.masquerade import (
    AGENT,
    PRIORITY,
    TABLE,
    AgentRules,
    Extra,
    HostSource,
    NatChain,
    NatRule,
    OwnNetwork,
    Verdict,
)
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


def exemption_extras(world: World) -> frozenset[Extra]:
    """The networks that are reached from learned prefixes, and on a gateway the address that stands for itself."""
    listed = world.intent.gateway.advertised_prefixes if world.intent else ()
    networks = _collapsed((*listed, *(each.prefix for each in world.own.ours)))
    host = host_source(world, [each.prefix for each in networks])
    return networks | ({HostSource(host)} if host else set())


def host_source(world: World, networks: Iterable[Prefix]) -> IPv4Address | None:
    """An address of this gateway that the peers have a route to: the node's own if that is one; None without any."""
    if not world.role.is_gateway:
        return None  # what other nodes send leaves by their own address
    links = {LOOPBACK, *world.tuns.values()}
    addresses = [
        ip_interface(text).ip
        for name, interface in (world.interfaces or {}).items()
        if name not in links and not name.startswith(LINK_PREFIX)
        for text in interface.addresses
    ]
    own = list(networks)
    reached = [
        each
        for each in addresses
        if isinstance(each, IPv4Address) and any(px.covers(network, px.make(4, int(each), 32)) for network in own)
    ]
    return min(reached, key=lambda each: (each != world.role.holder_address, each), default=None)


@lru_cache(maxsize=2)
def _collapsed(networks: tuple[Prefix, ...]) -> frozenset[OwnNetwork]:
    """None inside another. Asked for the same at every pass."""
    return frozenset(map(OwnNetwork, px.collapse(networks)))


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
