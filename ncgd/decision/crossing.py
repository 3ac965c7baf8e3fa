"""How a node that is not the gateway sends to the one that is: over the link they share, or through VXLAN.

Prefixes from slices are paths of one more peer (``GATEWAY``), so import check, routes, nexthop group and protection
are those of the gateway itself: when the gateway moves, one next hop is replaced; without one, a blackhole holds back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

from ncgd.decision.policy import ImportCheck
from ncgd.decision.routes import Carriers, nexthop_id, stable_number
from ncgd.decision.sessions import surroundings
from ncgd.decision.world import Rows, World
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.fib import (
    LINK_PREFIX,
    Address,
    AddressKey,
    Adjacency,
    Interface,
    Link,
    LinkKind,
    Nexthop,
    NexthopGroup,
    Vxlan,
    Way,
)
from ncgd.model.prefix import IPAddress, Prefix
from ncgd.model.reason import CrossingReason
from ncgd.model.role import Part
from ncgd.model.spec import Intent, NodeTransport, Policy

GATEWAY = "active gateway"
"""The peer that slices are paths of; no object can be called that."""
PATH = Attributes()
VXLAN_LINK = "ncgvx"
VXLAN_NETWORK = 157
VXLAN_PORT = 8157
"""Neither 4789 nor 8472, which CNIs use: two devices of other settings cannot share a port."""
VXLAN_BYTES = {4: 50, 6: 70}
"""Outer Ethernet is not counted by an MTU; inner Ethernet 14, VXLAN 8, UDP 8, IP 20 or 40 (RFC 7348)."""
MAX_PREFIXES = 1_000_000
"""The gateway has its limits; here all that it has accepted is taken."""
_WITHOUT_NEIGHBORS = frozenset({"tun", "wireguard", "ipip", "sit", "gre", "ip6tnl", "xfrm"})
"""Kinds of interfaces that reach only what their own settings say: not a packet from a pod's address."""
_OVERLAYS = _WITHOUT_NEIGHBORS | {"vxlan", "geneve", "gretap"}
"""Kinds of interfaces by which a CNI brings answers to a node."""
LOOKED_AT = 64
"""Pod ranges whose way back is looked up, each in some 40 µs a second: what is wrong is wrong with most of them."""
LOOSE = "2|0"
"""A reverse-path filter that is loose, or off (kernel ip-sysctl)."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """How to reach the active gateway's node, and why so. ``transport`` None: not at all."""

    transport: NodeTransport | None
    reason: CrossingReason
    message: str
    address: IPAddress | None = None
    way: Way | None = None

    @property
    def is_known(self) -> bool:
        """False while the kernel has not been asked yet: what there is stays."""
        return self.reason != CrossingReason.NOT_LOOKED


HERE = Crossing(None, CrossingReason.HERE, "tunnels end on this node")


def choose_crossing(intent: Intent, world: World) -> Crossing:
    """Direct only where the kernel says that the gateway's node is on a link of ours; the reason says what it said."""
    role, ways = world.role, world.ways
    if role.is_gateway:
        return HERE
    address = role.holder_address
    if address is None and role.holder:
        text = f"node {role.holder} is the active gateway, and its address is not known"
        return Crossing(None, CrossingReason.NO_ADDRESS, text)
    if address is None:
        return Crossing(None, CrossingReason.NO_GATEWAY, f"no node is the gateway now: {role.message}")
    if address not in ways:
        return Crossing(None, CrossingReason.NOT_LOOKED, f"the way to {address} has not been looked up yet", address)
    way, who = ways[address], f"{address} (node {role.holder}, the active gateway)"
    if way is None:
        return Crossing(None, CrossingReason.NO_ROUTE, f"this node has no route to {who}", address)
    wanted = intent.gateway.node_transport
    obstacle = _off_link(way, world)
    if wanted == NodeTransport.DIRECT and obstacle:
        text = f"spec.nodeTransport is Direct, but {who} {obstacle}; use Auto or VXLAN"
        return Crossing(None, CrossingReason.NOT_ON_LINK, text, address, way)
    if wanted == NodeTransport.VXLAN:
        text = f"{who} is reached through {VXLAN_LINK}, because spec.nodeTransport is VXLAN"
        return Crossing(NodeTransport.VXLAN, CrossingReason.ASKED_FOR, text, address, way)
    if obstacle:
        return Crossing(NodeTransport.VXLAN, CrossingReason.OFF_LINK, f"{who} {obstacle}", address, way)
    text = f"{who} is on the link of {way.interface}"
    return Crossing(NodeTransport.DIRECT, CrossingReason.ON_LINK, text, address, way)


def _off_link(way: Way, world: World) -> str:
    """Why packets of pods cannot be handed over on the link; empty when they can."""
    if way.gateway is not None:
        return f"is not on a link of ours: it is reached via {way.gateway} on {way.interface}"
    interface = (world.interfaces or {}).get(way.interface)
    if interface is not None and interface.kind in _WITHOUT_NEIGHBORS:
        return f"is reached through {way.interface}, a {interface.kind} interface, which carries its own traffic only"
    return ""


def gateway_check(intent: Intent, world: World) -> ImportCheck:
    """What may be taken from slices: all that the gateway has accepted, but what is this node's own, or covers the way.

    The gateway has its own networks in view; this node's bridges and addresses only the node knows. A default route
    that the gateway may take would cut other nodes off from their API server.
    """
    around = surroundings(intent, world)
    if address := world.role.holder_address:
        around = replace(around, endpoints=(*around.endpoints, px.parse(str(address))))
    return ImportCheck(Policy(), around, 0, "", in_tunnel=True)


def asked_ways(world: World) -> Rows:
    """The addresses whose way the kernel is asked for: of the gateway, and there, of the other nodes' pods."""
    if world.role.part == Part.ACTIVE:
        return dict.fromkeys(ways_back(world))
    address = None if world.role.is_gateway else world.role.holder_address
    return {address: None} if address else {}


def ways_back(world: World) -> dict[IPAddress, ClusterRange]:
    """An address in the pod range of each other node, as far as that many are looked at."""
    pods = [each for each in world.own.all if each.kind == RangeKind.POD and each.owner != f"node {world.node}"]
    return {_first_host(each.prefix): each for each in pods[:LOOKED_AT]}


def _first_host(prefix: Prefix) -> IPAddress:
    number = px.address(prefix) + 1
    return IPv6Address(number) if px.version(prefix) == 6 else IPv4Address(number)


def crossing_carriers(crossing: Crossing, world: World) -> Carriers:
    """Who can carry packets on a node: the gateway, if there is a way to it. While it is looked up nothing moves."""
    is_kept = not crossing.is_known and bool(crossing_nexthops(crossing, world))
    return Carriers(frozenset({GATEWAY})) if crossing.transport or is_kept else Carriers()


def crossing_nexthops(crossing: Crossing, world: World) -> dict[int, Nexthop | NexthopGroup]:
    """The one next hop to the gateway. For prefixes of the other IP version it drops: there is no way for them."""
    numbers = {version: nexthop_id(stable_number(GATEWAY), version) for version in (4, 6)}
    if not crossing.is_known:
        return {number: row for number in numbers.values() if (row := (world.nexthops or {}).get(number))}
    if crossing.transport is None or crossing.address is None or crossing.way is None:
        return {}
    is_vxlan = crossing.transport == NodeTransport.VXLAN
    rows: dict[int, Nexthop | NexthopGroup] = {}
    for version, number in numbers.items():
        if not world.routes.has_version(version):
            continue
        if version == crossing.address.version:
            rows[number] = Nexthop(
                id=number,
                version=version,
                interface=VXLAN_LINK if is_vxlan else crossing.way.interface,
                gateway=crossing.address,
                is_onlink=is_vxlan,
            )
        else:
            rows[number] = Nexthop(id=number, version=version)
    return rows


def crossing_exits(crossing: Crossing) -> frozenset[str]:
    """What guarded prefixes may leave a node by: our device, or the next hop on a link that others use too."""
    if crossing.transport is None:
        return frozenset()
    return frozenset({VXLAN_LINK if crossing.transport == NodeTransport.VXLAN else f"via {crossing.address}"})


def vxlan_mac(address: IPAddress) -> str:
    """The MAC of a node's VXLAN device: it follows from the node's address, so nobody has to be told."""
    return (b"\x02" + sha256(f"ncgd {address}".encode()).digest()[:5]).hex(":")


def vxlan_links(intent: Intent, crossing: Crossing, world: World) -> dict[str, Link]:
    """Our VXLAN device: on a node that sends through it, and on the gateway, unless no node may."""
    role, observed = world.role, (world.interfaces or {}).get(VXLAN_LINK)
    if role.part == Part.STANDALONE or intent.gateway.node_transport == NodeTransport.DIRECT:
        return {}
    if role.is_gateway:
        local, below = role.holder_address, interface_with(role.holder_address, world)
    elif crossing.transport == NodeTransport.VXLAN and crossing.way:
        local, below = crossing.way.source, (world.interfaces or {}).get(crossing.way.interface)
    elif crossing.transport == NodeTransport.DIRECT:
        return {}
    else:
        local, below = None, None
    if local is None or below is None:  # nothing says how it should be: what there is stays
        if observed is None or observed.vxlan is None:
            return {}
        return {VXLAN_LINK: Link(name=VXLAN_LINK, kind=LinkKind.VXLAN, mtu=observed.mtu, vxlan=observed.vxlan)}
    vxlan = Vxlan(local=local, mac=vxlan_mac(local), network=VXLAN_NETWORK, port=VXLAN_PORT)
    mtu = below.mtu - VXLAN_BYTES[local.version]
    return {VXLAN_LINK: Link(name=VXLAN_LINK, kind=LinkKind.VXLAN, mtu=mtu, vxlan=vxlan)}


def vxlan_addresses(links: Mapping[str, Link]) -> dict[object, object]:
    """The node's own address on our device: the node's own packets (hostNetwork, hostPort) are sent from it.

    They keep the node's address, as packets of pods keep theirs: answers come back where node addresses are advertised.
    """
    return {
        AddressKey(interface=name, address=link.vxlan.local): Address(
            length=link.vxlan.local.max_prefixlen, is_shared=True
        )
        for name, link in links.items()
        if link.vxlan
    }


def adjacencies(crossing: Crossing, world: World) -> Rows:
    """Where the next hop is on our device. While that is not known, what was written stays."""
    if not crossing.is_known:
        return dict(world.written.get("adjacencies", {}))
    if crossing.transport != NodeTransport.VXLAN or crossing.address is None:
        return {}
    key = AddressKey(interface=VXLAN_LINK, address=crossing.address)
    return {key: Adjacency(mac=vxlan_mac(crossing.address), remote=crossing.address)}


def crossing_sysctls(links: Iterable[str], crossing: Crossing, world: World) -> dict[object, object]:
    """No strict reverse-path filter where packets come in by another interface than the one they would go out by.

    On a node answers come by the CNI's way, on the gateway packets of pods come by ours.
    """
    rows: dict[object, object] = {}
    for name in links:
        base = f"net.ipv4.conf.{name}"
        rows |= {f"{base}.rp_filter": "2", f"{base}.accept_redirects": "0", f"{base}.send_redirects": "0"}
    if not crossing.is_known:
        rows |= {key: row for key, row in world.written.get("sysctls", {}).items() if row == LOOSE}
    uplink = crossing.way.interface if crossing.way else None
    if own := interface_with(world.role.holder_address, world) if world.role.is_gateway else None:
        uplink = own.name
    for name, interface in (world.interfaces or {}).items():
        if not name.startswith(LINK_PREFIX) and (name == uplink or interface.kind in _OVERLAYS):
            rows[f"net.ipv4.conf.{name}.rp_filter"] = LOOSE
    return rows


def interface_with(address: IPAddress | None, world: World) -> Interface | None:
    """The interface that has an address, other than our VXLAN device, which has it too."""
    for interface in (world.interfaces or {}).values():
        if interface.name != VXLAN_LINK and any(key.address == address for key in interface.address_keys()):
            return interface
    return None
