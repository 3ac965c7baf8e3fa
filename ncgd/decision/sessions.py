"""BGP sessions: which neighbours the speaker should have now, what they are told, and who forwards."""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, ip_interface

from ncgd.decision.export import exported
from ncgd.decision.policy import ImportCheck, Surroundings
from ncgd.decision.routes import Carriers
from ncgd.decision.tunnels import TunnelPlan, lost_uplink, tunnel_state
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.bgp import Advertisement, Neighbor, SessionState
from ncgd.model.fib import LINK_PREFIX
from ncgd.model.prefix import IPAddress
from ncgd.model.probe import Probe, ProbeReport, Pulse, Vitality
from ncgd.model.reason import SessionReason, TunnelReason
from ncgd.model.spec import Intent, Liveness, Mode, Peer, Policy

PASSIVE_MED_STEP = 100
"""ActivePassive: a standby's MED lies at least this far above the one before it."""


def preference(intent: Intent) -> dict[str, int]:
    """Rank of each peer, 0 first: by the MED the user gave it, then by name."""
    ordered = sorted(intent.peers.values(), key=lambda peer: (peer.med, peer.name))
    return {peer.name: rank for rank, peer in enumerate(ordered)}


def advertised_meds(intent: Intent, lost: Collection[str] = ()) -> dict[str, int]:
    """The MED each peer is told. ActivePassive keeps the return path on the active tunnel.

    Once a peer is lost, the others are told half the best MED: the far side may hold on to what it learned from the
    lost one for its whole hold time (60 s at a Cloud Router), and prefers the better MED at once.
    """
    meds: dict[str, int] = {}
    floor = 0
    for name in preference(intent):
        med = intent.peers[name].med
        if intent.gateway.mode == Mode.ACTIVE_PASSIVE:
            med = max(med, floor)
            floor = min(med + PASSIVE_MED_STEP, 0xFFFF_FFFF)
        meds[name] = med
    if lost:
        best = min(meds.values())
        urgent = max(1, best // 2) if best else 0
        meds |= {name: urgent for name in meds if name not in lost}
        meds |= {name: max(urgent + 1, meds[name]) for name in lost}  # nothing is better than 0
    return meds


def lost_peers(intent: Intent, world: World, able: Carriers, renewed: str | None) -> frozenset[str]:
    """Peers that have been in use since we started, cannot carry now, and have others to take over from them.

    Those of the tunnel that is ``renewed`` are in use, whatever they have sent.
    """
    used = {name for name, peer in intent.peers.items() if name in world.synced or (renewed and peer.tunnel == renewed)}
    lost = frozenset(used - able.trusted)
    return lost if able.trusted else frozenset()


def plan_neighbors(
    intent: Intent, world: World, tunnels: Mapping[str, TunnelPlan], lost: Collection[str] = ()
) -> dict[str, Neighbor]:
    """The neighbours that the speaker should be configured with now.

    A session whose tunnel is down is not configured, so that it is dialled at once when the tunnel comes up, without
    any reconnect back-off. One that is established stays while its interface does: TCP outlives a short gap.
    """
    meds = advertised_meds(intent, lost)
    neighbors: dict[str, Neighbor] = {}
    for name, peer in intent.peers.items():
        tunnel = tunnels.get(peer.tunnel) if peer.tunnel else None
        if peer.tunnel and (tunnel is None or not _may_talk(peer, tunnel, world)):
            continue
        neighbors[name] = Neighbor(
            peer=name,
            local_address=peer.local_ip,
            peer_address=peer.peer_ip,
            local_asn=peer.local_asn,
            peer_asn=peer.peer_asn,
            router_id=_router_id(intent, peer),
            hold_seconds=peer.hold_seconds,
            interface=tunnel.interface if tunnel else None,
            families=(peer.peer_ip.version,),
            advertisements=tuple(
                Advertisement(prefix=prefix, med=meds[name]) for prefix in exported(intent, world.own, peer)
            ),
        )
    return neighbors


def _may_talk(peer: Peer, tunnel: TunnelPlan, world: World) -> bool:
    observed = (world.interfaces or {}).get(tunnel.interface or "")
    if observed is None or not any(ip_interface(text).ip == peer.local_ip for text in observed.addresses):
        return False
    is_usable, _, _ = tunnel_state(tunnel, world)
    return is_usable or world.session(peer.name).state == SessionState.ESTABLISHED


def _router_id(intent: Intent, peer: Peer) -> str:
    if isinstance(peer.local_ip, IPv4Address):
        return str(peer.local_ip)
    tunnel = intent.tunnels.get(peer.tunnel or "")
    if tunnel is not None:
        return str(tunnel.local_tunnel_ip)
    # RFC 6286: any non-zero number that is unique in our AS will do.
    return str(IPv4Address(int(peer.local_ip) % 0xFFFF_FFFE + 1))


def is_forwarding(peer: Peer, world: World) -> bool:
    """Whether the paths of a peer may carry traffic as far as BGP is concerned (RFC 4724 counts)."""
    session = world.session(peer.name)
    if session.state == SessionState.ESTABLISHED:
        return True
    return session.graceful_until is not None and world.now < session.graceful_until


def carriers(intent: Intent, world: World, tunnels: Mapping[str, TunnelPlan]) -> Carriers:
    """Who can carry packets now: session forwarding, tunnel (or link) passing, and data path answering."""
    trusted: set[str] = set()
    recovering: set[str] = set()
    doubtful: set[str] = set()
    for name, peer in intent.peers.items():
        if not is_forwarding(peer, world):
            continue
        if not peer.tunnel:
            if link_to(peer.peer_ip, world) is not None:
                trusted.add(name)
            continue
        tunnel = tunnels.get(peer.tunnel)
        if tunnel is None or not tunnel_state(tunnel, world)[0]:
            continue
        if not doubt(tunnel, world):
            trusted.add(name)
        elif vitality(peer.tunnel, world).pulse == Pulse.RECOVERING:
            recovering.add(name)
        else:
            doubtful.add(name)
    return Carriers(frozenset(trusted), frozenset(recovering), frozenset(doubtful))


def doubt(plan: TunnelPlan, world: World) -> tuple[TunnelReason, str] | None:
    """Why a tunnel whose SA is installed is not to be trusted with traffic, or None."""
    if uplink := lost_uplink(plan, world):
        return TunnelReason.UPLINK_DOWN, uplink
    probe = world.probes.get(plan.tunnel.name)
    return (TunnelReason.PATH_DEAD, pulse_text(probe)) if probe and not probe.vitality.may_carry else None


def vitality(tunnel: str | None, world: World) -> Vitality:
    """What the probe says of a tunnel; unproven when it is not probed."""
    probed = world.probes.get(tunnel or "")
    return probed.vitality if probed else Vitality()


def passing(intent: Intent, world: World, able: Carriers) -> frozenset[str]:
    """The peers through which packets do get there, as far as we know: not those whose data path is dead."""
    dead = {name for name in able.doubtful if vitality(intent.peers[name].tunnel, world).pulse == Pulse.DEAD}
    return able.trusted | able.recovering | able.doubtful - dead


def plan_probes(intent: Intent, world: World, tunnels: Mapping[str, TunnelPlan]) -> dict[str, Probe]:
    """What to probe: every tunnel whose interface has its address, towards the far link-local address."""
    probes = {}
    for name, plan in tunnels.items():
        settings = settings_of(plan, intent)
        if not settings.is_enabled:
            continue
        for key, row in plan.addresses.items():
            observed = (world.interfaces or {}).get(key.interface)
            is_there = observed is not None and observed.is_up and key in observed.address_keys()
            if observed and is_there and isinstance(key.address, IPv4Address) and isinstance(row.peer, IPv4Address):
                probes[name] = Probe(
                    tunnel=name,
                    interface=key.interface,
                    local=key.address,
                    remote=row.peer,
                    mtu=observed.mtu,
                    settings=settings,
                )
    return probes


def link_to(address: IPAddress, world: World) -> str | None:
    """The interface that is up and whose network holds an address; the longest prefix wins."""
    found: tuple[int, str] | None = None
    for name, interface in (world.interfaces or {}).items():
        if not interface.is_up:
            continue
        for text in interface.addresses:
            network = ip_interface(text).network
            if network.version == address.version and address in network:
                found = max(found or (-1, ""), (network.prefixlen, name))
    return found[1] if found else None


def session_reason(peer: Peer, world: World, tunnels: Mapping[str, TunnelPlan]) -> tuple[SessionReason, str]:
    """Why the session of a peer is as it is: a code and a sentence."""
    session = world.session(peer.name)
    if session.state == SessionState.ESTABLISHED:
        return SessionReason.ESTABLISHED, f"established with {peer.peer_ip} AS {peer.peer_asn}"
    because = f": {session.reason}" if session.reason else ""
    if session.graceful_until is not None and world.now < session.graceful_until:
        left = session.graceful_until - world.now
        return SessionReason.GRACEFUL, f"restarting; its paths forward for another {left:.0f} s (RFC 4724){because}"
    if not world.speaker.is_up:
        return SessionReason.SPEAKER_DOWN, f"the BGP speaker is not reachable: {world.speaker.reason or 'starting'}"
    if peer.tunnel:
        tunnel = tunnels.get(peer.tunnel)
        if tunnel is None or not tunnel_state(tunnel, world)[0]:
            return SessionReason.TUNNEL_DOWN, f"waits for tunnel {peer.tunnel}"
    return SessionReason.CONNECTING, f"connecting to {peer.peer_ip} AS {peer.peer_asn}{because}"


def import_checks(intent: Intent, world: World) -> dict[str, tuple[ImportCheck, int]]:
    """Import check and prefix limit of every peer in force."""
    around = surroundings(intent, world)
    return {
        name: (
            ImportCheck(
                peer.import_policy or intent.gateway.import_policy,
                around,
                peer.local_asn,
                str(peer.peer_ip),
                in_tunnel=peer.tunnel is not None,
            ),
            peer.max_prefixes,
        )
        for name, peer in intent.peers.items()
    }


def safe_check(intent: Intent, world: World) -> ImportCheck:
    """What may be imported whatever a policy says: no network of ours, no martian, no tunnel's public address."""
    return ImportCheck(Policy(allow_default_route=True), surroundings(intent, world), 0, "", in_tunnel=True)


def surroundings(intent: Intent, world: World) -> Surroundings:
    """What no learned prefix may touch: our networks, and the public addresses of the tunnels."""
    own = {*intent.gateway.advertised_prefixes, *(each.prefix for each in world.own.ours)}
    for name, interface in (world.interfaces or {}).items():
        if name == "lo" or name.startswith(LINK_PREFIX) or name in world.tuns.values():
            continue
        for text in interface.addresses:
            network = ip_interface(text).network
            if not network.is_link_local:
                own.add(px.of_network(network))
    endpoints = {
        px.parse(str(address)) for t in intent.tunnels.values() for address in (t.remote_address, t.public_address)
    }
    return Surroundings(own=tuple(sorted(own)), endpoints=tuple(sorted(endpoints)))


def settings_of(plan: TunnelPlan, intent: Intent) -> Liveness:
    """How a tunnel is to be probed: what it says itself, else what the gateway says."""
    return plan.tunnel.liveness.over(intent.gateway.liveness)


def watch_text(plan: TunnelPlan, intent: Intent, world: World) -> str:
    """Who watches the data path of a tunnel, and what that shows, for people."""
    if not settings_of(plan, intent).is_enabled:
        return "not probed (liveness.enabled is false), so only DPD and BGP watch this tunnel"
    probe = world.probes.get(plan.tunnel.name)
    return pulse_text(probe) if probe else "the probe has not begun"


def pulse_text(probe: ProbeReport) -> str:
    """What the probe says of a tunnel, for people."""
    if probe.vitality.pulse == Pulse.UNPROVEN:
        return "the peer has answered no echo yet, so only DPD and BGP watch this tunnel"
    if probe.vitality.pulse == Pulse.DEAD:  # round trip and loss are those of before, when it was still answered
        return "probe Dead, no echo is answered any more"
    rtt = f"{probe.rtt_seconds * 1000:.1f} ms" if probe.rtt_seconds is not None else "no answer"
    return f"probe {probe.vitality.pulse}, {rtt}, {probe.loss:.0%} lost"
