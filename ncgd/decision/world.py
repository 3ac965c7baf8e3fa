"""Everything that is known, as one value; and how events change it.

``fold`` is the only way a World changes. Observed tables change by reading and by outcomes, never by intention. Two
tables are different by size (``rib`` and ``routes``): mutable objects inside the frozen World, edited by ``fold``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ncgd.decision.retry import Retry, again
from ncgd.decision.rib import Rib
from ncgd.decision.routes import RouteTable
from ncgd.model import event as ev
from ncgd.model.bgp import Session, SessionState
from ncgd.model.fib import LINK_PREFIX, AddressKey, Interface, Link, LinkKind, Nexthop, NexthopGroup
from ncgd.model.ike import Connection, Credential, IkeFailure, SaState, TunnelSa
from ncgd.model.probe import ProbeReport
from ncgd.model.spec import Intent

Rows = Mapping[object, object]

SPEAKER_GRACE_SECONDS = 120.0
"""How long sessions count as alive while our own speaker restarts: the restart time that we announce."""
SPEAKER_RETURN_SECONDS = 5.0
"""How soon after its return the speaker has told which sessions it has."""
SETTLE_SECONDS = 30.0
"""After that long a new ncgd acts on what it knows, though a daemon has not answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharonView:
    """One charon as we see it."""

    is_up: bool = False
    version: str = ""
    is_read: bool = False
    sas: Mapping[str, TunnelSa] = field(default_factory=dict)
    """Last known; still true, as far as we know, while VICI is away."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerView:
    """The BGP speaker as we see it."""

    is_up: bool = False
    version: str = ""
    neighbors: frozenset[str] = frozenset()
    since: float = 0.0
    """When it came (back) up, by the loop's clock."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """A supervised program as we see it."""

    is_running: bool
    pid: int | None
    reason: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is known. ``now`` is the loop's monotonic clock in seconds."""

    started: float = 0.0
    now: float = 0.0
    node: str = ""
    intent: Intent | None = None
    capability: ev.Capability | None = None
    processes: Mapping[str, ProcessView] = field(default_factory=dict)
    charons: Mapping[str, CharonView] = field(default_factory=dict)
    tuns: Mapping[str, str] = field(default_factory=dict)
    """TUN device by charon (userspace dataplane)."""
    lost_tuns: frozenset[str] = frozenset()
    """Charons whose TUN device somebody else has removed; they make another one only when they start."""
    speaker: SpeakerView = SpeakerView()
    sessions: Mapping[str, Session] = field(default_factory=dict)
    synced: frozenset[str] = frozenset()
    """Peers that have sent a whole table since we started: what they lack is gone, not unseen."""
    probes: Mapping[str, ProbeReport] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] | None = None
    nexthops: Mapping[int, Nexthop | NexthopGroup] | None = None
    written: Mapping[str, Rows] = field(default_factory=dict)
    """Rows of the small tables that were written and accepted, by table."""
    retries: Mapping[tuple[str, object], Retry] = field(default_factory=dict)
    """Failed rows, and initiations, by table and key."""
    ike_failures: Mapping[str, IkeFailure] = field(default_factory=dict)
    rib: Rib = field(default_factory=Rib)
    routes: RouteTable = field(default_factory=RouteTable)
    drift: int = 0
    """Rows of ours that somebody else changed or removed, since start."""

    def sa(self, tunnel: str) -> TunnelSa | None:
        """The SAs of a tunnel, whichever charon holds them; last known while that charon is away."""
        for view in self.charons.values():
            if tunnel in view.sas:
                return view.sas[tunnel]
        return None

    def session(self, peer: str) -> Session:
        """The session of a peer; an idle one when nothing is known."""
        return self.sessions.get(peer) or Session(peer=peer)


def fold(world: World, event: ev.Event, now: float) -> World:
    """The World after one event."""
    world = replace(world, now=now)
    match event:
        case ev.IntentRead(intent=intent):
            return replace(world, intent=intent)
        case ev.CapabilityProbed(capability=capability):
            return replace(world, capability=capability)
        case ev.ProcessesRead(names=names):
            return replace(world, written={**world.written, "processes": dict.fromkeys(names)})
        case ev.ProcessChanged():
            view = ProcessView(is_running=event.is_running, pid=event.pid, reason=event.reason, restarts=event.restarts)
            lost = world.lost_tuns if event.is_running else world.lost_tuns - {event.name}
            return replace(world, processes={**world.processes, event.name: view}, lost_tuns=lost)
        case ev.CharonUp() | ev.CharonLost() | ev.SasRead() | ev.IkeFailed() | ev.TunFound():
            return _fold_ike(world, event)
        case ev.InterfacesRead() | ev.NexthopsRead() | ev.RoutesRead() | ev.ProbesRead():
            return _fold_kernel(world, event)
        case ev.TableWritten():
            return _fold_written(world, event)
        case ev.RoutesWritten(change=change, outcome=outcome):
            world.routes.written(change, outcome.failed)
            return replace(world, retries=_route_retry(world))
        case ev.Ticked():
            return world
        case _:
            return _fold_bgp(world, event)


def _fold_ike(world: World, event: ev.CharonUp | ev.CharonLost | ev.SasRead | ev.IkeFailed | ev.TunFound) -> World:
    match event:
        case ev.CharonUp(charon=name, version=version, tunnels=tunnels):
            before = world.charons.get(name, CharonView())
            view = replace(before, is_up=True, version=version, is_read=False, reason="")
            # A charon that just answered may be a new one that holds nothing: load everything again.
            return _unread_rows_of(replace(world, charons={**world.charons, name: view}), name, tunnels)
        case ev.CharonLost(charon=name, reason=reason):
            view = replace(world.charons.get(name, CharonView()), is_up=False, reason=reason)
            return replace(world, charons={**world.charons, name: view})
        case ev.SasRead(charon=name, sas=sas):
            view = replace(world.charons.get(name, CharonView()), is_up=True, is_read=True, sas=dict(sas))
            installed = {tunnel for tunnel, sa in sas.items() if sa.state == SaState.INSTALLED}
            return replace(
                world,
                charons={**world.charons, name: view},
                retries={
                    key: retry for key, retry in world.retries.items() if key not in {("sas", t) for t in installed}
                },
                ike_failures={t: failure for t, failure in world.ike_failures.items() if t not in installed},
            )
        case ev.IkeFailed(failure=failure):
            return replace(world, ike_failures={**world.ike_failures, failure.tunnel: failure})
        case ev.TunFound(charon=name, interface=interface):
            return replace(world, tuns={**world.tuns, name: interface}, lost_tuns=world.lost_tuns - {name})


def _fold_kernel(world: World, event: ev.InterfacesRead | ev.NexthopsRead | ev.RoutesRead | ev.ProbesRead) -> World:
    match event:
        case ev.InterfacesRead(interfaces=interfaces):
            return _fold_interfaces(world, interfaces)
        case ev.NexthopsRead(nexthops=nexthops):
            return replace(world, nexthops=dict(nexthops))
        case ev.RoutesRead(routes=routes, backstops=backstops):
            return replace(world, drift=world.drift + world.routes.read(routes, backstops))
        case ev.ProbesRead(probes=probes):
            return replace(world, probes=dict(probes))


def _fold_interfaces(world: World, interfaces: Mapping[str, Interface]) -> World:
    before = world.interfaces or {}
    renewed = [name for name, old in before.items() if name not in interfaces or interfaces[name].index != old.index]
    world = replace(world, interfaces=dict(interfaces))
    if not renewed:
        return world
    # What belonged to a device went with it: addresses and settings, and a userspace charon's SAs with its TUN.
    dead = {charon for charon, tun in world.tuns.items() if tun in renewed}
    addresses = {
        key: row
        for key, row in world.written.get("addresses", {}).items()
        if not (isinstance(key, AddressKey) and key.interface in renewed)
    }
    sysctls = {
        key: row
        for key, row in world.written.get("sysctls", {}).items()
        if not any(f".{name}." in str(key) for name in renewed)
    }
    return replace(
        world,
        tuns={charon: tun for charon, tun in world.tuns.items() if charon not in dead},
        lost_tuns=world.lost_tuns | dead,
        charons={
            name: replace(view, sas={}, is_read=False) if name in dead else view for name, view in world.charons.items()
        },
        written={**world.written, "addresses": addresses, "sysctls": sysctls},
    )


def _fold_written(world: World, event: ev.TableWritten) -> World:
    """Accepted rows are rows; failed ones wait. An SA asked for is an attempt: only reading it is success."""
    table, failed = event.table, event.outcome.failed
    rows = dict(world.written.get(table, {}))
    retries = dict(world.retries)
    asked = [*event.set.items(), *((key, None) for key in event.removed)]
    for key, row in asked:
        if key in failed or table == "sas":
            retries[table, key] = again(retries.get((table, key)), world.now, failed.get(key, ""), row)
            continue
        retries.pop((table, key), None)
        if key in event.set:
            rows[key] = row
        else:
            rows.pop(key, None)
    return replace(world, written={**world.written, table: rows}, retries=retries)


def _route_retry(world: World) -> dict[tuple[str, object], Retry]:
    retries = {key: retry for key, retry in world.retries.items() if key[0] != "routes"}
    if world.routes.failed:
        retries["routes", ""] = again(world.retries.get(("routes", "")), world.now)
    return retries


def next_wakeup(world: World) -> float | None:
    """When the next pass is due though nothing happens (the loop's clock), or None."""
    due = [retry.due for retry in world.retries.values()]
    due += [session.graceful_until for session in world.sessions.values() if session.graceful_until is not None]
    due.append(world.started + SETTLE_SECONDS)
    return min((moment for moment in due if moment > world.now), default=None)


def _fold_bgp(world: World, event: ev.Event) -> World:
    rib = world.rib
    match event:
        case ev.SpeakerUp(version=version, neighbors=neighbors):
            view = SpeakerView(is_up=True, version=version, neighbors=neighbors, since=world.now)
            return replace(world, speaker=view, written={**world.written, "neighbors": {}})
        case ev.SpeakerLost(reason=reason):
            return replace(world, speaker=replace(world.speaker, is_up=False, reason=reason))
        case ev.SessionUp(peer=peer, restart_seconds=restart, age_seconds=age):
            before = world.session(peer)
            if before.state != SessionState.ESTABLISHED:
                rib.mark_stale(peer)
            session = Session(
                peer=peer, state=SessionState.ESTABLISHED, since=world.now - age, peer_restart_seconds=restart
            )
            return replace(world, sessions={**world.sessions, peer: session})
        case ev.SessionDown(peer=peer, reason=reason, is_graceful=is_graceful):
            rib.mark_stale(peer)
            before = world.session(peer)
            seconds = _graceful_seconds(before, world) if is_graceful else 0.0
            return replace(world, sessions={**world.sessions, peer: _lost(before, world.now, reason, seconds)})
        case ev.PathsLearned(peer=peer, attributes=attributes, prefixes=prefixes):
            rib.learn(peer, attributes, prefixes)
        case ev.PathsWithdrawn(peer=peer, prefixes=prefixes):
            rib.withdraw(peer, prefixes)
        case ev.AdjRibInRead(peer=peer, paths=paths, families_ended=ended):
            rib.replace(peer, paths, is_complete=bool(ended))
            session = replace(world.session(peer), families_ended=ended)
            synced = world.synced | {peer} if ended else world.synced
            return replace(world, sessions={**world.sessions, peer: session}, synced=synced)
        case ev.EndOfRib(peer=peer, version=version):
            rib.sweep_stale(peer, version)
            before = world.session(peer)
            session = replace(before, families_ended=before.families_ended | {version})
            return replace(world, sessions={**world.sessions, peer: session}, synced=world.synced | {peer})
        case _:
            pass
    return world


def _graceful_seconds(session: Session, world: World) -> float:
    """How long a session's paths stand (RFC 4724 §4.2). What ends as our speaker returns was ended by its restart."""
    is_our_restart = world.now - world.speaker.since < SPEAKER_RETURN_SECONDS
    return max(session.peer_restart_seconds or 0.0, SPEAKER_GRACE_SECONDS if is_our_restart else 0.0)


def _lost(session: Session, now: float, reason: str, graceful_seconds: float) -> Session:
    """The session after it went down; its paths forward on for ``graceful_seconds`` (RFC 4724 §4.2)."""
    if session.state != SessionState.ESTABLISHED:
        return replace(session, reason=reason or session.reason)
    return Session(
        peer=session.peer,
        state=SessionState.CONNECT,
        since=now,
        reason=reason,
        graceful_until=now + graceful_seconds if graceful_seconds else None,
    )


def _unread_rows_of(world: World, charon: str, tunnels: frozenset[str]) -> World:
    """What a charon holds is known by name only: what is wanted is loaded again, what is not is removed."""
    rows: dict[str, Rows] = {}
    for table in ("credentials", "connections"):
        others = {
            key: row
            for key, row in world.written.get(table, {}).items()
            if (row.charon if isinstance(row, Connection | Credential) else row) != charon
        }
        rows[table] = {**dict.fromkeys(tunnels, charon), **others}
    return replace(world, written={**world.written, **rows})


def observed_links(world: World) -> dict[str, Link]:
    """Our interfaces as they are: XFRM interfaces with our prefix, and the TUN devices of our charons."""
    tuns = set(world.tuns.values())
    links: dict[str, Link] = {}
    for name, interface in (world.interfaces or {}).items():
        if name in tuns:
            links[name] = Link(name=name, kind=LinkKind.TUN, mtu=interface.mtu, is_up=interface.is_up)
        elif name.startswith(LINK_PREFIX) and interface.kind == LinkKind.XFRM:
            links[name] = Link(
                name=name, kind=LinkKind.XFRM, mtu=interface.mtu, if_id=interface.if_id, is_up=interface.is_up
            )
    return links
