"""What the user wants, typed and free of API versions.

``resources`` makes these from manifests; ``decision`` reads them. Names are resource names; a tunnel, a peer
and a gateway are each unique by name (``resources.validate`` refuses a second one).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any

from ncgd.model.prefix import IPAddress, Prefix


class Mode(StrEnum):
    """How the tunnels share the load."""

    ACTIVE_ACTIVE = "ActiveActive"
    ACTIVE_PASSIVE = "ActivePassive"


class DataplaneChoice(StrEnum):
    """Which dataplane the user asks for; ``auto`` lets the capability probe decide."""

    AUTO = "auto"
    KERNEL = "kernel"
    USERSPACE = "userspace"


class LeakProtection(StrEnum):
    """Whether what was learned through tunnels is kept from leaving any other way."""

    STRICT = "Strict"
    OFF = "Off"


class Masquerade(StrEnum):
    """Who sees to it that pods keep their source address towards what was learned."""

    EXEMPT = "Exempt"
    """ncgd, by a table of its own in nftables."""
    CONFIG_MAP = "ConfigMap"
    """The same, and an ip-masq-agent: ncgd keeps its configuration in step."""
    AGENT = "Agent"
    """The same, and ncgd does what an ip-masq-agent does, by its configuration, where none runs."""
    OFF = "Off"
    """Nobody."""


class PodExport(StrEnum):
    """Which pod networks peers are told besides what is listed."""

    NODES = "Nodes"
    """``spec.podCIDRs`` of every Node, where the source knows Nodes."""
    NONE = "None"


class ServiceExport(StrEnum):
    """Which addresses of Services peers are told."""

    NONE = "None"
    LOAD_BALANCER = "LoadBalancer"
    """The addresses that Services of type LoadBalancer were given."""


class NodeTransport(StrEnum):
    """How other nodes send to the active gateway's node."""

    AUTO = "Auto"
    DIRECT = "Direct"
    VXLAN = "VXLAN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """A resource: kind, namespace, name. Prints as ``OverlayVPNTunnel/kube-system/tunnel-1``."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Which key of which Secret, and a digest that changes when its bytes change. Never the bytes."""

    namespace: str
    name: str
    fingerprint: str
    """First 16 hex digits of SHA-256 over a per-process salt and the key: comparable, not reversible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IkeSettings:
    """IKE and ESP parameters of a tunnel. Times in seconds."""

    version: int = 2
    ike_proposals: tuple[str, ...] = ("aes256gcm16-prfsha256-ecp256",)
    esp_proposals: tuple[str, ...] = ("aes256gcm16-ecp256",)
    ike_rekey_seconds: int = 27_000
    child_rekey_seconds: int = 9_000
    dpd_delay_seconds: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Data-path probing of a tunnel. Times in seconds."""

    is_enabled: bool = True
    interval_seconds: float = 0.1
    misses: int = 3
    recovery_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLiveness:
    """What a tunnel says of its probing itself; None takes what the gateway says. Times in seconds."""

    is_enabled: bool | None = None
    interval_seconds: float | None = None
    misses: int | None = None
    recovery_seconds: float | None = None

    def over(self, usual: Liveness) -> Liveness:
        """The settings in force, given the gateway's."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """An OverlayVPNTunnel: one IPsec tunnel to one remote gateway address."""

    ref: ObjectRef
    remote_address: IPAddress
    """Public address of the remote gateway (``spec.peer.publicIP``); also its IKE identity."""
    public_address: IPAddress
    """Our address as the peer sees it (``spec.self.publicIP``); our IKE identity, also behind 1:1 NAT."""
    bind_address: IPAddress | None = None
    """Local address for IKE and ESP; None lets the kernel's routing choose."""
    uplink: str | None = None
    """Interface whose address to bind to (``spec.interface``)."""
    local_tunnel_ip: IPv4Address
    remote_tunnel_ip: IPAddress | None = None
    """Far link-local address; None takes it from the peer that names this tunnel."""
    psk: SecretRef
    ike: IkeSettings = IkeSettings()
    liveness: OwnLiveness = OwnLiveness()
    mtu: int | None = None
    """Inner MTU in bytes; None computes it from cipher and encapsulation."""
    generation: int = 0

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.ref.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRule:
    """Matches prefixes inside ``prefix`` whose length is between ``ge`` and ``le`` bits."""

    prefix: Prefix
    ge: int
    le: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An import or export policy. An empty ``allow`` means everything that is safe; ``deny`` wins."""

    allow: tuple[PrefixRule, ...] = ()
    deny: tuple[PrefixRule, ...] = ()
    allow_default_route: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An OverlayBGPPeer: one BGP session. Times in seconds."""

    ref: ObjectRef
    local_asn: int
    peer_asn: int
    local_ip: IPAddress
    peer_ip: IPAddress
    tunnel: str | None = None
    """Name of the tunnel the session runs in; None: whichever connected interface reaches the peer."""
    hold_seconds: int = 60
    max_prefixes: int = 5000
    med: int = 100
    import_policy: Policy | None = None
    """None takes the gateway's."""
    export_policy: Policy = Policy()
    generation: int = 0

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.ref.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What peers are told of the cluster, besides ``Gateway.advertised_prefixes``."""

    pod_cidrs: PodExport = PodExport.NODES
    services: ServiceExport = ServiceExport.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A NetworkConnectivityGateway."""

    ref: ObjectRef = ObjectRef(kind="NetworkConnectivityGateway", namespace="kube-system", name="default")
    advertised_prefixes: tuple[Prefix, ...] = ()
    export: Export = Export()
    import_policy: Policy = Policy()
    dataplane: DataplaneChoice = DataplaneChoice.AUTO
    mode: Mode = Mode.ACTIVE_ACTIVE
    liveness: Liveness = Liveness()
    leak_protection: LeakProtection = LeakProtection.STRICT
    masquerade: Masquerade = Masquerade.EXEMPT
    node_transport: NodeTransport = NodeTransport.AUTO
    created: str | None = None
    """``metadata.creationTimestamp`` (RFC 3339), if the source knows it."""
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong or worth knowing about a resource, or about a file that holds some.

    ``where`` is the file and document or the object; ``field`` a dotted path, empty for the whole.
    """

    reason: str
    where: str
    field: str = ""
    message: str = ""
    hint: str = ""
    is_error: bool = True
    """False: a warning; the resource is in force all the same."""
    ref: ObjectRef | None = None
    """The object it is about; None when it is about a file or the object could not be identified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One consistent set of resources, in force together, and what was found wrong on the way."""

    gateway: Gateway = Gateway()
    tunnels: dict[str, Tunnel] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    manifests: Mapping[ObjectRef, Mapping[str, Any]] = field(default_factory=dict)
    """``spec`` of every tunnel, peer and gateway, as the user wrote it last."""
    generations: Mapping[ObjectRef, int] = field(default_factory=dict)
    """``metadata.generation`` of every object as it was read last, in force or not; 0 where the source has none."""
    findings: tuple[Finding, ...] = ()
    """Errors name what is not in force (the last good state is); warnings what is."""
    is_complete: bool = True
    """False: since the start, something is wanted that cannot be taken in force and has no last good state. What runs
    without being named here may well be wanted: do not remove it."""
