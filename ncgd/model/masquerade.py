"""Source addresses: who keeps theirs, and what would have changed them."""

from dataclasses import dataclass
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
