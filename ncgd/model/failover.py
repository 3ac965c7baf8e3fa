"""Traffic that moved because whoever carried it could not any more: when, why, where to, and how long it took."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ncgd.model.histogram import Histogram
from ncgd.model.reason import TunnelReason

SESSION_DOWN = "SessionDown"
"""Cause of a failover: the tunnel is well, the session is not."""
CAUSES = (
    SESSION_DOWN,
    *map(
        str,
        (
            TunnelReason.PATH_DEAD,
            TunnelReason.UPLINK_DOWN,
            TunnelReason.SA_DOWN,
            TunnelReason.CONNECTING,
            TunnelReason.INTERFACE_DOWN,
            TunnelReason.NO_INTERFACE,
            TunnelReason.NO_CHARON,
            TunnelReason.ADDRESS_IN_USE,
            TunnelReason.NO_BIND_ADDRESS,
        ),
    ),
)
"""Why a peer may become unable to carry traffic."""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Of durations, in seconds."""
TAKEOVER_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of durations of takeovers, in seconds."""
RECENT = 32
"""Failovers that are remembered one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Traffic of one peer that others have taken over."""

    number: int
    """1 for the first since ncgd started."""
    peer: str
    cause: str
    """Why the peer could not carry any more: one of CAUSES."""
    successors: tuple[str, ...]
    """Peers that carry its traffic since."""
    at: float
    """When what made it unable was told (the loop's clock)."""
    seconds: float
    """From then until the kernel had accepted the last next hop group without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failovers:
    """All since ncgd started."""

    recent: tuple[Failover, ...] = ()
    """The last RECENT, oldest first."""
    causes: Mapping[str, int] = field(default_factory=dict)
    """How many there were, by cause."""
    times: Histogram = field(default_factory=lambda: Histogram.of(*BOUNDS))
    """How long they took, in seconds."""
    takeovers: Histogram = field(default_factory=lambda: Histogram.of(*TAKEOVER_BOUNDS))
    """Of the gateway by this node, from holding the Lease until the first traffic could go; in seconds."""
