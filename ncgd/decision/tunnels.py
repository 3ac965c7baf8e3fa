"""Tunnels: specs → charons, interfaces, addresses, connections; and which tunnel can carry traffic."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from ncgd.decision.mtu import payload_bytes
from ncgd.decision.routes import distinct_numbers
from ncgd.decision.world import World
from ncgd.model.bgp import SessionState
from ncgd.model.clamp import MssClamp
from ncgd.model.fib import IF_ID_BASE, LINK_PREFIX, Address, AddressKey, Link, LinkKind
from ncgd.model.ike import Charon, Connection, Credential, DataplaneMode, SaState
from ncgd.model.prefix import IPAddress
from ncgd.model.reason import TunnelReason
from ncgd.model.role import Part
from ncgd.model.spec import DataplaneChoice, Gateway, Intent, Peer, Tunnel

KERNEL_CHARON = "charon"
_INTERFACE_NAME_BYTES = 15
_FIRST_PORT = 20_000
_PORT_SLOTS = 6_000


@dataclass(frozen=True, slots=True)
class Dataplane:
    """Which dataplane runs (None: neither can) and why."""

    mode: DataplaneMode | None
    reason: str


def choose_dataplane(gateway: Gateway, world: World) -> Dataplane:
    """Kernel where it can, userspace where it cannot, nothing silently: the reason says what the probe found."""
    capability = world.capability
    if capability is None:
        return Dataplane(None, "the capability probe has not finished")
    if not capability.may_administer:
        return Dataplane(None, f"CAP_NET_ADMIN is missing ({capability.detail}); run ncgd as root or grant it")
    wanted = gateway.dataplane
    if wanted != DataplaneChoice.USERSPACE and capability.kernel_esp:
        return Dataplane(DataplaneMode.KERNEL, f"the kernel has XFRM interfaces, ESP and AES-GCM ({capability.detail})")
    if wanted == DataplaneChoice.KERNEL:
        return Dataplane(None, f"spec.dataplane is kernel, but this kernel cannot ({capability.detail}); use auto")
    if capability.userspace_esp:
        why = "spec.dataplane is userspace" if wanted == DataplaneChoice.USERSPACE else "the kernel cannot do ESP"
        return Dataplane(DataplaneMode.USERSPACE, f"{why} ({capability.detail})")
    return Dataplane(None, f"neither the kernel nor userspace can do ESP ({capability.detail})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelPlan:
    """All rows that one tunnel asks for, and why some are missing."""

    tunnel: Tunnel
    charon: Charon
    connection: Connection
    credential: Credential
    interface: str | None
    """None while the userspace charon has not made its TUN device yet."""
    link: Link | None
    addresses: Mapping[AddressKey, Address]
    clamp: MssClamp | None
    obstacle: tuple[TunnelReason, str] | None
    """Why the tunnel cannot be brought up as specified."""


Holders = Mapping[IPAddress, list[str]]
"""Names of the interfaces that have an address."""


def if_ids(names: list[str]) -> dict[str, int]:
    """An ``if_id`` per tunnel name: stable across restarts and other tunnels."""
    return {name: IF_ID_BASE + number for name, number in distinct_numbers(names).items()}


def interface_name(tunnel: str, if_id: int) -> str:
    """``ncg-<tunnel>``, or with the id in place of a name that is too long for IFNAMSIZ."""
    name = f"{LINK_PREFIX}-{tunnel}"
    return name if len(name) <= _INTERFACE_NAME_BYTES else f"{LINK_PREFIX}-{if_id & 0xFFFFFF:06x}"


def charon_of(tunnel: str, port: int, mode: DataplaneMode) -> Charon:
    """The charon that holds a tunnel. Userspace ones have UDP ports of their own."""
    if mode == DataplaneMode.KERNEL:
        return Charon(name=KERNEL_CHARON, mode=mode)
    return Charon(name=f"charon-{tunnel}", mode=mode, ike_port=port, nat_port=port + 1)


def userspace_ports(ids: Mapping[str, int]) -> dict[str, int]:
    """The first of two UDP ports per tunnel, below the ephemeral range; stable like the ids they come from."""
    taken: dict[int, str] = {}
    for name, if_id in sorted(ids.items()):
        slot = if_id % _PORT_SLOTS
        while slot in taken:
            slot = (slot + 1) % _PORT_SLOTS
        taken[slot] = name
    return {name: _FIRST_PORT + 2 * slot for slot, name in taken.items()}


def plan_tunnels(intent: Intent, world: World, mode: DataplaneMode) -> dict[str, TunnelPlan]:
    """What every tunnel in force asks for."""
    ids = if_ids(list(intent.tunnels))
    ports = userspace_ports(ids)
    peers: dict[str, list[Peer]] = {}
    for peer in intent.peers.values():
        if peer.tunnel:
            peers.setdefault(peer.tunnel, []).append(peer)
    holders = _holders(world)
    return {
        name: _plan_tunnel(
            tunnel, peers.get(name, []), charon_of(name, ports[name], mode), ids[name], world, holders=holders
        )
        for name, tunnel in intent.tunnels.items()
    }


def _plan_tunnel(
    tunnel: Tunnel, peers: list[Peer], charon: Charon, if_id: int, world: World, *, holders: Holders
) -> TunnelPlan:
    is_kernel = charon.mode == DataplaneMode.KERNEL
    interface = interface_name(tunnel.name, if_id) if is_kernel else world.tuns.get(charon.name)
    obstacle: tuple[TunnelReason, str] | None = None
    local = tunnel.bind_address
    if local is None and tunnel.uplink:
        local = _address_of(world, tunnel.uplink, tunnel.remote_address.version)
        if local is None and world.interfaces is not None:
            text = f"interface {tunnel.uplink} has no IPv{tunnel.remote_address.version} address to bind to"
            obstacle = (TunnelReason.NO_BIND_ADDRESS, text)
    addresses = _addresses(tunnel, peers, interface) if interface else {}
    for key in addresses:
        holding = holders.get(key.address, [])
        foreign = [name for name in holding if not (name.startswith(LINK_PREFIX) or name in world.tuns.values())]
        if foreign and interface not in holding:  # what works is not given up for a newcomer
            where = f"{key.address} is already on interface {foreign[0]}"
            text = f"{where}; remove it there or choose another localTunnelIP"
            obstacle = (TunnelReason.ADDRESS_IN_USE, text)
    mtu = tunnel.mtu or min(
        payload_bytes(proposal, outer_version=tunnel.remote_address.version) for proposal in tunnel.ike.esp_proposals
    )
    link = None
    if interface:
        link = Link(
            name=interface,
            kind=LinkKind.XFRM if is_kernel else LinkKind.TUN,
            mtu=mtu,
            if_id=if_id if is_kernel else None,
        )
    return TunnelPlan(
        tunnel=tunnel,
        charon=charon,
        connection=_connection(
            tunnel, charon, local, if_id if is_kernel else None, heals=world.role.part == Part.STANDALONE
        ),
        credential=Credential(
            tunnel=tunnel.name, charon=charon.name, owner=str(tunnel.remote_address), secret=tunnel.psk
        ),
        interface=interface,
        link=link,
        addresses={} if obstacle else addresses,
        clamp=MssClamp(interface=interface, mss_v4=mtu - 40, mss_v6=mtu - 60) if interface else None,
        obstacle=obstacle,
    )


def _connection(
    tunnel: Tunnel, charon: Charon, local: IPAddress | None, if_id: int | None, *, heals: bool
) -> Connection:
    connection = Connection(
        tunnel=tunnel.name,
        charon=charon.name,
        version=tunnel.ike.version,
        local_address=local,
        remote_address=tunnel.remote_address,
        local_id=str(tunnel.public_address),
        remote_id=str(tunnel.remote_address),
        if_id=if_id,
        ike_proposals=tunnel.ike.ike_proposals,
        esp_proposals=tunnel.ike.esp_proposals,
        ike_rekey_seconds=tunnel.ike.ike_rekey_seconds,
        child_rekey_seconds=tunnel.ike.child_rekey_seconds,
        dpd_delay_seconds=tunnel.ike.dpd_delay_seconds,
        force_encap=charon.mode == DataplaneMode.USERSPACE,
        heals=heals,
    )
    # What an SA was made from; that it heals by itself comes on top.
    names = [item.name for item in fields(connection) if item.name != "heals"]
    text = "|".join(f"{name}={getattr(connection, name)}" for name in names)
    return replace(connection, digest=sha256(text.encode()).hexdigest()[:8])


def _addresses(tunnel: Tunnel, peers: list[Peer], interface: str) -> dict[AddressKey, Address]:
    far = tunnel.remote_tunnel_ip or next(
        (peer.peer_ip for peer in peers if isinstance(peer.peer_ip, IPv4Address)), None
    )
    addresses = {AddressKey(interface=interface, address=tunnel.local_tunnel_ip): Address(peer=far)}
    for peer in peers:
        if isinstance(peer.local_ip, IPv6Address):
            addresses[AddressKey(interface=interface, address=peer.local_ip)] = Address(length=126)
    return addresses


def _address_of(world: World, interface: str, version: int) -> IPAddress | None:
    observed = (world.interfaces or {}).get(interface)
    for text in observed.addresses if observed else ():
        address = ip_interface(text).ip
        if address.version == version and not address.is_link_local:
            return address
    return None


def _holders(world: World) -> Holders:
    holders: dict[IPAddress, list[str]] = {}
    for name, observed in (world.interfaces or {}).items():
        for text in observed.addresses:
            holders.setdefault(ip_interface(text).ip, []).append(name)
    return holders


def _has_session(plan: TunnelPlan, world: World) -> bool:
    peers = world.intent.peers.values() if world.intent else ()
    return any(
        peer.tunnel == plan.tunnel.name and world.session(peer.name).state == SessionState.ESTABLISHED for peer in peers
    )


def is_orphan(plan: TunnelPlan, world: World) -> bool:
    """Whether the tunnel's SAs are those of an IKE daemon that is dead: the kernel encrypts on, and nobody rekeys."""
    since = (world.esp or {}).get(plan.connection.if_id or 0)
    charon, sa = world.charons.get(plan.charon.name), world.sa(plan.tunnel.name)
    if since is None or charon is None or not charon.is_read or (sa is not None and sa.state == SaState.INSTALLED):
        return False
    return since < charon.since


def _has_lost_its_esp(plan: TunnelPlan, world: World) -> bool:
    """A charon that ends in good order takes its SAs along before it is seen to be gone."""
    return plan.connection.if_id is not None and world.esp is not None and plan.connection.if_id not in world.esp


def lost_uplink(plan: TunnelPlan, world: World) -> str:
    """What is wrong with the way out that a tunnel's SA uses, for people; empty while nothing is.

    A link without carrier, or an address that was taken away, is told by the kernel at once; the probe needs longer.
    """
    sa = world.sa(plan.tunnel.name)
    if sa is None or not sa.local_address or world.interfaces is None:
        return ""
    address = ip_address(sa.local_address)
    holders = [
        interface
        for interface in world.interfaces.values()
        if any(ip_interface(text).ip == address for text in interface.addresses)
    ]
    if any(interface.is_up for interface in holders):
        return ""
    if holders:
        return f"its uplink {holders[0].name} is down or has no carrier"
    return f"its address {address} is on no interface any more"


def tunnel_state(plan: TunnelPlan, world: World) -> tuple[bool, TunnelReason, str]:
    """Whether packets can pass this tunnel (SA installed, interface ready), the reason, and a sentence."""
    if plan.obstacle:
        return False, *plan.obstacle
    charon = world.charons.get(plan.charon.name)
    sa = world.sa(plan.tunnel.name)
    observed = (world.interfaces or {}).get(plan.interface or "")
    if sa is None and (charon is None or not charon.is_up) and not _has_session(plan, world):
        why = charon.reason if charon and charon.reason else "it has not answered yet"
        return False, TunnelReason.NO_CHARON, f"the IKE daemon {plan.charon.name} is not reachable: {why}"
    if observed is None:
        return (
            False,
            TunnelReason.NO_INTERFACE,
            f"interface {plan.interface or '(TUN device)'} does not exist (yet)",
        )
    if not observed.is_up:
        return False, TunnelReason.INTERFACE_DOWN, f"interface {observed.name} is administratively down"
    if _has_lost_its_esp(plan, world):
        sa = None if sa is None or sa.state == SaState.INSTALLED else sa
    elif (charon is None or not charon.was_read) and _has_session(plan, world):
        return True, TunnelReason.USABLE, "its BGP session is up; the IKE daemon has not told its SAs yet"
    if is_orphan(plan, world):
        return True, TunnelReason.USABLE, "its SAs carry on in the kernel without their IKE daemon until renewed"
    failure = world.ike_failures.get(plan.tunnel.name)
    text = f": {failure.message}" if failure else ""
    if sa is not None and sa.state == SaState.INSTALLED:
        if sa.digest != plan.connection.digest:
            until = f"until one with {plan.tunnel.remote_address} is up{text}"
            return True, TunnelReason.USABLE, f"the SA of before the last change carries on {until}"
        return True, TunnelReason.USABLE, "SA installed, interface up"
    if sa is not None and sa.state == SaState.CONNECTING:
        return (
            False,
            TunnelReason.CONNECTING,
            f"IKE with {plan.tunnel.remote_address} is being negotiated{text}",
        )
    return False, TunnelReason.SA_DOWN, f"no SA with {plan.tunnel.remote_address}{text}"
