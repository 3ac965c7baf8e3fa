"""The way of a packet through the chains of other programs: which rules match it, and which may."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Condition, Fate, Packet, Rule

_DEPTH = 16
"""Chains within chains; the kernel allows as many."""
Chains = Mapping[tuple[str, int | None, str], Chain]
"""By table, IP version and name: iptables-legacy has a table of the same name for each version."""


class Match(IntEnum):
    """Whether a packet meets a condition."""

    NO = 0
    MAYBE = 1
    """Nobody knows beforehand."""
    YES = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule that is asked about a packet, and matches it or may."""

    chain: Chain
    rule: Rule
    match: Match
    """YES or MAYBE."""
    reached: Match
    """The same of the jumps that lead to its chain."""

    @property
    def text(self) -> str:
        """For people: where the rule is, and what it says."""
        return f"{self.chain.table} {self.chain.name}: {self.rule.text}"


def by_name(chains: Iterable[Chain]) -> Chains:
    """The chains as jumps find them."""
    return {(chain.table, chain.version, chain.name): chain for chain in chains}


def bases(chains: Iterable[Chain]) -> list[tuple[int, Chain]]:
    """The base chains and their priorities, in the order in which the kernel asks them."""
    found = [(chain.priority, chain) for chain in chains if chain.priority is not None]
    return sorted(found, key=lambda each: each[0])


def walk(
    chain: Chain, packet: Packet, chains: Chains, reached: Match = Match.YES, depth: int = _DEPTH
) -> Iterator[Asked]:
    """The rules of a chain, and of those that it leads to, in the order in which they are asked.

    Behind a jump it goes on, whatever was decided there: what of that is sure, and counts, is for the caller to say.
    """
    for rule in chain.rules:
        match = _matches(rule, packet)
        if match == Match.NO:
            continue
        yield Asked(chain, rule, match, reached)
        there = chains.get((chain.table, chain.version, rule.chain))
        if rule.fate in {Fate.JUMP, Fate.GOTO} and there and depth:
            yield from walk(there, packet, chains, min(reached, match), depth - 1)
        if rule.fate not in {Fate.JUMP, Fate.NOTHING} and match == Match.YES:
            return


def _matches(rule: Rule, packet: Packet) -> Match:
    whole = Match.MAYBE if rule.is_conditional else Match.YES
    return min((whole, *(_met(condition, packet) for condition in rule.conditions)))


def _met(condition: Condition, packet: Packet) -> Match:
    match condition.field:
        case "iif":
            found = _named(condition, packet.iif)
        case "oif":
            found = _named(condition, packet.oif)
        case "source":
            found = _networks(condition, packet.source)
        case "destination":
            found = _networks(condition, packet.destination)
        case "mark":
            found = _named(condition, packet.mark)
        case _:
            found = _named(condition, packet.state)
    return Match(2 - found) if condition.is_negated else found


def _named(condition: Condition, name: str | None) -> Match:
    if name is None:
        return Match.MAYBE
    patterns = map(str, condition.values)
    is_named = any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)
    return Match.YES if is_named else Match.NO


def _networks(condition: Condition, prefix: px.Prefix | None) -> Match:
    if prefix is None:
        return Match.MAYBE
    networks = [px.Prefix(each) for each in condition.values if isinstance(each, int)]
    if any(px.covers(each, prefix) for each in networks):
        return Match.YES
    return Match.MAYBE if any(px.covers(prefix, each) for each in networks) else Match.NO
