"""World → what should be, table by table. Calls the choosers in order; decides nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ncgd.decision import rib as rib_module
from ncgd.decision.crossing import (
    GATEWAY,
    HERE,
    MAX_PREFIXES,
    Crossing,
    adjacencies,
    asked_ways,
    choose_crossing,
    crossing_carriers,
    crossing_exits,
    crossing_nexthops,
    crossing_sysctls,
    gateway_check,
    vxlan_addresses,
    vxlan_links,
)
from ncgd.decision.export import exports
from ncgd.decision.masquerade import agent_rows
from ncgd.decision.policy import ImportCheck
from ncgd.decision.renewal import has_outdated_charon, is_drained, is_settled, renewing, without
from ncgd.decision.rib import Decision
from ncgd.decision.role import has_heard_all, in_force, kept_neighbors, kept_tunnels
from ncgd.decision.routes import Carriers, distinct_numbers, nexthop_id, stable_number
from ncgd.decision.sessions import (
    carriers,
    import_checks,
    link_to,
    lost_peers,
    plan_neighbors,
    plan_probes,
    preference,
    safe_check,
)
from ncgd.decision.tunnels import KERNEL_CHARON, Dataplane, TunnelPlan, choose_dataplane, plan_tunnels
from ncgd.decision.world import Rows, World
from ncgd.model.fib import Nexthop, NexthopGroup
from ncgd.model.ike import Charon, DataplaneMode, EspPort
from ncgd.model.prefix import Prefix
from ncgd.model.report import ExportReport
from ncgd.model.role import Part
from ncgd.model.spec import Intent, LeakProtection, Masquerade, Mode

IP_FORWARD = "net.ipv4.ip_forward"
HUNG_SECONDS = 15.0
"""A running speaker counts as hung when it has not answered for so long, which takes 15 s more to be noticed."""
STARTING_SECONDS = 60.0
"""One that has just been started may take so long: a slow machine that is busy needs 20 s for it."""
SPEAKER = "exabgp"
"""Name of the supervised BGP speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What should be. ``tables`` are the small ones; routes are kept in ``World.routes``."""

    dataplane: Dataplane
    tunnels: Mapping[str, TunnelPlan] = field(default_factory=dict)
    carriers: Carriers = field(default_factory=Carriers)
    lost: frozenset[str] = frozenset()
    """Peers from which the others take over the return path."""
    crossing: Crossing = HERE
    exits: frozenset[str] = frozenset()
    """What guarded prefixes may leave by: interfaces, and next hops as ``via ADDRESS``."""
    renewing: str | None = None
    """The tunnel that carries nothing, though it could, because its SAs are being renewed."""
    exports: tuple[ExportReport, ...] = ()
    """Our networks, and why peers are told of them, or not; on a gateway, since others tell nobody."""
    tables: Mapping[str, Rows] = field(default_factory=dict)


def desired_state(world: World) -> Desired:
    """What should be, given what is known. Also has the RIB decide its dirty prefixes."""
    intent = in_force(world.intent or Intent(), world.role)
    dataplane = choose_dataplane(intent.gateway, world)
    tunnels = kept_tunnels(plan_tunnels(intent, world, dataplane.mode), world) if dataplane.mode else {}
    crossing = choose_crossing(intent, world)
    able = carriers(intent, world, tunnels) if world.role.is_gateway else crossing_carriers(crossing, world)
    renewed = renewing(intent, world, tunnels, able)
    able = without(able, renewed, intent)
    lost = lost_peers(intent, world, able, renewed)
    if world.intent is not None:
        _decide_paths(intent, world.intent, world)
    elif world.role.part != Part.STANDALONE:  # an API server may be long in answering, a file is not
        unread = Intent(is_complete=False)
        _protect(unread, {GATEWAY: (gateway_check(unread, world), MAX_PREFIXES)}, world)
    links = {plan.link.name: plan.link for plan in tunnels.values() if plan.link}
    overlay = vxlan_links(intent, crossing, world)
    tables: dict[str, Rows] = {
        "ways": asked_ways(world),
        "processes": _processes(tunnels, dataplane.mode, world),
        "esp_ports": _esp_ports(tunnels),
        "sysctls": {**_sysctls(tunnels, intent, world), **_cluster_sysctls(overlay, crossing, world)},
        "links": dict((links | overlay).items()),
        "addresses": {key: row for plan in tunnels.values() for key, row in plan.addresses.items()}
        | vxlan_addresses(overlay),
        "adjacencies": adjacencies(crossing, world),
        "agent": dict(agent_rows(world.intent or intent, world).items()),
        "clamps": {plan.clamp.interface: plan.clamp for plan in tunnels.values() if plan.clamp},
        "credentials": {name: plan.credential for name, plan in tunnels.items()},
        "connections": {name: plan.connection for name, plan in tunnels.items()},
        "nexthops": _nexthops(intent, world, tunnels, able, crossing),
        "probes": dict(plan_probes(intent, world, tunnels).items()),
        "neighbors": dict(kept_neighbors(plan_neighbors(intent, world, tunnels, lost), world).items()),
        "slices": dict(world.packing.rows.items()),
    }
    for name, plan in tunnels.items():
        may_end = len(tunnels) == 1 or (renewed == name and is_drained(name, world, tables, able))
        if has_outdated_charon(plan, world) and may_end and is_settled(world, tunnels):
            # It is wanted again, as it is launched now, as soon as it has ended.
            tables["processes"] = {key: row for key, row in tables["processes"].items() if key != plan.charon.name}
    return Desired(
        dataplane=dataplane,
        tunnels=tunnels,
        carriers=able,
        lost=lost,
        crossing=crossing,
        exits=frozenset(links) if world.role.is_gateway else crossing_exits(crossing),
        renewing=renewed,
        exports=exports(intent, world.own) if world.role.is_gateway else (),
        tables=tables,
    )


def _decide_paths(intent: Intent, known: Intent, world: World) -> None:
    """``known`` is all that was read, ``intent`` what of it is in force here."""
    is_gateway = world.role.is_gateway
    if not world.role.is_decided:
        _protect(intent, {GATEWAY: (gateway_check(known, world), MAX_PREFIXES)}, world)
        return
    order = preference(intent) if intent.gateway.mode == Mode.ACTIVE_PASSIVE else None
    checks = import_checks(intent, world) if is_gateway else {GATEWAY: (gateway_check(known, world), MAX_PREFIXES)}
    world.rib.configure(checks, order, is_complete=known.is_complete or not is_gateway)
    rank = rib_module.rank_in_order(order) if order is not None else rib_module.rank
    if not world.routes.is_read:  # which prefixes fit under a limit depends on those that are installed
        return
    changed = world.rib.decide(rank, world.routes.installed.keys())
    _protect(intent, checks, world)
    if changed:
        world.routes.update(changed)
        world.protection.update(changed)
    _publish(intent, changed, world)


def _protect(intent: Intent, checks: Mapping[str, tuple[ImportCheck, int]], world: World) -> None:
    """What is to be protected: what tunnels bring, and of what they once brought, what they still might."""
    world.protection.exempting(is_wanted=intent.gateway.masquerade != Masquerade.OFF)
    if intent.gateway.leak_protection == LeakProtection.OFF:
        world.protection.protect(frozenset(), world.rib.best)
        world.protection.forget()
        return
    in_tunnel = frozenset(name for name in checks if name not in intent.peers or intent.peers[name].tunnel)
    world.protection.protect(in_tunnel, world.rib.best)
    if world.protection.memory and world.interfaces is not None:
        judges = [check for name, (check, _) in checks.items() if name in in_tunnel]
        if not intent.is_complete:  # some peer is not known, nor its policy
            judges.append(safe_check(intent, world))
        key = tuple(check.key for check in judges)
        world.protection.judge(lambda prefix: any(judge.refusal_of_prefix(prefix) is None for judge in judges), key)


def _publish(intent: Intent, changed: Decision, world: World) -> None:
    """What other nodes are told: all that is forwarded or protected here."""
    packing, protection, routes = world.packing, world.protection, world.routes
    spoken, protection.moved = protection.moved.union(*changed.values()), set()
    if world.role.part != Part.ACTIVE:
        packing.end()
        return
    if packing.begin(world.gateway, world.node, world.role.epoch):
        spoken = {*routes.desired, *protection.learned, *protection.remembered}
    fresh = packing.adopt()
    if fresh and intent.gateway.leak_protection != LeakProtection.OFF:  # the other nodes send it here
        protection.adopt(fresh)
    # What no tunnel would bring under our policy is not protected here, yet no peer has said that it is gone.
    spoken = {prefix for prefix in spoken if prefix not in protection.memory or prefix in protection.remembered}

    def is_wanted(prefix: Prefix) -> bool:
        return prefix in routes.desired or prefix in protection.learned or prefix in protection.remembered

    packing.update(spoken, is_wanted, may_remove=has_heard_all(world))


def _processes(tunnels: Mapping[str, TunnelPlan], mode: DataplaneMode | None, world: World) -> Rows:
    """What runs. Where a Lease decides, the kernel's charon does so also without tunnels: what it holds is seen."""
    rows: dict[str, object] = {SPEAKER: SPEAKER}
    if mode == DataplaneMode.KERNEL and world.role.part != Part.STANDALONE:
        rows[KERNEL_CHARON] = Charon(name=KERNEL_CHARON, mode=mode)
    if mode:
        rows |= {plan.charon.name: plan.charon for plan in tunnels.values()}
    return {name: row for name, row in rows.items() if not _has_to_end(name, world)}


def _esp_ports(tunnels: Mapping[str, TunnelPlan]) -> Rows:
    charons = {plan.charon for plan in tunnels.values() if plan.charon.mode == DataplaneMode.KERNEL}
    return {charon.nat_port: EspPort(port=charon.nat_port) for charon in charons}


def _has_to_end(name: str, world: World) -> bool:
    """Whether a program that we supervise is of no use any more; it is wanted again as soon as it has ended.

    A charon without its TUN device; a speaker that hangs, since when it ends its peers keep our routes for the restart
    time (RFC 4724), and when they have to give it up themselves, they drop them.
    """
    process = world.processes.get(name)
    if process is None or not process.is_running:
        return False
    speaker = world.speaker
    is_starting = speaker.since <= process.since and not process.is_adopted
    patience = STARTING_SECONDS if is_starting else HUNG_SECONDS
    hangs = not speaker.is_up and world.now - max(speaker.since, process.since) > patience
    return hangs if name == SPEAKER else name in world.lost_tuns


def _sysctls(tunnels: Mapping[str, TunnelPlan], intent: Intent, world: World) -> Rows:
    """Forwarding, L4 multipath hashing, and loose reverse-path filters (kernel ip-sysctl)."""
    rows: dict[object, object] = {"net.ipv4.fib_multipath_hash_policy": "1", "net.ipv4.nexthop_compat_mode": "0"}
    if _may_forward(world):
        rows[IP_FORWARD] = "1"
    if any(peer.peer_ip.version == 6 for peer in intent.peers.values()):
        rows["net.ipv6.fib_multipath_hash_policy"] = "1"
        if _may_forward(world):
            rows["net.ipv6.conf.all.forwarding"] = "1"
    for plan in tunnels.values():
        if plan.interface:
            base = f"net.ipv4.conf.{plan.interface}"
            # The answer may come back through the other tunnel; strict filters would drop it.
            rows |= {f"{base}.rp_filter": "2", f"{base}.accept_redirects": "0", f"{base}.send_redirects": "0"}
    return rows


def _may_forward(world: World) -> bool:
    """False until, after a start, all that is known to need it is protected."""
    return IP_FORWARD in world.written.get("sysctls", {}) or is_protected(world)


def is_protected(world: World) -> bool:
    """Whether all that is known to need it has backstop and guard. What does not work holds up nothing."""
    protection = world.protection
    is_guarded = protection.guard.is_settled or bool(world.filter_reason) or ("guard", "") in world.retries
    return protection.disk.is_read and protection.backstops.is_settled and not protection.unjudged and is_guarded


def _cluster_sysctls(links: Iterable[str], crossing: Crossing, world: World) -> Rows:
    return {} if world.role.part == Part.STANDALONE else crossing_sysctls(links, crossing, world)


def _nexthops(
    intent: Intent, world: World, tunnels: Mapping[str, TunnelPlan], able: Carriers, crossing: Crossing
) -> Rows:
    rows = crossing_nexthops(crossing, world)
    numbers = {**distinct_numbers(intent.peers), GATEWAY: stable_number(GATEWAY)}
    for name, peer in intent.peers.items():
        version = peer.peer_ip.version
        plan = tunnels.get(peer.tunnel) if peer.tunnel else None
        if peer.tunnel and plan is None:
            continue  # never over a link that happens to reach the address: that would be cleartext
        interface = plan.interface if plan else link_to(peer.peer_ip, world)
        observed_link = (world.interfaces or {}).get(interface or "")
        if observed_link is None or not observed_link.is_up:
            continue
        gateway = None if plan else peer.peer_ip
        number = nexthop_id(numbers[name], version)
        rows[number] = Nexthop(id=number, version=version, interface=interface, gateway=gateway)
    rows |= world.routes.groups(able, numbers)
    # Routes of an earlier run whose peers have not spoken yet keep what they point at.
    observed = world.nexthops or {}
    for number in world.routes.orphan_groups:
        group = observed.get(number)
        if isinstance(group, NexthopGroup):
            rows.setdefault(number, group)
            rows |= {member: observed[member] for member in group.members if member in observed and member not in rows}
    return dict(rows.items())
