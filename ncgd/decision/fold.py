"""How events change the World. ``fold`` is the only way it changes, and time is an event like the others."""

from collections.abc import Mapping
from dataclasses import replace
from math import nextafter

from ncgd.decision.failover import taken_over
from ncgd.decision.fold_cluster import fold_cluster
from ncgd.decision.fold_kernel import fold_kernel, without_tuns
from ncgd.decision.fold_masquerade import fold_masquerade
from ncgd.decision.fold_protection import fold_protection, fold_route_change
from ncgd.decision.fold_ranges import fold_ranges, pass_time
from ncgd.decision.rekeys import failed_to_rekey, renewed_keys
from ncgd.decision.renewal import DRAIN_SECONDS, PATIENCE_SECONDS
from ncgd.decision.retry import RENEWAL_SECONDS, Retry, again
from ncgd.decision.role import DRAINED_AFTER_SECONDS
from ncgd.decision.tally import counted
from ncgd.decision.userspace import available
from ncgd.decision.waiting import retries_without
from ncgd.decision.world import SETTLE_SECONDS, CharonView, ProcessView, Rows, SpeakerView, World
from ncgd.model import event as ev
from ncgd.model.bgp import TCP_FAILED, Session, SessionState
from ncgd.model.ike import Connection, Credential, Repair, SaState, StaleSa, TunnelSa
from ncgd.model.masquerade_event import AgentConfigRead, AgentRulesRead, ExemptionRead, NatChainsRead

SPEAKER_GRACE_SECONDS = 120.0
"""How long sessions count as alive while our own speaker restarts: the restart time that we announce."""
SPEAKER_RETURN_SECONDS = 5.0
"""How soon after its return the speaker has told which sessions it has."""
READ_BACK = frozenset({"links", "addresses", "nexthops", "slices"})
"""Small tables that are read back from the kernel, and from the API."""
READ_SECONDS = 0.5
"""How long a reading may take to show what was written."""
END_OF_RIB_SECONDS = 60.0
"""A peer that has sent some paths and no End-of-RIB by then has sent all (RFC 4724 §4.2 wants such a timer)."""
FORGOTTEN_SECONDS = 60.0
"""A failed row that nobody has tried again for so long after it was due is not wanted any more."""
DONE_SECONDS = 1.0
"""The same for a table that fails as a whole and of which nothing is left to write."""
_SINCE = "; since then "


def fold(world: World, event: ev.Event, now: float) -> World:  # noqa: PLR0912 - one case per subject
    """The World after one event."""
    world = replace(world, now=now, tally=counted(world, event))
    match event:
        case ev.IntentRead(intent=intent):
            return replace(world, intent=intent)
        case ev.RoleChanged() | ev.SlicesRead() | ev.WaysRead():
            return fold_cluster(world, event)
        case ev.CapabilityProbed():
            return replace(world, capability=available(event))
        case ev.ProcessesRead() | ev.ProcessChanged():
            return _fold_process(world, event)
        case ev.CharonUp() | ev.CharonLost() | ev.SasRead() | ev.IkeFailed() | ev.TunFound():
            return _fold_ike(world, event)
        case ev.EspRead(if_ids=if_ids):
            before, since = world.esp or {}, 0.0 if world.esp is None else now
            return replace(world, esp={if_id: before.get(if_id, since) for if_id in if_ids})
        case ev.InterfacesRead() | ev.NexthopsRead() | ev.RoutesRead() | ev.RoutesMeddled() | ev.ProbesRead():
            return fold_kernel(world, event)
        case ExemptionRead() | NatChainsRead() | AgentConfigRead() | AgentRulesRead():
            return fold_masquerade(world, event)
        case (
            ev.PrefixesRemembered()
            | ev.GuardRead()
            | ev.GuardCounted()
            | ev.ClampsRead()
            | ev.EspPortsRead()
            | ev.FilterUnreadable()
        ) | ev.TableWritten(table="guard" | "masquerade" | "memory"):
            return fold_protection(world, event)
        case ev.TableWritten():
            return _fold_written(taken_over(world, event), event)
        case ev.RoutesWritten(change=change, outcome=outcome):
            world.routes.written(change, outcome.failed)
            fold_route_change(world.protection, change, outcome.failed)
            return replace(world, retries=_route_retry(world, is_new=bool(outcome.failed)))
        case ev.StatusPortTold():
            return replace(world, status_port=event)
        case ev.ClusterRangesRead() | ev.Ticked():
            return fold_ranges(world, event) if isinstance(event, ev.ClusterRangesRead) else _fold_time(world)
        case _:
            return _fold_bgp(world, event)


def _fold_process(world: World, event: ev.ProcessesRead | ev.ProcessChanged) -> World:
    if isinstance(event, ev.ProcessesRead):
        return replace(world, written={**world.written, "processes": dict.fromkeys(event.names)})
    view = ProcessView(
        is_running=event.is_running,
        pid=event.pid,
        reason=event.reason,
        restarts=event.restarts,
        since=world.now,
        is_outdated=event.is_outdated,
        is_adopted=event.is_adopted,
    )
    world = replace(world, processes={**world.processes, event.name: view})
    if event.is_running:
        return world
    # The next charon makes a device of its own: what is read of this one's end is no news any more.
    return replace(without_tuns(world, {event.name}), lost_tuns=world.lost_tuns - {event.name})


def _fold_ike(world: World, event: ev.CharonUp | ev.CharonLost | ev.SasRead | ev.IkeFailed | ev.TunFound) -> World:
    match event:
        case ev.CharonUp(charon=name, version=version, tunnels=tunnels):
            return _charon_up(world, name, version, tunnels)
        case ev.CharonLost(charon=name, reason=reason):
            view = replace(world.charons.get(name, CharonView()), is_up=False, reason=reason)
            return replace(world, charons={**world.charons, name: view})
        case ev.SasRead(charon=name, sas=sas):
            before = world.charons.get(name, CharonView())
            sas = {tunnel: _with_origin(sa, before.sas.get(tunnel)) for tunnel, sa in sas.items()}
            ids = (ike_id for sa in sas.values() for ike_id in sa.answered_ike_ids)
            answered = {ike_id: before.answered.get(ike_id, world.now) for ike_id in ids}
            view = replace(before, is_up=True, is_read=True, was_read=True, sas=sas, answered=answered)
            return _fold_sas(replace(world, charons={**world.charons, name: view}), name, sas)
        case ev.IkeFailed(failure=failure):
            failures = {**world.ike_failures, failure.tunnel: failure}
            return failed_to_rekey(replace(world, ike_failures=failures), failure)
        case ev.TunFound(charon=name, interface=interface, index=index):
            return replace(
                world,
                tuns={**world.tuns, name: interface},
                tun_indexes={**world.tun_indexes, name: index},
                lost_tuns=world.lost_tuns - {name},
            )


def _charon_up(world: World, name: str, version: str, tunnels: frozenset[str]) -> World:
    """A charon that just answered may be a new one that holds nothing: load everything again."""
    before = world.charons.get(name, CharonView())
    view = replace(before, is_up=True, version=version, since=world.now, is_read=False, reason="")
    # What an earlier charon called its own is older than this one, also when both are told of at once.
    earlier = nextafter(world.now, 0.0)
    esp = None if world.esp is None else {if_id: min(at, earlier) for if_id, at in world.esp.items()}
    retries = retries_without(world, "credentials", "connections", "sas")
    charons = {**world.charons, name: view}
    world = replace(world, charons=charons, retries=retries, esp=esp)
    return _unread_rows_of(world, name, tunnels)


def _with_origin(sa: TunnelSa, before: TunnelSa | None) -> TunnelSa:
    """What charon brings back by itself is made from the configuration of what was lost; it does not tell."""
    return sa if sa.digest or before is None else replace(sa, digest=before.digest)


def _fold_sas(world: World, charon: str, sas: Mapping[str, TunnelSa]) -> World:
    """An attempt is over when its SA is up, made from the configuration asked for; a removal, when it is gone.

    One for a configuration that was taken back since is over when it has ended, and what is loaded now is up.
    """
    installed = {tunnel: sa.digest for tunnel, sa in sas.items() if sa.state == SaState.INSTALLED}
    alive = world.charons[charon].ike_ids
    connections = world.written.get("connections", {})
    settled = {
        tunnel
        for tunnel, digest in installed.items()
        if not sas[tunnel].pending_ike_id
        and isinstance(row := connections.get(tunnel), Connection)
        and row.digest == digest
    }
    retries = {
        (table, key): retry
        for (table, key), retry in world.retries.items()
        if not (isinstance(key, StaleSa) and key.charon == charon and key.ike_id not in alive)
        and not (table == "sas" and isinstance(retry.row, Connection) and installed.get(str(key)) == retry.row.digest)
        and not (table == "sas" and key in settled)
    }
    failures = {
        tunnel: failure
        for tunnel, failure in world.ike_failures.items()
        if tunnel not in installed or ("sas", tunnel) in retries or ("sas", Repair(tunnel=tunnel)) in retries
    }
    # What charon tells of is its own: see tunnels.is_orphan.
    own = {row.if_id for row in connections.values() if isinstance(row, Connection) and row.tunnel in installed}
    esp = None if world.esp is None else {if_id: world.now if if_id in own else at for if_id, at in world.esp.items()}
    return renewed_keys(replace(world, retries=retries, ike_failures=failures, esp=esp))


def _fold_written(world: World, event: ev.TableWritten) -> World:
    """Accepted rows are rows; failed ones wait. An SA asked for is an attempt: only reading it is success.

    Of a row that was there and failed nobody knows what became of it, so it is none that could be wanted.
    """
    table, failed = event.table, event.outcome.failed
    rows = dict(world.written.get(table, {}))
    retries, failures = dict(world.retries), dict(world.ike_failures)
    asked = [*event.set.items(), *((key, None) for key in event.removed)]
    asked = [(key, row) for key, row in asked if not _went_to_a_dead_program(event, key, row, world)]
    for key, row in asked:
        if key in failed or table == "sas":
            before, text = retries.get((table, key)), failed.get(key, "")
            if table == "sas" and (before is None or before.row != row):
                failures.pop(str(key), None)  # of something asked for earlier
            if isinstance(key, Repair):
                retries[table, key] = again(before, world.now, text, row, RENEWAL_SECONDS)
            else:
                retries[table, key] = again(before, world.now, text, row)
            if key in rows and rows[key] != row:
                rows[key] = None
            continue
        retries.pop((table, key), None)
        if table in READ_BACK:  # the next reading tells whether it is there; until then the same row need not go again
            retries[table, key] = Retry(0, world.now + READ_SECONDS, row=row)
        if key in event.set:
            rows[key] = row
        else:
            rows.pop(key, None)
    if table == "neighbors" and asked:
        world = replace(world, told=world.now)
    if table == "nexthops" and len(failed) < len(asked):
        retries.pop(("routes", ""), None)
    world = replace(world, written={**world.written, table: rows}, retries=retries, ike_failures=failures)
    if table == "processes" and (gone := event.removed - failed.keys()):
        ended = CharonView(was_read=True)
        charons = {name: ended if name in gone else view for name, view in world.charons.items()}
        tuns = {name: tun for name, tun in world.tuns.items() if name not in gone}
        return replace(world, charons=charons, tuns=tuns)
    return world


def _went_to_a_dead_program(event: ev.TableWritten, key: object, row: object, world: World) -> bool:
    """Whether the program that got this has been replaced since by one that has not."""
    if event.table == "neighbors":
        return world.speaker.since > event.begun
    if event.table not in {"credentials", "connections", "sas"}:
        return False
    holder = row or (key if isinstance(key, StaleSa) else world.written.get(event.table, {}).get(key))
    name = holder.charon if isinstance(holder, Connection | Credential | StaleSa) else str(holder)
    return name in world.charons and world.charons[name].since > event.begun


def _route_retry(world: World, *, is_new: bool) -> dict[tuple[str, object], Retry]:
    before = world.retries.get(("routes", ""))
    retries = retries_without(world, "routes")
    if world.routes.failed:
        retries["routes", ""] = again(before, world.now) if is_new or before is None else before
    return retries


def _fold_time(world: World) -> World:
    """What time alone brings: retries nobody waits for, tables that never ended, a speaker that stays away."""
    retries = {key: retry for key, retry in world.retries.items() if not _is_forgotten(*key, retry, world)}
    synced, sessions = set(world.synced), dict(world.sessions)
    for name, session in world.sessions.items():
        if session.state != SessionState.ESTABLISHED:
            continue
        is_long_up = world.now - session.since > END_OF_RIB_SECONDS
        if is_long_up and not session.families_ended and world.speaker.is_read:  # else its table is on its way to us
            if world.rib.is_silent(name):  # a router that is starting: silence withdraws nothing
                world.rib.sweep_taken_over(name)
            else:
                world.rib.sweep_stale(name, 4)
                world.rib.sweep_stale(name, 6)
                synced.add(name)
        is_away = bool(world.speaker.version) and not world.speaker.is_up
        if is_away and world.now - world.speaker.since > SPEAKER_GRACE_SECONDS:
            world.rib.mark_stale(name)
            sessions[name] = _lost(session, world.now, "the BGP speaker is gone", 0.0)
    return pass_time(replace(world, retries=retries, synced=frozenset(synced), sessions=sessions))


def _is_forgotten(table: str, key: object, retry: Retry, world: World) -> bool:
    """Whether nobody waits for it: it was due and not tried again."""
    if rows := world.protection.tables.get(table):
        return rows.is_done and retry.due + DONE_SECONDS < world.now
    is_wanted = table == "routes" or (table == "sas" and world.intent is not None and key in world.intent.tunnels)
    return retry.due + FORGOTTEN_SECONDS <= world.now and not is_wanted


def next_wakeup(world: World) -> float | None:
    """When the next pass is due though nothing happens (the loop's clock), or None."""
    due = [retry.due for retry in world.retries.values()]
    due += [session.graceful_until for session in world.sessions.values() if session.graceful_until is not None]
    due += [*world.own.due, world.started + SETTLE_SECONDS, world.told + DRAIN_SECONDS, world.told + PATIENCE_SECONDS]
    if world.stood_down is not None:
        due += [world.stood_down + DRAINED_AFTER_SECONDS, world.told + DRAINED_AFTER_SECONDS]
    return min((moment for moment in due if moment > world.now), default=None)


def _fold_bgp(world: World, event: ev.Event) -> World:
    rib = world.rib
    match event:
        case ev.SpeakerUp(version=version, neighbors=neighbors):
            was_read = world.speaker.is_read
            view = SpeakerView(is_up=True, version=version, neighbors=neighbors, since=world.now, is_read=was_read)
            # Known by name only: what is wanted is written again, what is not is removed.
            written: dict[str, Rows] = {**world.written, "neighbors": dict.fromkeys(neighbors)}
            return replace(world, speaker=view, written=written, retries=retries_without(world, "neighbors"))
        case ev.SpeakerRead():
            return replace(world, speaker=replace(world.speaker, is_read=True))
        case ev.SpeakerLost(reason=reason):
            since = world.now if world.speaker.is_up else world.speaker.since
            return replace(world, speaker=replace(world.speaker, is_up=False, reason=reason, since=since))
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
    returned = world.speaker.since
    is_our_restart = session.since < returned and world.now - returned < SPEAKER_RETURN_SECONDS
    return max(session.peer_restart_seconds or 0.0, SPEAKER_GRACE_SECONDS if is_our_restart else 0.0)


def _still_told(before: str, reason: str) -> str:
    """Why an attempt failed. What a NOTIFICATION said is told on while the attempts after it fail without a word."""
    said = before.partition(_SINCE)[0]
    return f"{said}{_SINCE}{TCP_FAILED}" if reason == TCP_FAILED and "NOTIFICATION" in said else reason or before


def _lost(session: Session, now: float, reason: str, graceful_seconds: float) -> Session:
    """The session after it went down; its paths forward on for ``graceful_seconds`` (RFC 4724 §4.2)."""
    if session.state != SessionState.ESTABLISHED:
        return replace(session, reason=_still_told(session.reason, reason))
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
