"""Chains of other programs: what decides about packets that pass through this machine, and about their sources."""

from dataclasses import dataclass
from enum import StrEnum

from ncgd.model.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the kernel asks chains about a packet."""

    name: str
    """As nftables has it; in capitals it is the name of iptables' chain."""
    type: str
    """Of the chains that count there; iptables' table is named so too."""
    priority: int
    """Of iptables' chain."""


FORWARD = Hook("forward", "filter", 0)
POSTROUTING = Hook("postrouting", "nat", 100)


class Fate(StrEnum):
    """What a rule does with a packet that it matches."""

    ACCEPT = "accept"
    """No further rule of this base chain is asked; those of others are."""
    DROP = "drop"
    TRANSLATE = "translate"
    """Its source address, by masquerade, snat or netmap."""
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of a rule that can be judged beforehand."""

    field: str
    """``iif``, ``oif``, ``source``, ``destination``, ``mark`` or ``state``."""
    values: tuple[str | Prefix, ...]
    """Names of interfaces (``docker*`` stands for all that begin so), prefixes, what is left of the packet's mark below
    the rule's mask (``0x4000``), or states of connections."""
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of a chain."""

    fate: Fate = Fate.NOTHING
    chain: str = ""
    """Where a jump or goto leads."""
    conditions: tuple[Condition, ...] = ()
    is_conditional: bool = False
    """There are other conditions, which nobody knows beforehand."""
    text: str = ""
    """For people: conditions and target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that is asked at a hook, or that one of those jumps to."""

    table: str
    """Program, family and table: ``iptables-legacy nat``, ``nftables inet firewalld``."""
    name: str
    version: int | None = None
    """4 or 6; None for both."""
    priority: int | None = None
    """Of a base chain; the lowest is asked first."""
    drops_rest: bool = False
    """Policy of a base chain: what no rule decides about is dropped."""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet that passes through; None: anything."""

    source: Prefix | None = None
    destination: Prefix
    iif: str | None = None
    oif: str | None = None
    mark: str | None = None
    """``0x0`` for none at all: any other depends on the mask."""
    state: str | None = None
    """Of its connection, as conntrack has it."""
