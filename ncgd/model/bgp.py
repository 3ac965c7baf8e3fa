"""BGP: what the speaker is told (neighbours, advertisements) and what it learned (sessions, paths)."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from ncgd.model.prefix import IPAddress, Prefix


class SessionState(StrEnum):
    """RFC 4271 §8.2.2, as far as the speaker lets us see it."""

    IDLE = "Idle"
    """Not configured in the speaker: its tunnel is down, or the peer is not in force."""
    CONNECT = "Connect"
    ESTABLISHED = "Established"


class Origin(IntEnum):
    """RFC 4271 §5.1.1; lower is preferred."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Path attributes that decisions read. Interned by the codec: many prefixes share one object."""

    as_path: tuple[int, ...] = ()
    """Sequence of ASNs, nearest first; the members of an AS_SET stand at its place."""
    as_path_length: int = 0
    """RFC 4271 §9.1.2.2 a: an AS_SET counts as one."""
    origin: Origin = Origin.INCOMPLETE
    med: int = 0
    """Missing counts as 0, the best (RFC 4271 §9.1.2.2 c)."""
    next_hop: str = ""
    communities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """One prefix that a peer is told, next hop self."""

    prefix: Prefix
    med: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A neighbour as the speaker is configured. Times in seconds."""

    peer: str
    local_address: IPAddress
    peer_address: IPAddress
    local_asn: int
    peer_asn: int
    router_id: str
    hold_seconds: int
    interface: str | None = None
    """Bind the session to this interface (SO_BINDTODEVICE); None leaves it to routing."""
    restart_seconds: int = 120
    """Restart time we announce (RFC 4724): what a restart of the speaker may take unseen."""
    families: tuple[int, ...] = (4,)
    """IP versions of the unicast families to negotiate."""
    advertisements: tuple[Advertisement, ...] = ()


TCP_FAILED = "the TCP connection failed or was closed"
"""All that the speaker tells of an attempt that ended before any BGP message did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. ``since`` is the loop's clock in seconds."""

    peer: str
    state: SessionState = SessionState.IDLE
    since: float = 0.0
    reason: str = ""
    """Why it is not established, as the speaker tells."""
    peer_restart_seconds: int | None = None
    """Restart time from the peer's OPEN (RFC 4724); None: it does not do graceful restart."""
    graceful_until: float | None = None
    """While down: until then the peer's paths still forward (helper role, RFC 4724 §4.2)."""
    families_ended: frozenset[int] = field(default_factory=frozenset)
    """IP versions whose End-of-RIB has arrived since the session came up."""
