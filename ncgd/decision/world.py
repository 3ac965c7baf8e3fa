"""Everything that is known, as one value; ``fold`` says how events change it.

Observed tables change by reading and by outcomes, never by intention. Three tables are different by size (``rib``,
``routes`` and ``protection``): mutable objects inside the frozen World, edited by ``fold``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ncgd.decision.own_ranges import OwnRanges
from ncgd.decision.packing import Packing
from ncgd.decision.protection import Protection
from ncgd.decision.retry import Retry
from ncgd.decision.rib import Rib
from ncgd.decision.routes import RouteTable
from ncgd.model import event as ev
from ncgd.model.bgp import Session
from ncgd.model.capability import Capability
from ncgd.model.chains import Chain
from ncgd.model.failover import Failovers
from ncgd.model.fib import Interface, Nexthop, NexthopGroup, Way
from ncgd.model.flaw import Flaw
from ncgd.model.ike import IkeFailure, TunnelSa
from ncgd.model.prefix import IPAddress
from ncgd.model.probe import ProbeReport
from ncgd.model.role import STANDALONE, Role
from ncgd.model.spec import Intent
from ncgd.model.tally import Tally
from ncgd.resources.agent_config import AgentConfig

Rows = Mapping[object, object]

MEDDLED = ("meddled", "")
"""Key of the retry that stands for putting right what others changed."""
SETTLE_SECONDS = 30.0
"""After that long a new ncgd acts on what it knows, though a daemon has not answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharonView:
    """One charon as we see it."""

    is_up: bool = False
    version: str = ""
    since: float = 0.0
    """When it answered, anew or at all (the loop's clock)."""
    is_read: bool = False
    was_read: bool = False
    """Read at least once since we started: what it does not tell is not unseen but gone."""
    sas: Mapping[str, TunnelSa] = field(default_factory=dict)
    """Last known; still true, as far as we know, while VICI is away."""
    answered: Mapping[str, float] = field(default_factory=dict)
    """Attempts that their peer has answered, by id of the IKE SA, and since when (the loop's clock)."""
    reason: str = ""

    @property
    def ike_ids(self) -> frozenset[str]:
        """All IKE SAs that it holds for us, also those under way."""
        ids = (each for sa in self.sas.values() for each in (sa.ike_id, sa.pending_ike_id, *sa.stale_ike_ids))
        return frozenset(each for each in ids if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerView:
    """The BGP speaker as we see it."""

    is_up: bool = False
    version: str = ""
    neighbors: frozenset[str] = frozenset()
    since: float = 0.0
    """When it came (back) up, or was lost, by the loop's clock."""
    is_read: bool = False
    """It has told of every session that is up."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """A supervised program as we see it."""

    is_running: bool
    pid: int | None
    reason: str
    restarts: int
    since: float
    """When this was told, by the loop's clock."""
    is_outdated: bool = False
    is_adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A peer that carried traffic and cannot any more, while there is a next hop group that still leads to it."""

    since: float
    """When that was told (the loop's clock)."""
    cause: str
    nexthop: int
    """Id of its next hop."""
    groups: frozenset[int]
    """Ids of the groups that had it as a member when it was lost, and are still to be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyFailure:
    """Why the keys of a tunnel that is up could not be renewed."""

    child_id: str
    """Whose keys."""
    failure: IkeFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is known. ``now`` is the loop's monotonic clock in seconds."""

    started: float = 0.0
    now: float = 0.0
    heard: float = 0.0
    """When the first of the events that the last pass was made for came in (the loop's clock)."""
    node: str = ""
    gateway: str = "default"
    """Whose Lease decides about the part played here, and whose slices are read and written."""
    role: Role = STANDALONE
    stood_down: float | None = None
    """When it was found not to be the gateway (any more), by the loop's clock; None while it is, or undecided."""
    intent: Intent | None = None
    own: OwnRanges = field(default_factory=OwnRanges)
    capability: Capability | None = None
    """What can be had here; None until the probe has finished."""
    processes: Mapping[str, ProcessView] = field(default_factory=dict)
    charons: Mapping[str, CharonView] = field(default_factory=dict)
    tuns: Mapping[str, str] = field(default_factory=dict)
    """TUN device by charon (userspace dataplane)."""
    tun_indexes: Mapping[str, int] = field(default_factory=dict)
    """Interface index of the device that each charon was last found with."""
    lost_tuns: frozenset[str] = frozenset()
    """Charons whose TUN device somebody else has removed; they make another one only when they start."""
    speaker: SpeakerView = SpeakerView()
    told: float = 0.0
    """When a neighbour was last told something else (the loop's clock)."""
    sessions: Mapping[str, Session] = field(default_factory=dict)
    synced: frozenset[str] = frozenset()
    """Peers that have sent a whole table since we started: what they lack is gone, not unseen."""
    probes: Mapping[str, ProbeReport] = field(default_factory=dict)
    esp: Mapping[int, float] | None = None
    """``if_id`` that the kernel encrypts for, and when that began, or was last called its own by a charon.

    By the loop's clock; 0 when it was there before we looked.
    """
    interfaces: Mapping[str, Interface] | None = None
    nexthops: Mapping[int, Nexthop | NexthopGroup] | None = None
    written: Mapping[str, Rows] = field(default_factory=dict)
    """Rows of the small tables that were written and accepted, by table; None: it is there, perhaps as another row."""
    retries: Mapping[tuple[str, object], Retry] = field(default_factory=dict)
    """Failed rows, and initiations, by table and key."""
    ike_failures: Mapping[str, IkeFailure] = field(default_factory=dict)
    rekey_failures: Mapping[str, RekeyFailure] = field(default_factory=dict)
    """By tunnel; until its keys have been renewed after all, or it is set up anew."""
    rib: Rib = field(default_factory=Rib)
    routes: RouteTable = field(default_factory=RouteTable)
    protection: Protection = field(default_factory=Protection)
    packing: Packing = field(default_factory=Packing)
    """The slices in the API: what other nodes are told, or this one is."""
    ways: Mapping[IPAddress, Way | None] = field(default_factory=dict)
    """How the kernel would send to some addresses now; None: not at all."""
    flaw: Flaw | None = None
    """What was wrong with the file of remembered prefixes."""
    filter_reason: str = ""
    """Why nftables could not be read; empty once it could."""
    nat_chains: tuple[Chain, ...] = ()
    """Chains of other programs that may translate source addresses."""
    nat_unread: str = ""
    """What of them could not be read, and why."""
    agent: AgentConfig | None = None
    """What an ip-masq-agent is told here, as it was valid last; None until it was read."""
    agent_flaw: str = ""
    """Why what it was told last is not valid."""
    guard_packets: int | None = None
    """Where the guard's counter stood last; None until it was read."""
    guard_drops: int = 0
    """Packets that the guard has dropped, over the lives of its table that we have seen."""
    status_port: ev.StatusPortTold | None = None
    """What was last heard of the status port; None where there is none."""
    drift: int = 0
    """Rows of ours that somebody else changed or removed, since start."""
    tally: Tally = field(default_factory=Tally)
    able: frozenset[str] = frozenset()
    """Peers that could carry traffic at the last pass."""
    lost: Mapping[str, Lost] = field(default_factory=dict)
    """Peers that have been lost since, whose traffic nobody has taken over yet."""
    taking_over: float | None = None
    """When this ncgd took another's place as the gateway (the loop's clock), while nothing goes through it yet."""
    failovers: Failovers = field(default_factory=Failovers)

    def sa(self, tunnel: str) -> TunnelSa | None:
        """The SAs of a tunnel, whichever charon holds them; last known while that charon is away."""
        for view in self.charons.values():
            if tunnel in view.sas:
                return view.sas[tunnel]
        return None

    def session(self, peer: str) -> Session:
        """The session of a peer; an idle one when nothing is known."""
        return self.sessions.get(peer) or Session(peer=peer)
