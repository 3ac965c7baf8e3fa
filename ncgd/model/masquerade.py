"""Source addresses: who keeps theirs, and what would have changed them."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from ncgd.model.prefix import Prefix


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """A network of ours that the peers are told of: what comes from them to it keeps its source address too."""

    prefix: Prefix


@dataclass(frozen=True, slots=True)
class HostSource:
    """The address that stands for this machine: what it sends itself carries a tunnel's link-local one otherwise.

    Nobody beyond the tunnel's far end has a route to that.
    """

    address: IPv4Address


Extra = OwnNetwork | HostSource
"""What the exemption holds beside prefixes."""

TABLE = "inet ncgd_masquerade"
"""The exemption's table in nftables: family and name."""
PRIORITY = 0
"""Of its chain: before srcnat (100), where CNIs, kube-proxy, Docker and iptables masquerade."""


AGENT = "ip-masq-agent"
"""Key of the one row of the agent's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRules:
    """What is masqueraded here as ip-masq-agent would: all that is forwarded, but not to these prefixes."""

    exempt: frozenset[Prefix]
    """None inside another, neighbours joined."""
    has_v6: bool = False
    """IPv6 is masqueraded too."""


class Verdict(StrEnum):
    """What a rule in a nat chain does with a connection that it matches."""

    TRANSLATE = "translate"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    END = "end"
    """No further rule of this base chain is asked; those of others are."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatRule:
    """A rule of a postrouting nat chain: of its conditions, those that can be judged beforehand."""

    verdict: Verdict
    chain: str = ""
    """Where a jump or goto leads."""
    destination: Prefix | None = None
    is_elsewhere: bool = False
    """Matches what does not go to ``destination``."""
    mark: tuple[int, int] | None = None
    """Mask and value of the packet's mark."""
    is_unmarked: bool = False
    """Matches what does not have that ``mark``."""
    is_conditional: bool = False
    """There are other conditions, which nobody knows beforehand."""
    text: str = ""
    """For people: conditions and target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatChain:
    """A chain of another program that is asked at postrouting, or that one of those jumps to."""

    table: str
    """Program, family and table: ``iptables-legacy nat``, ``nftables inet cni``."""
    name: str
    version: int | None = None
    """4 or 6; None for both."""
    priority: int | None = None
    """Of a base chain; the lowest is asked first."""
    rules: tuple[NatRule, ...] = ()
