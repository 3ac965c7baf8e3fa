"""From an address on this side to one on the far side, and back: through this machine, and beyond."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from ncgd.decision.diagnosis.filtering import dropped
from ncgd.decision.diagnosis.step import Scene, Step, Taken, fine, found, wrong
from ncgd.decision.explain import covering_path
from ncgd.decision.export import exported
from ncgd.decision.masquerade import host_source, translators
from ncgd.model import prefix as px
from ncgd.model.chains import Packet
from ncgd.model.look import Echo, EchoAnswer, ForwardRules, NatRules, RouteAnswer, RouteOf, Setting, Walk, seen
from ncgd.model.masquerade import PRIORITY
from ncgd.model.prefix import Prefix
from ncgd.model.reason import REFUSAL_TEXT, Cause

FORWARD = "net.ipv4.ip_forward"
_STRICT = "1"


class Passage:
    """The steps of one passage; each tells what is wrong only if those before it are fine."""

    def __init__(self, source: IPv4Address | None, destination: IPv4Address, scene: Scene) -> None:
        """``source`` None: what this machine itself sends."""
        self._source, self._to, self._scene = source, destination, scene
        self._node = scene.world.node or "this node"
        intent, own = scene.intent, scene.world.own
        networks = [*intent.gateway.advertised_prefixes, *(each.prefix for each in own.ours)]
        self._host = host_source(scene.world, networks)

    def steps(self) -> Iterator[Taken]:
        """All of them, in order."""
        yield self._learned()
        yield self._routed()
        if self._source is not None and self._source != self._host:
            yield self._reached(self._source)
            yield self._forwarded()
            yield self._there(self._source)
            yield self._back(self._source)
            yield self._filtered(self._source)
            yield self._kept(self._source)
        if (source := self._source or self._host) is not None:
            if self._scene.world.role.is_gateway:
                yield self._advertised(source)
            yield self._answered(source)

    def _exits(self) -> list[str]:
        """Interfaces that lead to the far side: of the tunnels that carry, or on other nodes towards the gateway."""
        if self._scene.world.role.is_gateway:
            return [each.interface for each in self._scene.report.tunnels if each.is_usable]
        return sorted(each for each in self._scene.desired.exits if " " not in each)

    def _learned(self) -> Step:
        """Does anybody there say that it has the destination?"""
        world, to = self._scene.world, px.make(4, int(self._to), 32)
        prefix, refusal = covering_path(to, world)
        if prefix is not None and refusal is None:
            carriers = ", then ".join(" and ".join(tier) for tier in world.rib.best.get(prefix, ()))
            return fine("learned", str(self._to), f"{px.text(prefix)}, from {carriers}")
        if prefix is not None and refusal is not None:
            return wrong(
                "learned",
                str(self._to),
                str(refusal),
                f"{px.text(prefix)} was received, and is refused: {REFUSAL_TEXT[refusal]}",
                f"ncgctl explain {px.text(prefix)}; see spec.importPolicy",
            )
        return wrong(
            "learned",
            str(self._to),
            str(Cause.NO_PATH),
            "no peer advertises a prefix that holds it",
            "have the Cloud Router advertise its subnet (custom ranges, or all subnets); or the address is wrong",
        )

    def _routed(self) -> Walk[Step]:
        """Does the kernel send it into a tunnel (on other nodes: to the gateway)?"""
        if problem := self._scene.told("RoutesNotInstalled", "RouteShadowed"):
            return found("route", self._node, problem)
        answer = yield from seen(RouteOf(self._to))
        return self._judged("route", answer, f"what goes to {self._to}")

    def _judged(self, name: str, answer: RouteAnswer, what: str) -> Step:
        way, exits = answer.way, self._scene.desired.exits
        if way is not None and (way.interface in exits or f"via {way.gateway}" in exits):
            return fine(name, self._node, f"{what} leaves by {way.interface}")
        to = f"by {way.interface}" if way else answer.refusal or "to this machine itself"
        return wrong(
            name,
            self._node,
            str(Cause.ELSEWHERE),
            f"{what} does not go to a tunnel: {to}",
            "ip rule and ip route show table all: another program's rule or table is asked before ours"
            if way
            else "no tunnel carries it now; see ncgctl status",
        )

    def _reached(self, source: IPv4Address) -> Walk[Step]:
        """Does this machine know where the source is?"""
        answer = yield from seen(RouteOf(source))
        way = answer.way
        if way is not None and way.length > 0 and way.interface not in self._exits():
            via = f" via {way.gateway}" if way.gateway else ""
            return fine("source", str(source), f"behind {way.interface}{via}")
        where = f"it would be sent out of {way.interface}" if way else answer.refusal or "it is this machine's own"
        return wrong(
            "source",
            str(source),
            str(Cause.SOURCE_UNKNOWN),
            f"this node has no route to it but a default one, if any: {where}",
            "check the address (kubectl get pod -o wide), and that it is on this node, or that the CNI routes it there",
            is_error=way is None or way.interface in self._exits(),
        )

    def _forwarded(self) -> Walk[Step]:
        value = yield from seen(Setting(FORWARD))
        if value == "1":
            return fine("forwarding", self._node, f"{FORWARD} = 1")
        is_ours = FORWARD in self._scene.world.written.get("sysctls", {})
        todo = f"sysctl -w {FORWARD}=1, and see who turned it off: ncgd had turned it on"
        if not is_ours:
            todo = "ncgd turns it on once everything is protected; see what status says it waits for"
        saw = f"{FORWARD} is {value or 'not there'}: nothing passes through this machine"
        return wrong("forwarding", self._node, str(Cause.FORWARDING_OFF), saw, todo)

    def _there(self, source: IPv4Address) -> Walk[Step]:
        """What the kernel says of a packet that comes in from the source."""
        near = yield from seen(RouteOf(source))
        if near.way is None:
            return fine("way there", self._node, "cannot be looked up")
        return (yield from self._passed("way there", source, self._to, near.way.interface))

    def _back(self, source: IPv4Address) -> Walk[Step]:
        """The same for the answer, whichever tunnel it comes out of."""
        step = fine("way back", self._node, "cannot be looked up")
        for interface in self._exits():
            step = yield from self._passed("way back", self._to, source, interface)
            if step.problem:
                break
        return step

    def _passed(self, name: str, source: IPv4Address, destination: IPv4Address, interface: str) -> Walk[Step]:
        answer = yield from seen(RouteOf(destination, source=source, interface=interface))
        what = f"what {source} sends to {destination}, and comes in by {interface}"
        if answer.way is not None or answer.is_local:
            by = f"leaves by {answer.way.interface}" if answer.way else "is for this machine itself"
            if name == "way there":
                return self._judged(name, answer, what)
            return fine(name, self._node, f"{what}, {by}")
        for scope in (interface, "all"):
            key = f"net.ipv4.conf.{scope}.rp_filter"
            value = yield from seen(Setting(key))
            if value == _STRICT:
                return wrong(
                    name,
                    self._node,
                    str(Cause.REVERSE_PATH),
                    f"{what}, is dropped: {key} is 1, and answers would leave by another interface",
                    f"sysctl -w net.ipv4.conf.{interface}.rp_filter=2 (loose), and see who sets it: sysctl.d, a CNI",
                )
        key = f"net.ipv4.conf.{interface}.forwarding"
        value = yield from seen(Setting(key))
        if value == "0":
            return wrong(
                name, self._node, str(Cause.FORWARDING_OFF), f"{what}, is dropped: {key} is 0", f"sysctl -w {key}=1"
            )
        return wrong(
            name,
            self._node,
            str(Cause.ELSEWHERE),
            f"{what}, is dropped: {answer.refusal}",
            "ip rule and ip route show table all: a rule for that source, or an unreachable route",
        )

    def _filtered(self, source: IPv4Address) -> Walk[Step]:
        """Do other programs' packet filters let it pass, and the answer?"""
        rules = yield from seen(ForwardRules())
        near, far = (yield from seen(RouteOf(source))).way, (yield from seen(RouteOf(self._to))).way
        there = Packet(
            source=px.make(4, int(source), 32),
            destination=px.make(4, int(self._to), 32),
            iif=near.interface if near else None,
            oif=far.interface if far else None,
            state="new",
        )
        back = Packet(
            source=there.destination,
            destination=px.make(4, int(source), 32),
            iif=there.oif,
            oif=there.iif,
            state="established",
        )
        drops = [
            (what, drop)
            for what, packet in ((f"what {source} sends to {self._to}", there), (f"what {self._to} answers", back))
            if (drop := dropped(rules.chains, packet)) is not None
        ]
        if not drops:
            count = len([chain for chain in rules.chains if chain.priority is not None])
            unread = f"; not read: {rules.unread}" if rules.unread else ""
            return fine("firewall", self._node, f"{count} chains of others at forward, none drops it{unread}")
        what, drop = next((each for each in drops if not each[1].unless), drops[0])
        unless = f", unless {drop.unless}" if drop.unless else ""
        return wrong(
            "firewall",
            self._node,
            str(Cause.FORWARD_DROPPED),
            f"{what} is dropped by {drop.where}{unless}",
            f"let it pass there, and the reverse: iptables -I FORWARD -i {there.iif} -o {there.oif} -j ACCEPT (where "
            "Docker has set FORWARD to drop, in its chain DOCKER-USER)",
            is_error=not drop.unless,
        )

    def _kept(self, source: IPv4Address) -> Walk[Step]:
        """Does it keep its source address?"""
        rules = yield from seen(NatRules())
        to, exempt = px.make(4, int(self._to), 32), self._scene.world.protection.exempt.held
        is_exempt = self._scene.world.protection.is_exempting and any(each in exempt for each in px.covering(to))
        hits = [text for priority, text in translators(rules.chains, {to}) if not is_exempt or priority <= PRIORITY]
        answer = yield from seen(Echo(source=source, destination=self._to))
        if answer.left_as is None and answer.failure:
            return wrong(
                "source address",
                self._node,
                str(Cause.FORWARD_DROPPED),
                f"nothing can be sent there in the name of {source}: {answer.failure}",
                "look for a packet filter at output: nft list ruleset",
            )
        if answer.left_as in {None, source}:
            if hits and answer.left_as is None:
                return self._translated(hits[0], is_error=False)
            kept = f"leaves by {answer.left_by} as {source}" if answer.left_as else "nobody would translate it"
            return fine("source address", self._node, kept)
        because = f" ({hits[0]})" if hits else ""
        return self._translated(f"what {source} sends leaves by {answer.left_by} as {answer.left_as}{because}")

    def _translated(self, saw: str, *, is_error: bool = True) -> Step:
        todo = f"exempt {self._to} there, or give that chain a priority above {PRIORITY}: ncgd's is then asked before"
        if not self._scene.world.protection.is_exempting:
            todo = f"set spec.masquerade to Exempt, or exempt {self._to} there"
        return wrong("source address", self._node, str(Cause.TRANSLATED), saw, todo, is_error=is_error)

    def _advertised(self, source: IPv4Address) -> Step:
        """Was the far side told where the source is?"""
        intent, own = self._scene.intent, self._scene.world.own
        address = px.make(4, int(source), 32)
        peers = [peer for peer in intent.peers.values() if peer.peer_ip.version == 4]
        told = {peer.name: _covering(address, exported(intent, own, peer)) for peer in peers}
        if peers and all(told.values()):
            by = ", ".join(sorted({px.text(each) for each in told.values() if each is not None}))
            return fine("advertised", str(source), f"{by}, to {', '.join(sorted(told))}")
        lacking = [name for name, prefix in told.items() if prefix is None]
        row = next((row for row in self._scene.report.exports if px.covers(px.parse(row.prefix), address)), None)
        because = f" ({row.prefix}: {row.reason}: {row.message})" if row else ""
        return wrong(
            "advertised",
            str(source),
            str(Cause.NOT_ADVERTISED),
            f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} told of no prefix that holds {source}, so "
            f"nothing is sent back to it{because}",
            "add its network to spec.advertisedPrefixes of the NetworkConnectivityGateway; see exportPolicy too",
            is_error=len(lacking) == len(told),
        )

    def _answered(self, source: IPv4Address) -> Walk[Step]:
        """Does anything come back?"""
        to, host = self._to, self._host
        answer = yield from seen(Echo(source=source, destination=to))
        if answer.came_by:
            return (yield from self._handed_on(source, answer))
        if answer.unseen:
            return fine("answer", str(to), f"not tried: {answer.unseen}")
        went = f"an echo request left by {answer.left_by or 'nowhere'}, and nothing came back"
        if host is not None and host != source:
            nodes = yield from seen(Echo(source=host, destination=to))
            if nodes.came_by:
                return wrong(
                    "answer",
                    str(to),
                    str(Cause.POD_CANNOT),
                    f"it answers this node ({host}), and not {source}: {went}",
                    f"the far side treats {source} differently: allow its network in the VPC's firewall (ingress), and "
                    "see that the Cloud Router has learned its prefix and no other route takes it elsewhere",
                )
        for plan in self._scene.desired.tunnels.values():
            peers = [peer for peer in self._scene.intent.peers.values() if peer.tunnel == plan.tunnel.name]
            if plan.interface != answer.left_by or not peers or not isinstance(peers[0].peer_ip, IPv4Address):
                continue
            router = peers[0].peer_ip
            routers = yield from seen(Echo(source=source, destination=router))
            ours = yield from seen(Echo(source=plan.tunnel.local_tunnel_ip, destination=router))
            if ours.came_by and not routers.came_by:
                return wrong(
                    "answer",
                    str(to),
                    str(Cause.NO_WAY_BACK),
                    f"{went}; the far end of {plan.tunnel.name} ({router}) answers {plan.tunnel.local_tunnel_ip}, and "
                    f"not {source}: it has no way back to it",
                    "see that the Cloud Router has learned its prefix (gcloud compute routers get-status), "
                    "that its import policy takes it, and that no other route of the VPC holds it",
                )
        return wrong(
            "answer",
            str(to),
            str(Cause.SILENT),
            f"{went}; everything up to the tunnel's far end is fine",
            f"see that {to} runs, that its own firewall and the VPC's let ICMP from {source} in, and that the subnet's "
            "route is in the VPC",
        )

    def _handed_on(self, source: IPv4Address, answer: EchoAnswer) -> Walk[Step]:
        """The far side answers; does the answer get to the source?"""
        saw = f"it answers {source} in {answer.milliseconds:.0f} ms: out by {answer.left_by}, back by {answer.came_by}"
        if source == self._host:
            return fine("answer", str(self._to), saw)
        near = (yield from seen(RouteOf(source))).way
        if near is None or answer.passed_on:
            on = f", and on by {answer.passed_on}" if answer.passed_on else ""
            return fine("answer", str(self._to), saw + on)
        lost = f"the far side answers, but the answer came in by {answer.came_by} and did not leave by {near.interface}"
        if self._host is not None and not (yield from seen(Echo(source=self._host, destination=source))).came_by:
            todo = f"nobody is there: ip neigh show dev {near.interface}; is it up, and on this node?"
            return wrong("answer", str(source), str(Cause.SOURCE_SILENT), lost, todo)
        todo = "a packet filter of this node drops what comes back: nft list ruleset"
        return wrong("answer", str(source), str(Cause.FORWARD_DROPPED), lost, todo)


def _covering(address: Prefix, prefixes: list[Prefix]) -> Prefix | None:
    known = set(prefixes)
    return next((each for each in px.covering(address) if each in known), None)
