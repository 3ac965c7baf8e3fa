"""Failovers as they happened: from what made a peer unable to carry, until the kernel leads all its traffic elsewhere.

Two halves: ``watched`` after each decision sees who was lost, and ``taken_over`` after each write of next hop groups
sees whose traffic has gone to others. Traffic that nobody could take over waits in a blackhole, or goes into a tunnel
whose data path is dead, too, and its failover is over when somebody can carry it. A peer that is back before is no
failover, and neither is one that was emptied on purpose. Where a Lease decides, a node that takes another's place is
timed too, until the first group leads through a tunnel.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import inf

from ncgd.decision.desired import Desired
from ncgd.decision.routes import distinct_numbers, nexthop_id
from ncgd.decision.sessions import doubt, passing, vitality
from ncgd.decision.tunnels import tunnel_state
from ncgd.decision.world import Lost, World
from ncgd.model.event import TableWritten
from ncgd.model.failover import RECENT, SESSION_DOWN, Failover, Failovers
from ncgd.model.fib import NexthopGroup
from ncgd.model.probe import Pulse
from ncgd.model.spec import Peer


def watched(world: World, desired: Desired) -> World:
    """The World with the peers that were lost since the last pass, and without those that are back."""
    peers = world.intent.peers if world.intent else {}
    if not world.role.is_gateway or not peers:
        taking_over = world.taking_over if world.role.is_gateway else None
        return replace(world, able=frozenset(), lost={}, taking_over=taking_over)
    emptied = {name for name, peer in peers.items() if peer.tunnel and peer.tunnel == desired.renewing}
    able = desired.carriers.trusted | emptied
    if able == world.able and not world.lost:
        return world
    wanted = desired.tables["nexthops"].keys()
    lost = {
        name: replace(each, groups=each.groups & wanted)
        for name, each in world.lost.items()
        if name in peers and name not in able and each.groups & wanted
    }
    for name in (world.able - able) & peers.keys():
        if each := _lost(peers[name], world, desired):
            lost[name] = each
    world = replace(world, able=able, lost=lost)
    observed = {number: row.members for number, row in (world.nexthops or {}).items() if isinstance(row, NexthopGroup)}
    heirs = passing(world.intent, world, desired.carriers) if world.intent else frozenset()
    return _led_elsewhere(world, observed, heirs, world.heard)


def taken_over(world: World, event: TableWritten) -> World:
    """The World after next hop groups were written."""
    if event.table != "nexthops" or not (world.lost or world.taking_over is not None):
        return world
    peers = _peers_by_nexthop(world)
    accepted = {
        row.id: row.members
        for key, row in event.set.items()
        if isinstance(row, NexthopGroup) and key not in event.outcome.failed and peers.keys() & set(row.members)
    }
    if world.taking_over is not None and accepted:
        times = world.failovers.takeovers.plus(max(0.0, event.ended - world.taking_over))
        world = replace(world, failovers=replace(world.failovers, takeovers=times), taking_over=None)
    known = world.intent.peers.items() if world.intent else ()
    heirs = {name for name, peer in known if vitality(peer.tunnel, world).pulse != Pulse.DEAD}
    return _led_elsewhere(world, accepted, heirs, event.ended)


def _led_elsewhere(world: World, groups: Mapping[int, tuple[int, ...]], heirs: Collection[str], at: float) -> World:
    """The World without the lost whose traffic goes through ``heirs``, after ``groups`` (members by id)."""
    peers = _peers_by_nexthop(world)
    able = {number for number, name in peers.items() if name in heirs}
    lost, failovers = {}, world.failovers
    for name, each in world.lost.items():
        led = {
            key: able & set(groups[key])
            for key in each.groups & groups.keys()
            if each.nexthop not in groups[key] and able & set(groups[key])
        }
        if left := each.groups - led.keys():
            lost[name] = replace(each, groups=left)
        else:
            successors = sorted({peers[member] for members in led.values() for member in members})
            failovers = _with(failovers, name, each, tuple(successors), at)
    return replace(world, lost=lost, failovers=failovers)


def lost_at(peer: str, world: World) -> float:
    """When a peer last had to leave its traffic to others (the loop's clock), however its path comes and goes since."""
    moments = [each.at for each in world.failovers.recent if each.peer == peer]
    if each := world.lost.get(peer):
        moments.append(each.since)
    return max(moments, default=-inf)


def _lost(peer: Peer, world: World, desired: Desired) -> Lost | None:
    """None when no traffic went to the peer."""
    nexthop = _nexthops(world)[peer.name]
    groups = frozenset(
        number
        for number, row in (world.nexthops or {}).items()
        if isinstance(row, NexthopGroup) and nexthop in row.members
    )
    if not groups:
        return None
    return Lost(since=world.heard, cause=_cause(peer, world, desired), nexthop=nexthop, groups=groups)


def _cause(peer: Peer, world: World, desired: Desired) -> str:
    plan = desired.tunnels.get(peer.tunnel or "")
    if plan is None:
        return SESSION_DOWN
    passes, reason, _ = tunnel_state(plan, world)
    if not passes:
        return str(reason)
    doubted = doubt(plan, world)
    return str(doubted[0]) if doubted else SESSION_DOWN


def _nexthops(world: World) -> dict[str, int]:
    peers = world.intent.peers if world.intent else {}
    return {name: nexthop_id(number, peers[name].peer_ip.version) for name, number in distinct_numbers(peers).items()}


def _peers_by_nexthop(world: World) -> Mapping[int, str]:
    return {number: name for name, number in _nexthops(world).items()}


def _with(before: Failovers, peer: str, lost: Lost, successors: tuple[str, ...], ended: float) -> Failovers:
    seconds = max(0.0, ended - lost.since)
    failover = Failover(
        number=before.times.count + 1,
        peer=peer,
        cause=lost.cause,
        successors=successors,
        at=lost.since,
        seconds=seconds,
    )
    return replace(
        before,
        recent=(*before.recent, failover)[-RECENT:],
        causes={**before.causes, lost.cause: before.causes.get(lost.cause, 0) + 1},
        times=before.times.plus(seconds),
    )
