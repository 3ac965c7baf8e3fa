"""The kernel's tables: links, addresses, neighbours on links, next hops, routes."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_interface

from ncgd.model.prefix import IPAddress, Prefix

PROTOCOL = 157
"""Route and nexthop protocol number of ncgd (DESIGN §4)."""
METRIC = 157
"""Priority of the routes we install in table main; lower wins."""
BACKSTOP_METRIC = 4_294_967_057
"""Priority of the ``unreachable`` rows that catch a learned prefix when its route is gone."""
LINK_PREFIX = "ncg"
IF_ID_BASE = 0x9D00_0000
"""``if_id`` and next hop ids of tunnels lie in ``IF_ID_BASE + 1 … + 0xFFFFFF``."""
NEXTHOP_V4_BASE = 0x9D00_0000
NEXTHOP_V6_BASE = 0x9E00_0000
GROUP_V4_BASE = 0x9A00_0000
GROUP_V6_BASE = 0x9B00_0000
BLACKHOLE_V4 = 0x9C00_0004
BLACKHOLE_V6 = 0x9C00_0006


def is_our_nexthop(nexthop_id: int) -> bool:
    """True for ids in our range (DESIGN §4)."""
    return 0x9A00_0000 <= nexthop_id < 0x9F00_0000


class LinkKind(StrEnum):
    """What kind of interface a tunnel ends in."""

    XFRM = "xfrm"
    TUN = "tun"
    """Made by charon's kernel-libipsec; we set MTU and addresses, never create or delete it."""
    VXLAN = "vxlan"
    """Carries what other nodes have for the VPC to the active gateway, where they share no link with it."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vxlan:
    """How a VXLAN device is made: it learns nothing, and floods nothing (RFC 7348)."""

    local: IPAddress
    """Our own address, from which it sends."""
    mac: str
    """``"02:00:5e:00:53:01"``."""
    network: int
    """VNI."""
    port: int
    """UDP port, here and at the far end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface we own the settings of. ``if_id`` only for XFRM, ``vxlan`` only for VXLAN; MTU in bytes."""

    name: str
    kind: LinkKind
    mtu: int
    if_id: int | None = None
    vxlan: Vxlan | None = None
    is_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressKey:
    """An address on an interface."""

    interface: str
    address: IPAddress

    def __str__(self) -> str:
        return f"{self.address} on {self.interface}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Any interface of the host, as observed."""

    index: int
    name: str
    kind: str
    mtu: int
    is_up: bool
    if_id: int | None = None
    vxlan: Vxlan | None = None
    addresses: tuple[str, ...] = ()
    """``"192.0.2.1/24"`` each; a point-to-point address as ``"169.254.1.2/32"``."""

    def address_keys(self) -> list[AddressKey]:
        """Its addresses as keys of the addresses table."""
        return [AddressKey(interface=self.name, address=ip_interface(text).ip) for text in self.addresses]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How an address is configured: with a point-to-point peer (IPv4), or with a prefix length (IPv6)."""

    peer: IPAddress | None = None
    length: int = 32
    is_shared: bool = False
    """Another interface has it too; here it only says what the machine's own packets are sent from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nexthop:
    """A nexthop object: a device (and gateway), or a blackhole when ``interface`` is None."""

    id: int
    version: int
    interface: str | None = None
    gateway: IPAddress | None = None
    is_onlink: bool = False
    """The gateway is on the link, whatever the addresses of the device say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjacency:
    """Where a next hop on a VXLAN device is: a permanent neighbour, and the one place its MAC is forwarded to."""

    mac: str
    remote: IPAddress
    """Address of the node that has the MAC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the kernel would send a packet to an address now."""

    interface: str
    gateway: IPAddress | None = None
    """None: the address is on the link."""
    source: IPAddress | None = None
    """Our address that the packet would carry."""
    length: int = 0
    """Length of the prefix of the route that it takes, in bits; 0: a default route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NexthopGroup:
    """A group of nexthop ids, equal weights. Never empty: a blackhole stands in (DESIGN §6)."""

    id: int
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ForeignRoute:
    """A route of another program: its protocol (``rt_protos``) and metric; the lower metric wins."""

    protocol: int
    metric: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChange:
    """Rows to program: each prefix to the group that carries it, or None to uninstall it."""

    routes: dict[Prefix, int | None]
    backstops: dict[Prefix, bool]
    """True installs the ``unreachable`` row at BACKSTOP_METRIC, False removes it."""

    def __bool__(self) -> bool:
        return bool(self.routes or self.backstops)
