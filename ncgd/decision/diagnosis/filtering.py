"""Whether a packet filter of another program drops what passes through this machine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from ncgd.model import prefix as px
from ncgd.model.filter import Condition, Fate, FilterChain, FilterRule, Passing

_DEPTH = 16
"""Chains within chains; the kernel allows as many."""
Chains = Mapping[tuple[str, str], FilterChain]


class _Match(IntEnum):
    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Where a packet is dropped: chain and rule."""

    where: str
    unless: str = ""
    """The rule that lets it pass before if its other conditions are met, which nobody knows; empty: none."""


def dropped(chains: tuple[FilterChain, ...], passing: Passing) -> Drop | None:
    """The first chain that drops such a packet; None: all let it pass.

    What cannot be known of a condition counts as met where the rule lets pass, and as not met where it drops: rules
    that drop what is invalid or too much are everywhere, and rarely the reason.
    """
    by_name = {(chain.table, chain.name): chain for chain in chains}
    bases = [chain for chain in chains if chain.priority is not None]
    for base in sorted(bases, key=lambda chain: chain.priority or 0):
        if base.version in {None, px.version(passing.destination)} and (drop := _asked(base, passing, by_name)):
            return drop
    return None


def _asked(base: FilterChain, passing: Passing, chains: Chains) -> Drop | None:
    unless = ""
    for chain, rule, match in _walk(base, passing, chains, _Match.YES, _DEPTH):
        text = f"{chain.table} {chain.name}: {rule.text}"
        if rule.fate == Fate.ACCEPT:
            if match == _Match.YES:
                return None
            unless = unless or text
        elif rule.fate == Fate.DROP and match == _Match.YES:
            return Drop(where=text, unless=unless)
    return Drop(where=f"{base.table} {base.name}: policy drop", unless=unless) if base.drops_rest else None


def _walk(
    chain: FilterChain, passing: Passing, chains: Chains, surely: _Match, depth: int
) -> Iterator[tuple[FilterChain, FilterRule, _Match]]:
    """The rules that match, or may, in the order in which they are asked."""
    for rule in chain.rules:
        match = min(surely, _matches(rule, passing))
        if match == _Match.NO:
            continue
        yield chain, rule, match
        if rule.fate in {Fate.JUMP, Fate.GOTO} and depth and (there := chains.get((chain.table, rule.chain))):
            yield from _walk(there, passing, chains, match, depth - 1)
        if rule.fate in {Fate.RETURN, Fate.GOTO} and match == surely:
            return


def _matches(rule: FilterRule, passing: Passing) -> _Match:
    whole = _Match.MAYBE if rule.is_conditional else _Match.YES
    return min((whole, *(_met(condition, passing) for condition in rule.conditions)))


def _met(condition: Condition, passing: Passing) -> _Match:
    match condition.field:
        case "iif":
            found = _names(condition, passing.iif)
        case "oif":
            found = _names(condition, passing.oif)
        case "source":
            found = _networks(condition, passing.source)
        case "destination":
            found = _networks(condition, passing.destination)
        case _:
            found = _Match.YES if passing.state in condition.values else _Match.NO
    return _Match(2 - found) if condition.is_negated else found


def _names(condition: Condition, name: str | None) -> _Match:
    if name is None:
        return _Match.MAYBE
    patterns = map(str, condition.values)
    is_named = any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)
    return _Match.YES if is_named else _Match.NO


def _networks(condition: Condition, prefix: px.Prefix | None) -> _Match:
    if prefix is None:
        return _Match.MAYBE
    networks = [px.Prefix(each) for each in condition.values if isinstance(each, int)]
    if any(px.covers(each, prefix) for each in networks):
        return _Match.YES
    return _Match.MAYBE if any(px.covers(prefix, each) for each in networks) else _Match.NO
