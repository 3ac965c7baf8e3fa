"""Packet filters of other programs: what decides about packets that pass through this machine."""

from dataclasses import dataclass
from enum import StrEnum

from ncgd.model.prefix import Prefix


class Fate(StrEnum):
    """What a rule does with a packet that it matches."""

    ACCEPT = "accept"
    """No further rule of this base chain is asked; those of others are."""
    DROP = "drop"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of a rule that can be judged beforehand."""

    field: str
    """``iif``, ``oif``, ``source``, ``destination`` or ``state``."""
    values: tuple[str | Prefix, ...]
    """Names of interfaces (``docker*`` stands for all that begin so), prefixes, or states of connections."""
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """A rule of a filter chain."""

    fate: Fate
    chain: str = ""
    """Where a jump or goto leads."""
    conditions: tuple[Condition, ...] = ()
    is_conditional: bool = False
    """There are other conditions, which nobody knows beforehand."""
    text: str = ""
    """For people: conditions and target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterChain:
    """A chain that is asked about packets that pass through, or that one of those jumps to."""

    table: str
    """Program, family and table: ``iptables-nft ip filter``, ``nftables inet firewalld``."""
    name: str
    version: int | None = None
    """4 or 6; None for both."""
    priority: int | None = None
    """Of a base chain; the lowest is asked first."""
    drops_rest: bool = False
    """Policy of a base chain: what no rule decides about is dropped."""
    rules: tuple[FilterRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A packet that passes through; None: anything."""

    source: Prefix | None
    destination: Prefix
    iif: str | None
    oif: str | None
    state: str = "new"
    """Of its connection, as conntrack has it."""
