"""IKE and ESP: what charon is told (connections, credentials) and what is up (SAs)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ncgd.model.prefix import IPAddress
from ncgd.model.spec import SecretRef

CONNECTION_PREFIX = "ncg-"
"""Every connection and secret that carries it is ours (DESIGN §4)."""


class DataplaneMode(StrEnum):
    """Which ESP implementation carries the packets."""

    KERNEL = "kernel"
    USERSPACE = "userspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charon:
    """One IKE daemon. The kernel dataplane has one for all tunnels; userspace one per tunnel.

    ``ike_port`` and ``nat_port`` are its local UDP ports: 500 and 4500 in the kernel dataplane.
    """

    name: str
    mode: DataplaneMode
    ike_port: int = 500
    nat_port: int = 4500


@dataclass(frozen=True, slots=True, kw_only=True)
class EspPort:
    """A local UDP port of a kernel charon: its ESP in UDP is unwrapped also while nobody has the port open."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A VICI connection with its one child: traffic selectors are always ``0/0`` and ``::/0``.

    ``digest`` marks the child's name, so an SA that is up tells which configuration it was made from,
    also to an ncgd that was not running then.
    """

    tunnel: str
    charon: str
    """Name of the charon that holds it."""
    version: int
    local_address: IPAddress | None
    remote_address: IPAddress
    local_id: str
    remote_id: str
    if_id: int | None
    """XFRM interface id; None in the userspace dataplane."""
    ike_proposals: tuple[str, ...]
    esp_proposals: tuple[str, ...]
    ike_rekey_seconds: int
    child_rekey_seconds: int
    dpd_delay_seconds: int
    force_encap: bool = False
    heals: bool = True
    """charon brings back by itself what was lost. False where another ncgd may have taken over meanwhile."""
    digest: str = ""

    @property
    def name(self) -> str:
        """Connection name in charon: ``ncg-<tunnel>``."""
        return CONNECTION_PREFIX + self.tunnel

    @property
    def child(self) -> str:
        """Child name in charon: ``esp-<digest>``."""
        return f"esp-{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A pre-shared key in charon, by reference: id ``ncg-<tunnel>``, owned by the remote identity only.

    Owners: strongSwan picks the best match over owners, remote identity first (support FAQ), so two tunnels
    with one local and two remote identities never mix their keys.
    """

    tunnel: str
    charon: str
    owner: str
    secret: SecretRef


class SaState(StrEnum):
    """State of a tunnel's SAs, from IKE and child together."""

    DOWN = "Down"
    CONNECTING = "Connecting"
    """IKE_SA_INIT or IKE_AUTH under way, or IKE up without a child."""
    INSTALLED = "Installed"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through SAs, from and to the far side."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
        )

    def since(self, before: "Traffic") -> "Traffic":
        """What came on top of ``before``; all of it when the counters have begun anew."""
        more = Traffic(
            self.bytes_in - before.bytes_in,
            self.bytes_out - before.bytes_out,
            self.packets_in - before.packets_in,
            self.packets_out - before.packets_out,
        )
        return self if min(more.bytes_in, more.bytes_out, more.packets_in, more.packets_out) < 0 else more


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelSa:
    """The live SAs of one tunnel, folded into what decisions need; counters in bytes and packets."""

    tunnel: str
    state: SaState
    digest: str = ""
    """Of the configuration that the installed child was made from; of an attempt, as far as it is known."""
    ike_id: str = ""
    child_id: str = ""
    stale_ike_ids: tuple[str, ...] = ()
    """IKE SAs of the same tunnel beside the chosen one: older configuration or duplicates."""
    pending_ike_id: str = ""
    """A younger IKE SA that has no child yet: the attempt to replace the chosen one."""
    answered_ike_ids: tuple[str, ...] = ()
    """Of all these, attempts that the peer has answered: it may take them for up at any moment."""
    local_address: str = ""
    """Our end of the IKE SA and of its ESP, as charon uses it; empty when unknown."""
    cipher: str = ""
    """Negotiated ESP algorithm as charon names it, e.g. ``AES_GCM_16-256``."""
    encap: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    established_seconds: int = 0
    """Age of the IKE SA."""
    child_seconds: int = 0
    """Age of the child's keys."""
    selectors: tuple[str, ...] = ()
    """What both ends let through (RFC 7296 section 2.9), each side's once; empty when unknown."""
    children: Mapping[str, Traffic] = field(default_factory=dict)
    """What each child that still carries packets has carried, by its id."""
    ike_text: str = ""
    """For people: ``ESTABLISHED AES_GCM_16-256/PRF_HMAC_SHA2_256/ECP_256``."""
    child_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IkeFailure:
    """Why the last attempt of a tunnel failed, as far as charon told."""

    tunnel: str
    reason: str
    """CamelCase code: AuthenticationFailed, NoProposalChosen, PeerUnreachable, TsUnacceptable, …"""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleSa:
    """An IKE SA to terminate, by charon and unique id. The key of a removal from table ``sas``."""

    charon: str
    ike_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A new IKE SA beside the one that is up, whose data path is dead. The key of a Connection set in table ``sas``."""

    tunnel: str

    def __str__(self) -> str:
        return f"repair of {self.tunnel}"
