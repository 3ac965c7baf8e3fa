"""How things are, for people and programs: what status, conditions, the API and ``ncgctl`` show."""

from dataclasses import dataclass, field
from enum import StrEnum

from ncgd.model.failover import Failovers
from ncgd.model.probe import ProbeReport
from ncgd.model.role import STANDALONE, Role
from ncgd.model.spec import ObjectRef
from ncgd.model.tally import Tally


class Health(StrEnum):
    """The gateway in one word."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    """Traffic passes, as far as we know, but something that should work does not."""
    DOWN = "Down"
    """There is nothing to forward by: no session with an SA, or no data path that answers."""
    STANDBY = "Standby"
    """Another node is the gateway, or none is; seen on this node only, never in the object's status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong, on which object, and what to do about it."""

    reason: str
    object: str
    message: str
    hint: str = ""
    is_error: bool = True
    """False: worth knowing, nothing is broken by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A standard Kubernetes condition."""

    type: str
    is_true: bool
    reason: str
    message: str
    since: str = ""
    """When ``is_true`` last changed: RFC 3339, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelReport:
    """One tunnel. ``status`` is ``established`` (as NCG spells it), ``connecting`` or ``down``.

    ``bytes_in`` and ``bytes_out`` are those of the SAs that are up now; what was carried since the start is in
    ``Report.tally``.
    """

    ref: ObjectRef
    generation: int
    status: str
    interface: str
    remote: str
    ike: str
    child: str
    bytes_in: int
    bytes_out: int
    established_seconds: int
    """Age of the IKE SA."""
    child_seconds: int = 0
    """Age of the ESP keys."""
    probe: ProbeReport | None = None
    """None while it is not probed."""
    mtu: int
    is_usable: bool
    reason: str
    message: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """One session. Prefix counts; ``refused`` by reason; times in seconds."""

    ref: ObjectRef
    generation: int
    status: str
    state: str
    tunnel: str
    peer_ip: str
    peer_asn: int
    received: int
    accepted: int
    refused: dict[str, int] = field(default_factory=dict)
    advertised: tuple[tuple[str, int], ...] = ()
    """Prefix and MED."""
    uptime_seconds: int = 0
    reason: str = ""
    message: str = ""
    is_over_limit: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedReport:
    """An object that is not in force, not even in an earlier form."""

    ref: ObjectRef
    generation: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport:
    """Leak protection. Counts of prefixes and packets."""

    mode: str
    guarded: int = 0
    """Prefixes in the nftables guard."""
    dropped: int = 0
    """Packets that the guard has kept from leaving in cleartext."""
    remembered: int = 0
    """Prefixes protected since an earlier run, that no peer has spoken of yet."""
    waits_for: tuple[str, ...] = ()
    """Peers whose whole table is missing: until they have sent it, nothing remembered is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasqueradeReport:
    """Who keeps their source address towards what was learned. Counts of prefixes."""

    mode: str
    exempt: int = 0
    """Prefixes in the exemption."""
    table: str = ""
    """Where the exemption is; empty when there is none."""
    rules: tuple[str, ...] = ()
    """Rules of other programs that would translate, the first of each base chain: where, and what they say."""
    is_kept: bool = True
    """Whether source addresses are kept, as far as is known."""
    unread: str = ""
    """What translates here, perhaps, and could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """A network of ours, and why peers are told of it, or not."""

    prefix: str
    reason: str
    message: str
    """Whose it is, and what stands against it."""
    is_told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingReport:
    """How a node that is not the gateway sends to the one that is. Counts of prefixes."""

    transport: str
    """``Direct``, ``VXLAN`` or ``none``."""
    reason: str
    message: str
    prefixes: int = 0
    """Read from slices."""
    refused: dict[str, int] = field(default_factory=dict)
    """By reason; why, ``ncgctl explain`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole picture after a pass."""

    health: Health
    gateway: ObjectRef
    gateway_generation: int
    created: str | None
    node: str
    role: Role = STANDALONE
    dataplane_mode: str
    dataplane_reason: str
    mode: str
    tunnels: tuple[TunnelReport, ...] = ()
    peers: tuple[PeerReport, ...] = ()
    exports: tuple[ExportReport, ...] = ()
    refused: tuple[RefusedReport, ...] = ()
    conditions: tuple[Condition, ...] = ()
    """The gateway's own."""
    routes_installed: int = 0
    routes_desired: int = 0
    drift: int = 0
    leak: LeakReport
    masquerade: MasqueradeReport
    crossing: CrossingReport | None = None
    """None on the gateway itself."""
    published: int = 0
    """Prefixes that other nodes are told of."""
    problems: tuple[Problem, ...] = ()
    findings: dict[str, int] = field(default_factory=dict)
    """How many mistakes (``error``) and oddities (``warning``) the resources have."""
    tally: Tally = field(default_factory=Tally)
    failovers: Failovers = field(default_factory=Failovers)
    held: dict[str, str] = field(default_factory=dict)
    """Tables that are not written yet, and what they wait for."""
