"""Source addresses: which rule of another program would translate them, and what is to be said of it."""

from collections.abc import Iterable, Set
from functools import lru_cache
from ipaddress import IPv4Address, ip_interface
from itertools import islice

from ncgd.decision.chains import Asked, Chains, Match, bases, by_name, walk
from ncgd.decision.protection import LOOPBACK
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Fate, Packet
from ncgd.model.fib import LINK_PREFIX
from ncgd.model.masquerade import (
    AGENT,
    PRIORITY,
    TABLE,
    AgentRules,
    Extra,
    HostSource,
    OwnNetwork,
)
from ncgd.model.prefix import Prefix
from ncgd.model.report import MasqueradeReport
from ncgd.model.role import Part
from ncgd.model.spec import Intent, Masquerade
from ncgd.resources.agent_config import AgentConfig

SAMPLES = 8
"""Learned prefixes that the rules are tried on."""


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


def translators(chains: tuple[Chain, ...], prefixes: Set[Prefix]) -> list[tuple[int, str]]:
    """For each base chain the first rule that would translate the source of what goes to one of these prefixes.

    Priority, and for people: where the rule is, and what it says. What cannot be known of a condition counts as met.
    """
    found: dict[str, int] = {}
    known = by_name(chains)
    for priority, base in bases(chains):
        for prefix in sorted(prefixes, key=px.sort_key):
            if base.version in {None, px.version(prefix)} and (hit := _hit(base, prefix, known)):
                found.setdefault(hit.text, priority)
                break
    return [(priority, text) for text, priority in found.items()]


def asked_before_us(world: World) -> list[str]:
    """Rules that decide before the exemption is asked."""
    samples = set(islice(world.protection.exempt.held, SAMPLES))
    return [text for priority, text in translators(world.nat_chains, samples) if priority <= PRIORITY]


def _hit(base: Chain, prefix: Prefix, chains: Chains) -> Asked | None:
    """What translates an unmarked packet to ``prefix``."""
    for asked in walk(base, Packet(destination=prefix, mark="0x0"), chains):
        if asked.rule.fate == Fate.TRANSLATE:
            return asked
        if asked.rule.fate in {Fate.ACCEPT, Fate.DROP} and asked.match == Match.YES:
            return None
    return None
