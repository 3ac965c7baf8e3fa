"""Reason codes: one CamelCase word per cause, the same in conditions, logs, metrics and ``ncgctl explain``."""

from enum import StrEnum


class Refusal(StrEnum):
    """Why a learned prefix is not used."""

    DEFAULT_ROUTE = "DefaultRoute"
    MARTIAN = "Martian"
    OWN_PREFIX = "OwnPrefix"
    TUNNEL_ENDPOINT = "TunnelEndpoint"
    NOT_ALLOWED = "NotAllowed"
    DENIED = "Denied"
    AS_LOOP = "AsLoop"
    NEXT_HOP = "NextHopNotPeer"
    PREFIX_LIMIT = "PrefixLimit"


REFUSAL_TEXT: dict[Refusal, str] = {
    Refusal.DEFAULT_ROUTE: "a default route would take all traffic; set importPolicy.allowDefaultRoute to accept it",
    Refusal.MARTIAN: "a special-purpose range (RFC 6890) is never routed",
    Refusal.OWN_PREFIX: "it overlaps a network of ours (advertised, the cluster's, or connected to this machine)",
    Refusal.TUNNEL_ENDPOINT: "it covers the public address of a tunnel, whose packets would loop into the tunnel",
    Refusal.NOT_ALLOWED: "no rule of importPolicy.allow matches",
    Refusal.DENIED: "a rule of importPolicy.deny matches",
    Refusal.AS_LOOP: "our own ASN is in its AS_PATH (RFC 4271 section 9.1.2)",
    Refusal.NEXT_HOP: "its NEXT_HOP is neither the peer nor reached through the peer's tunnel",
    Refusal.PREFIX_LIMIT: "the peer sends more than maxPrefixes; what came first is kept",
}


class ExportReason(StrEnum):
    """Why a network of ours is advertised, or not. ``model.cluster_range.RangeKind`` has those of single ranges."""

    LISTED = "Listed"
    LINGERING = "Lingering"
    COVERED = "Covered"
    OVERLAPS_LEARNED = "OverlapsLearned"
    SPECIAL_PURPOSE = "SpecialPurpose"
    LIMIT = "ExportLimit"


class TunnelReason(StrEnum):
    """Why a tunnel is, or is not, carrying traffic."""

    USABLE = "Usable"
    RENEWING = "Renewing"
    NO_DATAPLANE = "NoDataplane"
    NO_CHARON = "CharonDown"
    NO_INTERFACE = "InterfaceMissing"
    INTERFACE_DOWN = "InterfaceDown"
    ADDRESS_IN_USE = "AddressInUse"
    NO_BIND_ADDRESS = "BindAddressMissing"
    CONNECTING = "Connecting"
    SA_DOWN = "SaDown"
    NO_SESSION = "NoSession"
    NOT_ACTIVE = "NotActive"
    PATH_DEAD = "DataPathDead"
    UPLINK_DOWN = "UplinkDown"


class SessionReason(StrEnum):
    """Why a BGP session is not configured in the speaker, or not established."""

    ESTABLISHED = "Established"
    GRACEFUL = "GracefulRestart"
    TUNNEL_DOWN = "TunnelDown"
    SPEAKER_DOWN = "SpeakerDown"
    CONNECTING = "Connecting"
    NOT_ACTIVE = "NotActive"


class RoleReason(StrEnum):
    """Why an ncgd plays the part that it plays."""

    STANDALONE = "Standalone"
    NOT_READ = "LeaseNotRead"
    HOLDS = "HoldsLease"
    HELD_OVER = "LeaseHeldOver"
    OTHER_HOLDS = "OtherHoldsLease"
    NOBODY_HOLDS = "NobodyHoldsLease"
    NO_LABEL = "NotACandidate"
    YIELDS = "YieldsLease"
    SUPERSEDED = "Superseded"


class CrossingReason(StrEnum):
    """Why a node sends to the active gateway's node as it does, or cannot."""

    HERE = "GatewayHere"
    ON_LINK = "GatewayOnLink"
    OFF_LINK = "GatewayNotOnLink"
    ASKED_FOR = "AskedFor"
    NO_GATEWAY = "NoActiveGateway"
    NO_ADDRESS = "GatewayAddressUnknown"
    NOT_LOOKED = "NotLookedUpYet"
    NO_ROUTE = "NoRouteToGateway"
    NOT_ON_LINK = "DirectImpossible"


class Cause(StrEnum):
    """Why packets do not get from one end to the other, where no object's own state says so."""

    UDP_BLOCKED = "UdpBlocked"
    TS_NARROWED = "TsNarrowed"
    PFS_MISMATCH = "PfsMismatch"
    ASN_MISMATCH = "AsnMismatch"
    BGP_SILENT = "BgpPortSilent"
    BGP_REFUSED = "BgpPortRefused"
    BGP_SIGNED = "BgpSigned"
    NO_PATH = "NoPathLearned"
    ELSEWHERE = "RoutedElsewhere"
    SOURCE_UNKNOWN = "SourceUnknown"
    SOURCE_SILENT = "SourceSilent"
    FORWARDING_OFF = "ForwardingOff"
    REVERSE_PATH = "ReversePathStrict"
    FORWARD_DROPPED = "ForwardDropped"
    TRANSLATED = "SourceTranslated"
    NOT_ADVERTISED = "SourceNotAdvertised"
    NO_WAY_BACK = "NoReturnRoute"
    POD_CANNOT = "NodeCanPodCannot"
    SILENT = "DestinationSilent"
