"""Wire shapes of ``networking.gke.io/v1alpha1``, as Google's NCG has them, and what ncgd adds.

Required fields are Google's own: a manifest written for NCG works unchanged. Everything else is ours, optional,
and says its default and the reason for it; the texts end up in the CRDs (``kubectl explain``). The defaults
themselves live in ``model.spec``. Types hold here; rules that need more than a type are in ``rules``.
"""

from dataclasses import fields
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ncgd.model.spec import Export, Gateway, IkeSettings, Liveness, Peer
from ncgd.resources.naming import wire_name
from ncgd.resources.schema import LIST_KEYS, LIST_TYPE
from ncgd.resources.v1 import ObjectMeta, ObjectName

GROUP = "networking.gke.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

IKEV1_PROPOSALS = ("aes128-sha1-modp1024",)
"""All that Cloud VPN offers for IKEv1 (AES-CBC-128, HMAC-SHA1, group 2), in both phases."""

ASN_MAX = 2**32 - 1
MED_MAX = 2**32 - 1


def default_of(owner: type, name: str) -> Any:
    """Default of a model dataclass's field. Raises StopIteration for a name that it does not have."""
    return next(item.default for item in fields(owner) if item.name == name)


def _about(text: str) -> Meta:
    return Meta(description=text)


_Asn = Annotated[int, Meta(ge=1, le=ASN_MAX)]
_Proposal = Annotated[str, Meta(pattern=r"^[a-z0-9_]+(-[a-z0-9_]+)*$")]
_Proposals = Annotated[list[_Proposal], Meta(min_length=1, max_length=16)]
_RekeySeconds = Annotated[int, Meta(ge=10, le=7 * 86_400)]
_Length = Annotated[int, Meta(ge=0, le=128)]

_IKE = IkeSettings()
_LIVE = Liveness()


class _Part(Struct, rename=wire_name, kw_only=True):
    """What all shapes have in common: the spelling."""


class IkeKey(_Part):
    """The Secret that holds the pre-shared key in ``data.psk``."""

    name: Annotated[ObjectName, _about("Name of that Secret.")]
    namespace: Annotated[ObjectName | None, _about("Must be the tunnel's own namespace; that is the default.")] = None


class PublicEnd(_Part):
    """One end of the tunnel on the public side."""

    public_ip: Annotated[str, _about("Public unicast address; it is also the IKE identity.")]


class Ike(_Part):
    """IKE and ESP parameters. The defaults fit Cloud VPN; times in seconds."""

    version: Annotated[
        Literal[1, 2] | None,
        _about(f"IKE version. Default {_IKE.version}: IKEv1 on Cloud VPN has one old fixed cipher."),
    ] = None
    ike_proposals: Annotated[
        _Proposals | None,
        _about(
            "strongSwan proposals for the IKE SA. Default one proposal,"
            f" {_IKE.ike_proposals[0]} (IKEv1: {IKEV1_PROPOSALS[0]}): with several, the far end may choose another at"
            " a rekey, and the room for payload changes with it."
        ),
    ] = None
    esp_proposals: Annotated[
        _Proposals | None,
        _about(
            "strongSwan proposals for ESP, each with a Diffie-Hellman group. Default one proposal,"
            f" {_IKE.esp_proposals[0]} (IKEv1: {IKEV1_PROPOSALS[0]}): Cloud VPN insists on PFS, and a missing group"
            " shows only at the first rekey, hours later."
        ),
    ] = None
    ike_rekey_seconds: Annotated[
        _RekeySeconds | None,
        _about(f"Age at which the IKE SA is rekeyed. Default {_IKE.ike_rekey_seconds}: before Cloud VPN does (36000)."),
    ] = None
    child_rekey_seconds: Annotated[
        _RekeySeconds | None,
        _about(
            f"Age at which the ESP SA is rekeyed. Default {_IKE.child_rekey_seconds}: before Cloud VPN does (10800)."
        ),
    ] = None
    dpd_delay_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=3600)] | None,
        _about(
            f"Silence after which the far end is asked whether it lives. Default {_IKE.dpd_delay_seconds}:"
            " the data path is probed much faster, this only finds a dead IKE daemon."
        ),
    ] = None


class LivenessSpec(_Part):
    """How the data path is probed: ICMP echo to the far link-local address. Times in seconds."""

    enabled: Annotated[
        bool | None,
        _about(
            "Default true. A peer that never answers is never called dead, so false is for one whose answers are not"
            " to be trusted; DPD and BGP alone watch the tunnel then."
        ),
    ] = None
    interval: Annotated[
        Annotated[float, Meta(ge=0.02, le=60)] | None,
        _about(f"Time between echo requests. Default {_LIVE.interval_seconds}: failover well under a second."),
    ] = None
    misses: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        _about(f"Answers missing in a row before a tunnel is dead. Default {_LIVE.misses}: one loss is no outage."),
    ] = None
    recovery: Annotated[
        Annotated[float, Meta(ge=0, le=3600)] | None,
        _about(
            f"Time that answers must keep coming before the tunnel is used again. Default {_LIVE.recovery_seconds}:"
            " a flapping path should not take the traffic with it."
        ),
    ] = None


class TunnelSpec(_Part):
    """One IPsec tunnel to one interface of the remote gateway."""

    ike_key: IkeKey
    peer: Annotated[PublicEnd, _about("The remote gateway: one interface of the HA VPN gateway.")]
    own: Annotated[PublicEnd, _about("This end as the remote gateway sees it: after 1:1 NAT, if there is one.")] = (
        field(name="self")
    )
    local_tunnel_ip: Annotated[
        str,
        _about("Our link-local IPv4 address (169.254.0.0/16, no mask) inside the tunnel; a sibling of self."),
    ]
    remote_tunnel_ip: Annotated[
        str | None,
        _about(
            "Far link-local address inside the tunnel. Default: peerIP of the OverlayBGPPeer that names this tunnel,"
            " so only a tunnel without BGP needs it."
        ),
    ] = None
    ike: Ike | None = None
    interface: Annotated[
        Annotated[str, Meta(pattern=r"^[^/\s]{1,15}$")] | None,
        _about("Uplink whose address IKE and ESP are bound to. Default: the kernel's routing chooses."),
    ] = None
    bind_address: Annotated[
        str | None,
        _about(
            "Address of this machine that IKE and ESP are bound to; wins over interface. Default: the kernel's"
            " routing chooses. Behind 1:1 NAT this is the private address."
        ),
    ] = None
    mtu: Annotated[
        Annotated[int, Meta(ge=576, le=9216)] | None,
        _about(
            "Inner MTU in bytes. Default: computed from cipher and encapsulation for Cloud VPN's gateway MTU of 1460,"
            " because a packet that is too large after encryption is lost without a word."
        ),
    ] = None
    liveness: Annotated[
        LivenessSpec | None, _about("Wins over the gateway's spec.liveness, field by field; that is the default.")
    ] = None


class PrefixRule(_Part):
    """Matches prefixes inside ``prefix``, as a prefix list does: without ge and le only ``prefix`` itself."""

    prefix: Annotated[str, _about("CIDR without host bits.")]
    ge: Annotated[_Length | None, _about("Shortest length that matches. Default: the length of prefix.")] = None
    le: Annotated[
        _Length | None,
        _about("Longest length that matches. Default: the length of prefix; with ge given, 32 or 128."),
    ] = None


_Rules = Annotated[list[PrefixRule], Meta(max_length=1000)]


class ExportPolicy(_Part):
    """Which of our prefixes a peer is told. Ranges of Nodes are judged one by one, before they are joined."""

    allow: Annotated[_Rules | None, _about("Default: everything in advertisedPrefixes and export.")] = None
    deny: Annotated[_Rules | None, _about("Wins over allow. Default: nothing.")] = None


class ImportPolicy(_Part):
    """Which learned prefixes are used. Martians and our own prefixes are always refused."""

    allow: Annotated[_Rules | None, _about("Default: everything that is safe.")] = None
    deny: Annotated[_Rules | None, _about("Wins over allow. Default: nothing.")] = None
    allow_default_route: Annotated[
        bool | None,
        _about("Accept 0.0.0.0/0 and ::/0. Default false: a default route from the peer would take all traffic."),
    ] = None


class PeerSpec(_Part):
    """One BGP session."""

    local_asn: Annotated[_Asn, _about("Our ASN, 1 to 4294967295 (RFC 6793).")]
    local_ip: Annotated[str, _about("Our address of the session: localTunnelIP of the tunnel, not a public address.")]
    peer_ip: Annotated[str, _about("Cloud Router's link-local address of the session, not a public address.")]
    peer_asn: Annotated[_Asn, _about("Cloud Router's ASN. HA VPN is external BGP only.")]
    vpn_tunnel: Annotated[
        ObjectName | None,
        _about(
            "Name of the OverlayVPNTunnel that the session runs in, in the same namespace. Default: none; the session"
            " then uses whichever connected interface reaches peerIP (Interconnect, plain links)."
        ),
    ] = None
    hold_time: Annotated[
        Annotated[int, Meta(ge=3, le=65_535)] | None,
        _about(f"Hold time in seconds. Default {default_of(Peer, 'hold_seconds')}, as Cloud Router has."),
    ] = None
    keepalive_time: Annotated[
        Annotated[int, Meta(ge=1, le=21_845)] | None,
        _about("Seconds between keepalives. Default, and only choice: a third of holdTime; any other is warned about."),
    ] = None
    max_prefixes: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _about(
            f"Prefixes to accept from the peer. Default {default_of(Peer, 'max_prefixes')}: what is installed stays,"
            " the rest is refused and shown, the session stays up."
        ),
    ] = None
    import_policy: Annotated[ImportPolicy | None, _about("Default: the gateway's importPolicy.")] = None
    export_policy: Annotated[ExportPolicy | None, _about("Default: all of advertisedPrefixes and export.")] = None
    med: Annotated[
        Annotated[int, Meta(ge=0, le=MED_MAX)] | None,
        _about(f"MED of what we advertise; lower is preferred. Default {default_of(Peer, 'med')}, Cloud Router's own."),
    ] = None


class ExportSpec(_Part):
    """What peers are told of the cluster besides advertisedPrefixes. Ranges are joined where they fill one up."""

    pod_cidrs: Annotated[
        Literal["Nodes", "None"] | None,
        _about(
            f"Default {default_of(Export, 'pod_cidrs')}: spec.podCIDRs of every Node, since without them the VPC has no"
            " way back to a pod; those inside advertisedPrefixes (the cluster's CIDR, say) add nothing. None: only"
            " what is listed. Outside Kubernetes there are no Nodes."
        ),
    ] = field(name="podCIDRs", default=None)
    services: Annotated[
        Literal["LoadBalancer", "None"] | None,
        _about(
            f"Default {default_of(Export, 'services')}. LoadBalancer: the addresses of all Services of that type;"
            " needs config/rbac/services.yaml. A range of cluster IPs is for advertisedPrefixes."
        ),
    ] = None


class GatewaySpec(_Part):
    """The gateway as a whole. Google's NCG leaves it empty, and so may you."""

    advertised_prefixes: Annotated[
        Annotated[list[str], Meta(max_length=1000)] | None,
        _about("Our networks (CIDR) that every peer is told. Default: none, because no network is safe to guess."),
    ] = None
    export: Annotated[ExportSpec | None, _about("Default: the pod CIDRs of all Nodes.")] = None
    import_policy: Annotated[ImportPolicy | None, _about("For every peer that has none of its own.")] = None
    dataplane: Annotated[
        Literal["auto", "kernel", "userspace"] | None,
        _about(
            "Who encrypts. Default auto: the kernel where it can, else strongSwan itself; status says which and why."
        ),
    ] = None
    mode: Annotated[
        Literal["ActiveActive", "ActivePassive"] | None,
        _about(f"How tunnels share the load. Default {default_of(Gateway, 'mode')}: all usable tunnels carry traffic."),
    ] = None
    liveness: Annotated[LivenessSpec | None, _about("For every tunnel; a tunnel may say otherwise.")] = None
    leak_protection: Annotated[
        Literal["Strict", "Off"] | None,
        _about(
            f"Default {default_of(Gateway, 'leak_protection')}: what was learned through a tunnel leaves by a tunnel or"
            " not at all, also while tunnels are down and after a reboot. Off lets it take whatever route is left."
        ),
    ] = None
    masquerade: Annotated[
        Literal["Exempt", "ConfigMap", "Agent", "Off"] | None,
        _about(
            f"Default {default_of(Gateway, 'masquerade')}: pods keep their own address towards what was learned,"
            " whatever the CNI translates; by a table of ncgd's own in nftables, others' rules stay as they are."
            " ConfigMap does the same, and keeps nonMasqueradeCIDRs of ip-masq-agent's ConfigMap in step, for agents"
            " that translate outside netfilter. Agent does the same as Exempt, and masquerades all else as"
            " ip-masq-agent does, by its ConfigMap, where no agent runs. Off leaves translating to those."
        ),
    ] = None
    node_transport: Annotated[
        Literal["Auto", "Direct", "VXLAN"] | None,
        _about(
            f"How other nodes send to the active gateway's node. Default {default_of(Gateway, 'node_transport')}: over"
            " the link where they share one, else through a VXLAN device of ours. VXLAN also where the network between"
            " nodes takes no packets from the addresses of pods."
        ),
    ] = None


class Condition(_Part):
    """A standard Kubernetes condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str | None = None
    observed_generation: int | None = None
    last_transition_time: str | None = None


class Status(_Part):
    """What ncgd reports. Free-form: only the fields that other tools read are named."""

    conditions: Annotated[
        Annotated[list[Condition], Meta(extra_json_schema={LIST_TYPE: "map", LIST_KEYS: ["type"]})] | None,
        _about("What is well and what is not, with reasons."),
    ] = None

    status: Annotated[str | None, _about("As NCG spells it; established, or Healthy for a gateway, is good.")] = field(
        name="Status", default=None
    )


class GatewayStatus(Status):
    """What ncgd reports about the gateway."""

    node: Annotated[str | None, _about("Node that hosts the gateway now.")] = field(name="CurrNode", default=None)
    created: Annotated[str | None, _about("RFC 3339, UTC.")] = field(name="CreatedTime", default=None)
    reported: Annotated[str | None, _about("RFC 3339, UTC; keeps advancing while ncgd lives.")] = field(
        name="LastReportTime", default=None
    )


class _Object(_Part):
    api_version: str
    kind: str
    metadata: ObjectMeta


class OverlayVPNTunnel(_Object):
    """An IPsec tunnel from this gateway to one interface of an HA VPN gateway."""

    spec: TunnelSpec
    status: Status | None = None


class OverlayBGPPeer(_Object):
    """A BGP session with a Cloud Router, normally inside an OverlayVPNTunnel."""

    spec: PeerSpec
    status: Status | None = None


class NetworkConnectivityGateway(_Object):
    """The gateway itself: one object, usually ``default`` in ``kube-system``."""

    spec: GatewaySpec | None = None
    status: GatewayStatus | None = None


KINDS: dict[str, type[OverlayVPNTunnel | OverlayBGPPeer | NetworkConnectivityGateway]] = {
    kind.__name__: kind for kind in (OverlayVPNTunnel, OverlayBGPPeer, NetworkConnectivityGateway)
}
