"""World and Desired → Report: how each object is, what is wrong, and what to do about it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from ncgd.decision.crossing_report import report_crossing
from ncgd.decision.desired import Desired
from ncgd.decision.export import exported
from ncgd.decision.masquerade import masquerade_report
from ncgd.decision.problems import find_problems
from ncgd.decision.sas import repair_text
from ncgd.decision.sessions import advertised_meds, doubt, passing, session_reason, watch_text
from ncgd.decision.tunnels import TunnelPlan, tunnel_state
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.bgp import SessionState
from ncgd.model.ike import SaState
from ncgd.model.reason import Refusal, SessionReason, TunnelReason
from ncgd.model.report import Health, LeakReport, PeerReport, Problem, Report, TunnelReport
from ncgd.model.role import Role
from ncgd.model.spec import Intent, Peer, Tunnel

ESTABLISHED = "established"
"""NCG's spelling (lower case)."""
CONNECTING = "connecting"
DOWN = "down"


def report(world: World, desired: Desired, held: Mapping[str, str]) -> Report:
    """The picture after a pass; ``held`` is the plan's."""
    if not world.role.is_gateway:
        return _elsewhere(world, desired, held)
    intent = world.intent or Intent()
    tunnels = tuple(_tunnel(plan, world, desired, intent) for _, plan in sorted(desired.tunnels.items()))
    if desired.dataplane.mode is None:
        tunnels = _idle_tunnels(intent, TunnelReason.NO_DATAPLANE, desired.dataplane.reason)
    elif unkept := [name for name in intent.tunnels if name not in desired.tunnels]:
        lost = replace(intent, tunnels={name: intent.tunnels[name] for name in unkept})
        tunnels += _idle_tunnels(lost, TunnelReason.NOT_ACTIVE, world.role.message)
    meds = advertised_meds(intent, desired.lost)
    peers = tuple(_peer(peer, meds[name], world, desired, intent) for name, peer in sorted(intent.peers.items()))
    problems = find_problems(world, desired, tunnels, peers)
    gateway = intent.gateway
    return Report(
        health=_health(tunnels, peers, problems, able=passing(intent, world, desired.carriers), held=held),
        gateway=gateway.ref,
        gateway_generation=gateway.generation,
        created=gateway.created,
        node=world.node,
        role=world.role,
        dataplane_mode=str(desired.dataplane.mode or "none"),
        dataplane_reason=desired.dataplane.reason,
        mode=str(gateway.mode),
        tunnels=tunnels,
        peers=peers,
        exports=desired.exports,
        routes_installed=len(world.routes.installed),
        routes_desired=len(world.routes.desired),
        drift=world.drift,
        leak=_leak(world, intent),
        masquerade=masquerade_report(world, intent),
        published=sum(len(row.prefixes) for row in world.packing.ours.values()),
        problems=problems,
        findings=_findings(intent),
        tally=world.tally,
        failovers=world.failovers,
        held=dict(held),
    )


def _elsewhere(world: World, desired: Desired, held: Mapping[str, str]) -> Report:
    """The picture where tunnels and sessions are another node's."""
    intent = world.intent or Intent()
    gateway = intent.gateway
    return Report(
        health=Health.STANDBY,
        gateway=gateway.ref,
        gateway_generation=gateway.generation,
        created=gateway.created,
        node=world.node,
        role=world.role,
        dataplane_mode=str(desired.dataplane.mode or "none"),
        dataplane_reason=desired.dataplane.reason,
        mode=str(gateway.mode),
        tunnels=_idle_tunnels(intent, TunnelReason.NOT_ACTIVE, world.role.message),
        peers=tuple(_idle_peer(peer, world.role) for _, peer in sorted(intent.peers.items())),
        routes_installed=len(world.routes.installed),
        routes_desired=len(world.routes.desired),
        drift=world.drift,
        leak=replace(_leak(world, intent), waits_for=()),
        masquerade=masquerade_report(world, intent),
        crossing=report_crossing(world, desired.crossing),
        problems=find_problems(world, desired, (), ()),
        findings=_findings(intent),
        tally=world.tally,
        failovers=world.failovers,
        held=dict(held),
    )


def _findings(intent: Intent) -> dict[str, int]:
    errors = sum(finding.is_error for finding in intent.findings)
    return {"error": errors, "warning": len(intent.findings) - errors}


def _leak(world: World, intent: Intent) -> LeakReport:
    protection = world.protection
    waits_for = tuple(sorted(intent.peers.keys() - world.synced)) if protection.memory else ()
    return LeakReport(
        mode=str(intent.gateway.leak_protection),
        guarded=len(protection.guard.held),
        dropped=world.guard_drops,
        remembered=len(protection.memory),
        waits_for=waits_for,
    )


def _health(
    tunnels: Iterable[TunnelReport],
    peers: Iterable[PeerReport],
    problems: Iterable[Problem],
    *,
    able: Collection[str],
    held: Mapping[str, str],
) -> Health:
    if "nexthops" in held:  # what runs may well carry traffic: it only has not been read yet
        return Health.DEGRADED
    if not able:
        return Health.DOWN
    is_whole = all(tunnel.is_usable for tunnel in tunnels) and all(peer.status == ESTABLISHED for peer in peers)
    return Health.HEALTHY if is_whole and not any(problem.is_error for problem in problems) else Health.DEGRADED


def _tunnel(plan: TunnelPlan, world: World, desired: Desired, intent: Intent) -> TunnelReport:
    passes, reason, message = tunnel_state(plan, world)
    sa = world.sa(plan.tunnel.name)
    status = DOWN
    if passes:
        status = ESTABLISHED
    elif sa is not None and sa.state != SaState.DOWN:
        status = CONNECTING
    members = [peer for peer in intent.peers.values() if peer.tunnel == plan.tunnel.name]
    is_renewed = passes and plan.tunnel.name == desired.renewing
    is_usable = is_renewed or (passes and any(peer.name in desired.carriers.trusted for peer in members))
    if passes and (doubted := doubt(plan, world)):
        reason, message = doubted
        message += repair_text(plan.tunnel.name, world)
    elif is_renewed:
        reason = TunnelReason.RENEWING
        message = "its traffic goes through other tunnels while its SAs are renewed"
    elif passes and is_usable:
        message = f"{message}; {watch_text(plan, intent, world)}"
    elif passes and not is_usable:
        reason = TunnelReason.NO_SESSION
        message = "SA installed, but no BGP session forwards through it" if members else "no peer names this tunnel"
    return TunnelReport(
        ref=plan.tunnel.ref,
        generation=plan.tunnel.generation,
        status=status,
        interface=plan.interface or "",
        remote=str(plan.tunnel.remote_address),
        ike=sa.ike_text if sa else "",
        child=sa.child_text if sa else "",
        bytes_in=sa.bytes_in if sa else 0,
        bytes_out=sa.bytes_out if sa else 0,
        established_seconds=sa.established_seconds if sa else 0,
        child_seconds=sa.child_seconds if sa else 0,
        probe=world.probes.get(plan.tunnel.name),
        mtu=plan.link.mtu if plan.link else 0,
        is_usable=is_usable,
        reason=str(reason),
        message=message,
    )


def _idle_tunnels(intent: Intent, reason: TunnelReason, why: str) -> tuple[TunnelReport, ...]:
    return tuple(_idle_tunnel(tunnel, reason, why) for _, tunnel in sorted(intent.tunnels.items()))


def _idle_tunnel(tunnel: Tunnel, reason: TunnelReason, why: str) -> TunnelReport:
    return TunnelReport(
        ref=tunnel.ref,
        generation=tunnel.generation,
        status=DOWN,
        interface="",
        remote=str(tunnel.remote_address),
        ike="",
        child="",
        bytes_in=0,
        bytes_out=0,
        established_seconds=0,
        mtu=0,
        is_usable=False,
        reason=str(reason),
        message=why,
    )


def _idle_peer(peer: Peer, role: Role) -> PeerReport:
    return PeerReport(
        ref=peer.ref,
        generation=peer.generation,
        status=DOWN,
        state=str(SessionState.IDLE),
        tunnel=peer.tunnel or "",
        peer_ip=str(peer.peer_ip),
        peer_asn=peer.peer_asn,
        received=0,
        accepted=0,
        reason=str(SessionReason.NOT_ACTIVE),
        message=role.message,
    )


def _peer(peer: Peer, med: int, world: World, desired: Desired, intent: Intent) -> PeerReport:
    session = world.session(peer.name)
    reason, message = session_reason(peer, world, desired.tunnels)
    table = world.rib.peers.get(peer.name)
    refused = Counter(str(refusal) for refusal in table.refused.values()) if table else Counter[str]()
    is_up = session.state == SessionState.ESTABLISHED
    is_configured = peer.name in desired.tables["neighbors"]
    received, accepted = table.live_counts if table else (0, 0)
    kept_too_many = table is not None and len(table.accepted) > table.limit
    return PeerReport(
        ref=peer.ref,
        generation=peer.generation,
        status=ESTABLISHED if is_up else CONNECTING if is_configured else DOWN,
        state=str(session.state) if is_configured or is_up else str(SessionState.IDLE),
        tunnel=peer.tunnel or "",
        peer_ip=str(peer.peer_ip),
        peer_asn=peer.peer_asn,
        received=received,
        accepted=accepted,
        refused=dict(refused),
        advertised=tuple((px.text(prefix), med) for prefix in exported(intent, world.own, peer)) if is_up else (),
        uptime_seconds=max(0, int(world.now - session.since)) if is_up else 0,
        reason=str(reason),
        message=message,
        is_over_limit=refused[str(Refusal.PREFIX_LIMIT)] > 0 or kept_too_many,
    )
