"""Everything that may enter the mailbox. An event says what was seen, never what to do.

Whole tables are read and sent whole (level, not edge); only BGP updates are edits, ordered per peer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ncgd.model.bgp import Attributes
from ncgd.model.capability import Capability, CharonKeeper
from ncgd.model.clamp import MssClamp
from ncgd.model.cluster_range import ClusterRange
from ncgd.model.delta import Outcome
from ncgd.model.fib import ForeignRoute, Interface, Nexthop, NexthopGroup, RouteChange, Way
from ncgd.model.flaw import Flaw
from ncgd.model.ike import EspPort, IkeFailure, TunnelSa
from ncgd.model.masquerade_event import MasqueradeEvent
from ncgd.model.prefix import IPAddress, Prefix
from ncgd.model.probe import ProbeReport
from ncgd.model.role import Role
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRead:
    """The source has a new consistent set of resources."""

    intent: Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChanged:
    """Who is active has changed, or why."""

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRangesRead:
    """All address ranges of the cluster's nodes and, if asked for, Services."""

    ranges: tuple[ClusterRange, ...] | None
    """None: there is a cluster, and it has not been read yet."""
    bare_nodes: tuple[str, ...] = ()
    """Nodes without a range of their own: their CNI keeps its own books."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityProbed:
    """The probe has finished."""

    capability: Capability
    keeper: CharonKeeper = CharonKeeper.NCGD
    may_bind_service: bool = True
    """Whether ncgd has CAP_NET_BIND_SERVICE, as charon has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessChanged:
    """A supervised program (charon or exabgp) came up, went down or keeps failing."""

    name: str
    is_running: bool
    pid: int | None = None
    reason: str = ""
    """Empty while all is well; else why it is not running, for people."""
    restarts: int = 0
    is_outdated: bool = False
    """It runs as it was launched by an earlier ncgd, and would be launched differently now."""
    is_adopted: bool = False  # an earlier ncgd has started it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessesRead:
    """Names of the programs that an earlier ncgd has left running, before any is supervised."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CharonUp:
    """VICI answers; nothing that this charon holds is known yet except its SAs, which follow."""

    charon: str
    version: str
    tunnels: frozenset[str] = frozenset()
    """Tunnels that it has a connection or a key of ours for, perhaps from an earlier life of ncgd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharonLost:
    """VICI does not answer any more. The SAs may well still carry packets."""

    charon: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SasRead:
    """All SAs that one charon holds for us, by tunnel."""

    charon: str
    sas: Mapping[str, TunnelSa]
    is_routine: bool = False
    """Read because it was time, not because charon told of a change: the next pass will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IkeFailed:
    """charon reported why a negotiation failed."""

    failure: IkeFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class TunFound:
    """Which TUN device a userspace charon has made, by name and index."""

    charon: str
    interface: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerUp:
    """The BGP speaker's API answers; sessions and their tables follow."""

    version: str
    neighbors: frozenset[str] = frozenset()
    """Peers that the speaker is configured with now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerRead:
    """The speaker has told of every session that is up, with its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerLost:
    """The speaker's API does not answer. Sessions may be up all the same."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUp:
    """A session is established."""

    peer: str
    restart_seconds: int | None = None
    """Restart time from the peer's OPEN; None without graceful restart."""
    age_seconds: float = 0.0
    """How long it has been up already, when we connect to a running speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDown:
    """A session is not, or not any more, established."""

    peer: str
    reason: str
    is_graceful: bool = False
    """TCP went away without a NOTIFICATION: RFC 4724 lets the paths stand for the restart time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsLearned:
    """A peer advertises prefixes with these attributes."""

    peer: str
    attributes: Attributes
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsWithdrawn:
    """A peer withdraws prefixes."""

    peer: str
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjRibInRead:
    """The whole Adj-RIB-In of one established session, after (re)connecting to the speaker."""

    peer: str
    paths: Mapping[Prefix, Attributes]
    families_ended: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfRib:
    """RFC 4724 §2: the peer has sent all it had for one IP version (4 or 6)."""

    peer: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfacesRead:
    """All interfaces of the host, by name."""

    interfaces: Mapping[str, Interface]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicesRead:
    """All OverlayRouteSlices of the namespace, by name."""

    slices: Mapping[str, RouteSlice]
    damaged: frozenset[str] = frozenset()
    """Names of those that cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysRead:
    """How the kernel would send to the addresses that it was asked for; None: not at all."""

    ways: Mapping[IPAddress, Way | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EspRead:
    """The ``if_id`` that the kernel holds an outbound policy with its SA for, whoever has put them there."""

    if_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NexthopsRead:
    """All nexthop objects that carry our mark, by id."""

    nexthops: Mapping[int, Nexthop | NexthopGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesRead:
    """All routes that carry our mark: prefix to group id, and the prefixes with a backstop."""

    routes: Mapping[Prefix, int]
    backstops: frozenset[Prefix]
    shadows: Mapping[Prefix, ForeignRoute] = field(default_factory=dict)
    """Prefixes of these routes that another program has a route for that wins over ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesMeddled:
    """Rows of ours that somebody else has changed: the group id or backstop that they have now; None: no row."""

    routes: dict[Prefix, int | None]
    backstops: dict[Prefix, bool]

    def __bool__(self) -> bool:
        return bool(self.routes or self.backstops)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixesRemembered:
    """What an earlier ncgd has left on disk: prefixes that were learned through tunnels."""

    prefixes: frozenset[Prefix]
    flaw: Flaw | None = None
    """Why nothing could be read, if so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRead:
    """The guard as nftables holds it; empty when one of its rules is missing."""

    prefixes: frozenset[Prefix]
    exits: frozenset[str]
    """Interfaces, and next hops as ``via ADDRESS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardCounted:
    """Packets that the guard has dropped, as its counter says; begins anew with the table."""

    packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampsRead:
    """The MSS clamps that are in force, by interface."""

    clamps: Mapping[str, MssClamp]


@dataclass(frozen=True, slots=True, kw_only=True)
class EspPortsRead:
    """The UDP ports whose ESP this ncgd's sockets are given, by number."""

    ports: Mapping[int, EspPort]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterUnreadable:
    """nftables cannot be read; ``reason`` names what is missing and what to do."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbesRead:
    """What the probe says of every tunnel that is probed."""

    probes: Mapping[str, ProbeReport]
    is_routine: bool = False
    """No pulse has changed: the next pass will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWritten:
    """A driver has written a delta of one of the small tables; ``set`` and ``removed`` are what was asked."""

    table: str
    begun: float
    """When the writing began (the loop's clock): a program that came up later has got nothing of it."""
    ended: float
    """When the driver had the outcome."""
    set: Mapping[object, object]
    removed: frozenset[object]
    outcome: Outcome[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesWritten:
    """Routes were programmed; failures by prefix."""

    change: RouteChange
    outcome: Outcome[Prefix]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPortTold:
    """The status port listens, or does not for a reason."""

    address: IPAddress
    port: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Nothing happened but time."""


Event = (
    IntentRead
    | RoleChanged
    | ClusterRangesRead
    | CapabilityProbed
    | ProcessChanged
    | ProcessesRead
    | CharonUp
    | CharonLost
    | SasRead
    | IkeFailed
    | TunFound
    | SpeakerUp
    | SpeakerRead
    | SpeakerLost
    | SessionUp
    | SessionDown
    | PathsLearned
    | PathsWithdrawn
    | AdjRibInRead
    | EndOfRib
    | InterfacesRead
    | WaysRead
    | SlicesRead
    | EspRead
    | NexthopsRead
    | RoutesRead
    | RoutesMeddled
    | PrefixesRemembered
    | GuardRead
    | MasqueradeEvent
    | GuardCounted
    | ClampsRead
    | EspPortsRead
    | FilterUnreadable
    | ProbesRead
    | TableWritten
    | RoutesWritten
    | StatusPortTold
    | Ticked
)
