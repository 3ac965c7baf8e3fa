"""What is wrong, in the order in which a person should look at it, with what to do."""

from collections.abc import Iterator

from ncgd.decision.crossing_report import problems_of_crossing
from ncgd.decision.desired import SPEAKER, Desired
from ncgd.decision.export_problems import export_problems
from ncgd.decision.masquerade import asked_before_us
from ncgd.decision.observed import observed
from ncgd.decision.role import problems_of_role
from ncgd.decision.sa_problems import IKE_HINTS, sa_problems
from ncgd.decision.sessions import passing
from ncgd.decision.world import MEDDLED, World
from ncgd.model import prefix as px
from ncgd.model.fib import METRIC, ForeignRoute
from ncgd.model.ike import DataplaneMode, StaleSa
from ncgd.model.masquerade import PRIORITY
from ncgd.model.reason import REFUSAL_TEXT, Refusal, SessionReason, TunnelReason
from ncgd.model.report import PeerReport, Problem, TunnelReport
from ncgd.model.role import Part
from ncgd.model.spec import Finding, Intent, LeakProtection, Masquerade
from ncgd.resources.agent_config import CONFIG_MAP

FIGHT_REPAIRS = 3
"""So many repairs without a minute's rest between them are a fight, not an accident."""
_PROTOCOLS = {2: "kernel", 3: "boot", 4: "static", 11: "zebra", 12: "bird", 16: "dhcp", 186: "bgp", 188: "ospf"}
"""Route protocols by number, as iproute2 names them."""
_TUNNEL_HINTS: dict[str, str] = {
    TunnelReason.CONNECTING: "check that UDP 500 and 4500 reach the peer, and that it knows our public address",
    TunnelReason.SA_DOWN: "check that UDP 500 and 4500 reach the peer, and that both ends hold the same key",
    TunnelReason.INTERFACE_DOWN: "ncgd sets it up again at its next pass",
    TunnelReason.NO_INTERFACE: "charon makes its TUN device when it starts: its log in the run directory says more",
    TunnelReason.NO_SESSION: "see the session's own problem; without one no prefix uses this tunnel",
    TunnelReason.ADDRESS_IN_USE: "free the address, or change localTunnelIP here and on the Cloud Router",
    TunnelReason.PATH_DEAD: "keys are installed, but nothing comes back: ESP is dropped, or the path is broken; ncgd "
    "sends through tunnels that answer, if there is one, goes on probing, and tries a new IKE SA now and then",
    TunnelReason.UPLINK_DOWN: "bring the link up, or the address back; ncgd then returns by itself",
    TunnelReason.NO_BIND_ADDRESS: "give the interface an address, or set bindAddress",
}

LARGE_LOST = 3
"""Large echoes lost in a row, one a second, that are told as a problem; small ones came through all the while."""
LOSSY = 0.1
"""Share of echoes lost that is told as a problem."""


def find_problems(
    world: World, desired: Desired, tunnels: tuple[TunnelReport, ...], peers: tuple[PeerReport, ...]
) -> tuple[Problem, ...]:
    """All problems, the root causes first; what merely follows from one is left out."""
    intent = world.intent or Intent()
    machine = tuple(_of_machine(world, desired))
    told = {problem.object for problem in machine}
    silent = {name for name, plan in desired.tunnels.items() if plan.charon.name not in told}
    return (
        *problems_of_role(world),
        *problems_of_crossing(world, desired.crossing),
        *machine,
        *_of_paths(world, desired, intent),
        *_of_probes(world, desired),
        *(_of_finding(finding) for finding in intent.findings),
        *sa_problems(world, desired),
        *_of_tunnels(world, tunnels, silent),
        *_of_peers(peers, _at_fault(tunnels), intent),
        *_of_rows(world, desired),
        *_of_others(world),
        *_of_protection(world, intent),
        *_of_exemption(world),
        *export_problems(desired.exports, world, intent),
        *_of_gateway(intent, world),
        *_of_status_port(world),
    )


def _of_machine(world: World, desired: Desired) -> Iterator[Problem]:
    if world.capability is not None and desired.dataplane.mode is None and world.role.part != Part.NODE:
        yield Problem(
            reason="DataplaneUnavailable",
            object="machine",
            message=desired.dataplane.reason,
            hint="grant CAP_NET_ADMIN and /dev/net/tun, load the kernel's esp4 and xfrm_interface modules, "
            "or install charon's kernel-libipsec plugin",
        )
    for name, process in sorted(world.processes.items()):
        if name in desired.tables["processes"] and not process.is_running and process.reason:
            yield Problem(
                reason="ProcessDown",
                object=name,
                message=f"{name} is not running: {process.reason}",
                hint="ncgd starts it again by itself, more slowly after each failure; its log is in the run directory",
            )
    if world.speaker.reason and not world.speaker.is_up and not _is_down(world, SPEAKER):
        yield Problem(
            reason="SpeakerUnreachable",
            object=SPEAKER,
            message=f"the BGP speaker does not answer: {world.speaker.reason}",
            hint="look at exabgp's log; sessions that are up go on forwarding meanwhile",
        )
    meanwhile = "SAs that are installed go on working meanwhile"
    if desired.dataplane.mode == DataplaneMode.USERSPACE:
        meanwhile = "ESP in userspace is part of it: the tunnel carries only while it runs"
    for name, view in sorted(world.charons.items()):
        if name in desired.tables["processes"] and not view.is_up and view.reason and not _is_down(world, name):
            yield Problem(
                reason="CharonUnreachable",
                object=name,
                message=f"the IKE daemon does not answer over VICI: {view.reason}",
                hint=f"look at charon's log; {meanwhile}",
            )


def _is_down(world: World, process: str) -> bool:
    view = world.processes.get(process)
    return view is not None and not view.is_running


def _of_finding(finding: Finding) -> Problem:
    field = f"{finding.field}: " if finding.field else ""
    return Problem(
        reason=finding.reason,
        object=finding.where,
        message=field + finding.message,
        hint=finding.hint,
        is_error=finding.is_error,
    )


def _of_paths(world: World, desired: Desired, intent: Intent) -> Iterator[Problem]:
    """Every data path is dead: one cause is likelier than many."""
    able = desired.carriers
    if not able.doubtful or passing(intent, world, able):
        return
    yield Problem(
        reason="NothingAnswers",
        object=str(intent.gateway.ref),
        message=f"no data path answers any more; traffic still goes, encrypted, to {', '.join(sorted(able.doubtful))}",
        hint="look for what all tunnels share: this machine's uplink, its NAT, a firewall that stops ESP or UDP 4500",
    )


def _of_probes(world: World, desired: Desired) -> Iterator[Problem]:
    """Data paths that answer, and are not whole all the same."""
    for name, plan in desired.tunnels.items():
        probed = world.probes.get(name)
        if probed is None or not probed.vitality.may_carry:
            continue
        if (probed.large_lost or 0) >= LARGE_LOST:
            yield Problem(
                reason="LargePacketsLost",
                object=str(plan.tunnel.ref),
                message="small echoes are answered, those as large as the MTU are not any more",
                hint="something on the way drops large packets: let fragments and ICMP through, or lower spec.mtu",
            )
        elif probed.vitality.strain >= LOSSY:
            yield Problem(
                reason="DataPathLossy",
                object=str(plan.tunnel.ref),
                message=f"about {probed.vitality.strain:.0%} of the echoes are lost",
                hint="the way there is full or faulty: compare the other tunnels, the uplink's load and its errors",
                is_error=False,
            )


def _of_tunnels(world: World, tunnels: tuple[TunnelReport, ...], silent: set[str]) -> Iterator[Problem]:
    """Tunnels that are not usable. What is told at its cause is left out; ``silent`` are those whose charon is not."""
    for tunnel in tunnels:
        if tunnel.is_usable or tunnel.reason == TunnelReason.NO_DATAPLANE:
            continue
        if tunnel.reason == TunnelReason.NO_CHARON and tunnel.ref.name not in silent:
            continue
        if tunnel.reason == TunnelReason.NO_INTERFACE and tunnel.interface:
            continue
        if tunnel.reason == TunnelReason.NO_SESSION and "no peer" not in tunnel.message:
            continue
        failure = world.ike_failures.get(tunnel.ref.name)
        is_ike = tunnel.reason in {TunnelReason.CONNECTING, TunnelReason.SA_DOWN}
        reason = failure.reason if failure and is_ike else tunnel.reason
        hint = IKE_HINTS.get(reason) or _TUNNEL_HINTS.get(tunnel.reason, "")
        yield Problem(reason=reason, object=str(tunnel.ref), message=tunnel.message, hint=hint)


def _at_fault(tunnels: tuple[TunnelReport, ...]) -> frozenset[str]:
    """Tunnels that are not usable for another reason than their sessions: these end with them."""
    return frozenset(row.ref.name for row in tunnels if not row.is_usable and row.reason != TunnelReason.NO_SESSION)


def _of_peers(peers: tuple[PeerReport, ...], at_fault: frozenset[str], intent: Intent) -> Iterator[Problem]:
    for peer in peers:
        if peer.reason in {SessionReason.CONNECTING, SessionReason.GRACEFUL} and peer.tunnel not in at_fault:
            yield Problem(
                reason="SessionDown",
                object=str(peer.ref),
                message=peer.message,
                hint=f"ping {peer.peer_ip} through the tunnel; compare both ASNs and link-local addresses with the "
                "Cloud Router's",
            )
        if peer.is_over_limit:
            limit = intent.peers[peer.ref.name].max_prefixes
            over = peer.refused.get(Refusal.PREFIX_LIMIT, 0)
            message = f"{over} prefixes beyond maxPrefixes {limit} are refused; what came first is kept"
            if not over:
                message = f"{peer.accepted} prefixes were accepted before maxPrefixes was {limit}; they are kept"
            yield Problem(
                reason=str(Refusal.PREFIX_LIMIT),
                object=str(peer.ref),
                message=message,
                hint="raise maxPrefixes, or have the peer aggregate",
            )
        for name, count in sorted(peer.refused.items()):
            if name != Refusal.PREFIX_LIMIT:
                noun = "prefixes are" if count > 1 else "prefix is"
                yield Problem(
                    reason=name,
                    object=str(peer.ref),
                    message=f"{count} received {noun} refused: {REFUSAL_TEXT[Refusal(name)]}",
                    hint=f"ncgctl explain {peer.ref.name}",
                    is_error=False,
                )
        if peer.reason == SessionReason.ESTABLISHED and not peer.received and peer.uptime_seconds > 10:
            yield Problem(
                reason="NothingReceived",
                object=str(peer.ref),
                message="the session is established, but the peer advertises nothing",
                hint="check the Cloud Router's advertisement mode and custom ranges",
            )


def _of_rows(world: World, desired: Desired) -> Iterator[Problem]:
    for (table, key), retry in sorted(world.retries.items(), key=lambda item: str(item[0])):
        if retry.text and _is_open(table, key, world, desired):
            yield Problem(
                reason="NotApplied",
                object=f"{table}/{key}",
                message=retry.text,
                hint=f"tried {retry.attempts} times; ncgd goes on trying",
            )
    if world.routes.failed:
        text = next(iter(world.routes.failed.values()))
        yield Problem(
            reason="RoutesNotInstalled",
            object="routes",
            message=f"{len(world.routes.failed)} routes could not be programmed, the first: {text}",
            hint="ncgd goes on trying; look for other programs that change routes",
        )


def _of_others(world: World) -> Iterator[Problem]:
    """What other programs do to our routes."""
    repair = world.retries.get(MEDDLED)
    if repair is not None and repair.attempts >= FIGHT_REPAIRS:
        yield Problem(
            reason="RoutesMeddled",
            object="routes",
            message=f"another program keeps changing our routes; they were put right {repair.attempts} times lately",
            hint="`ip monitor route` shows what it does; look for a routing daemon that removes what it does not know, "
            "and have it leave protocol 157 alone",
        )
    shadows = world.routes.shadows
    for prefix in sorted(shadows, key=px.sort_key)[:1]:
        others = f", and {len(shadows) - 1} more prefixes likewise" if len(shadows) > 1 else ""
        yield Problem(
            reason="RouteShadowed",
            object=f"routes/{px.text(prefix)}",
            message=f"{shadow_text(shadows[prefix])}, so its traffic does not take our tunnels{others}",
            hint="ncgd leaves what is not its own alone, and leakProtection lets nothing out where it leads: remove "
            "that route when traffic should take the tunnels",
            is_error=False,
        )


def _of_protection(world: World, intent: Intent) -> Iterator[Problem]:
    if intent.gateway.leak_protection == LeakProtection.OFF:
        return
    is_needed = bool(world.protection.learned or world.protection.memory)
    if is_needed and (text := world.filter_reason or _failure("guard", world)):
        yield Problem(
            reason="GuardNotApplied",
            object="nftables",
            message=f"nothing but routes keeps traffic from leaving in cleartext: {text}",
            hint="ncgd goes on trying; leakProtection: Off if that is as it should be",
        )
    if text := _failure("memory", world):
        yield Problem(
            reason="StateNotWritten",
            object="state",
            message=f"after a reboot, what was learned lately is not protected until the sessions are up: {text}",
            hint="make room, or give ncgd another --state-dir; ncgd goes on trying",
        )
    if world.flaw is not None:
        yield Problem(
            reason=world.flaw.reason,
            object="state",
            message=world.flaw.message,
            hint=world.flaw.hint,
            is_error=False,
        )


def _of_exemption(world: World) -> Iterator[Problem]:
    protection = world.protection
    is_needed = protection.is_exempting and (protection.learned or protection.plain or protection.remembered)
    if is_needed and (text := world.filter_reason or _failure("masquerade", world)):
        yield Problem(
            reason="ExemptionNotApplied",
            object="nftables",
            message=f"other programs may masquerade what pods send to the VPC: {text}",
            hint="ncgd goes on trying; masquerade: Off if that is as it should be",
        )
    if world.agent_flaw and world.intent and world.intent.gateway.masquerade == Masquerade.AGENT:
        yield Problem(
            reason="AgentConfigInvalid",
            object=f"ConfigMap/{CONFIG_MAP}",
            message=f"what was valid last stays in force: {world.agent_flaw}",
            hint="correct the ConfigMap; ncgd masquerades by it in ip-masq-agent's place",
            is_error=False,
        )
    for rule in asked_before_us(world) if protection.is_exempting else ():
        yield Problem(
            reason="TranslatedBefore",
            object="nftables",
            message=f"a rule that is asked before ours would translate what pods send to the VPC: {rule}",
            hint=f"give its chain a priority above {PRIORITY}, or exempt the learned prefixes there",
            is_error=False,
        )


def _failure(table: str, world: World) -> str:
    retry = world.retries.get((table, ""))
    return retry.text if retry else ""


def shadow_text(row: ForeignRoute) -> str:
    """Which route wins over ours."""
    protocol = _PROTOCOLS.get(row.protocol, f"protocol {row.protocol}")
    return f"another program's route ({protocol}, metric {row.metric}) wins over ours (metric {METRIC})"


def _is_open(table: str, key: object, world: World, desired: Desired) -> bool:
    """Whether a failed row is still to be done. What nobody wants any more is not tried again, and no problem."""
    if isinstance(key, StaleSa):
        charon = world.charons.get(key.charon)
        return charon is not None and key.ike_id in charon.ike_ids
    wanted, there = desired.tables.get(table, {}), observed(table, world)
    return table == "sas" or (key in wanted) != (key in there) or wanted.get(key) != there.get(key)


def _of_gateway(intent: Intent, world: World) -> Iterator[Problem]:
    if not world.role.is_gateway:
        return
    if world.intent is not None and not intent.peers:
        yield Problem(
            reason="NothingConfigured",
            object=str(intent.gateway.ref),
            message="there is no OverlayBGPPeer in force, so nothing is learned and nothing forwarded",
            hint="apply an OverlayVPNTunnel and an OverlayBGPPeer; see the findings above for refused ones",
        )


def _of_status_port(world: World) -> Iterator[Problem]:
    if (told := world.status_port) is not None and told.reason:
        address = f"[{told.address}]" if told.address.version == 6 else str(told.address)
        yield Problem(
            reason="StatusPortUnavailable",
            object=f"{address}:{told.port}",
            message=f"status page and metrics cannot be served there: {told.reason}",
            hint=f"see who has it (ss -Htlnp sport = :{told.port}), or give another --status-address; "
            "ncgd tries again, and ncgctl works all the same",
            is_error=False,
        )
