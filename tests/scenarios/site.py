"""A site in a value: the kernel, charon and the speaker as tables that do what a plan says, and answer with events.

It runs the same pure functions as the daemon's loop, without a socket or a clock, so that a whole life of a gateway
takes milliseconds. It obeys the rules of the real tables (a route needs its group, a group its members, a session
its tunnel) and fails the test when a plan breaks them. The integration tests hold the real things to the same rules.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from ipaddress import IPv4Address

from ncgd.decision.conditions import with_conditions
from ncgd.decision.desired import Desired, desired_state
from ncgd.decision.failover import watched
from ncgd.decision.fold import fold
from ncgd.decision.protection import FORGET_SECONDS, SAVE_SECONDS
from ncgd.decision.status import report
from ncgd.decision.world import World
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes, Neighbor, Origin
from ncgd.model.capability import Capability
from ncgd.model.delta import Outcome
from ncgd.model.fib import Address, AddressKey, Interface, Link, Nexthop, NexthopGroup, Way
from ncgd.model.flaw import Flaw
from ncgd.model.ike import Connection, Repair, SaState, StaleSa, TunnelSa
from ncgd.model.masquerade import AgentRules, Extra
from ncgd.model.masquerade_event import AgentRulesRead, ExemptionRead
from ncgd.model.prefix import IPAddress, Prefix
from ncgd.model.probe import Probe, ProbeReport, Pulse, Vitality
from ncgd.model.report import Report
from ncgd.model.role import STANDALONE, Role
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Gateway, Intent, Masquerade
from ncgd.plan.plan import Plan, RouteStep, Step, make_plan
from tests.scenarios.resources import peer, tunnel

VPC = px.parse("10.128.0.0/20")
PODS = px.parse("10.10.0.0/24")
ON_LINK = Way(interface="eth0", source=IPv4Address("192.168.100.2"), length=24)
CAPABLE = Capability(kernel_esp=True, kernel_detail="probed", userspace_esp=True, userspace_detail="")


def attributes(med: int = 100, path: tuple[int, ...] = (64512,)) -> Attributes:
    """What a Cloud Router sends."""
    return Attributes(as_path=path, as_path_length=len(path), origin=Origin.INCOMPLETE, med=med)


def ha_vpn(**gateway: object) -> Intent:
    """Two tunnels, two peers, the pod network advertised."""
    return Intent(
        gateway=replace(Gateway(advertised_prefixes=(PODS,)), **gateway),  # type: ignore[arg-type]
        tunnels={f"tunnel-{n}": tunnel(n) for n in (1, 2)},
        peers={f"peer-{n}": peer(n) for n in (1, 2)},
    )


class Site:
    """The outside, and the ncgd that looks at it."""

    def __init__(self, intent: Intent, capability: Capability = CAPABLE, role: Role = STANDALONE) -> None:
        self.now, self.intent, self.capability = 0.0, intent, capability
        self.role = role
        """What ncgd starts with; whoever shares a gateway starts undecided."""
        self.interfaces: dict[str, Interface] = {
            "eth0": Interface(index=2, name="eth0", kind="", mtu=1500, is_up=True, addresses=("192.168.100.2/24",))
        }
        self.nexthops: dict[int, Nexthop | NexthopGroup] = {}
        self.routes: dict[Prefix, int] = {}
        self.backstops: set[Prefix] = set()
        self.guard: set[Prefix | str] = set()
        """Prefixes that leave only by the interfaces that are also in it."""
        self.exempt: set[object] = set()
        """Prefixes towards which nobody masquerades, and the networks of ours that are reached from there."""
        self.agent: AgentRules | None = None
        """What is masqueraded in ip-masq-agent's place."""
        self.disk: set[Prefix] = set()
        self.flaw: Flaw | None = None
        self.failing: dict[str, str] = {}
        """Why writes of a table fail, while they do."""
        self.connections: dict[str, Connection] = {}
        self.sas: dict[str, TunnelSa] = {}
        self.esp: frozenset[int] = frozenset()
        self.unreachable: set[str] = set()
        self.probes: dict[str, Probe] = {}
        self.pulses: dict[str, Vitality] = {}
        """What the probe finds; a tunnel that is not named here has never answered."""
        self.is_probe_mute = False
        self.neighbors: dict[str, Neighbor] = {}
        self.sent: dict[str, dict[Prefix, Attributes]] = {}
        self.slices, self.damaged = dict[str, RouteSlice](), set[str]()
        """What the API server holds; several sites may share it. And names of what cannot be understood."""
        self.ways: dict[IPAddress, Way | None] = {}
        """How the kernel would send to other nodes; those that are not named here are on the link of eth0."""
        self.asked: set[IPAddress] = set()
        self.plans: list[Plan] = []
        self._ike_ids, self._indexes = 0, 10
        self.world = World()
        self.desired: Desired | None = None
        self.start(intent)

    def start(self, intent: Intent | None, *, in_a_hurry: bool = False) -> None:
        """A new ncgd meets the outside, perhaps but the resources; ``in_a_hurry`` it makes a pass after each event."""
        self.world = World(started=self.now, now=self.now, node="node-1", role=self.role)
        self.intent = intent or self.intent
        for event in (
            *([ev.IntentRead(intent=intent)] if intent else ()),
            ev.CapabilityProbed(capability=self.capability),
            ev.PrefixesRemembered(prefixes=frozenset(self.disk), flaw=self.flaw),
            self.guard_as_it_is(),
            self.exemption_as_it_is(),
            AgentRulesRead(rules=self.agent),
            ev.InterfacesRead(interfaces=dict(self.interfaces)),
            ev.NexthopsRead(nexthops=dict(self.nexthops)),
            ev.RoutesRead(routes=dict(self.routes), backstops=frozenset(self.backstops)),
        ):
            self._tell(event)
            if in_a_hurry:
                self.one_pass()

    def guard_as_it_is(self) -> ev.GuardRead:
        """What a reading of nftables shows."""
        exits = frozenset(row for row in self.guard if isinstance(row, str))
        return ev.GuardRead(prefixes=frozenset(row for row in self.guard if not isinstance(row, str)), exits=exits)

    def exemption_as_it_is(self) -> ExemptionRead:
        """What a reading of nftables shows."""
        own = frozenset(row for row in self.exempt if isinstance(row, Extra))
        return ExemptionRead(prefixes=frozenset(Prefix(row) for row in self.exempt if isinstance(row, int)), own=own)

    def reboot(self, intent: Intent | None) -> None:
        """The machine starts anew: nothing is left but the disk."""
        for name in [name for name in self.interfaces if name != "eth0"]:
            del self.interfaces[name]
        for table in (self.nexthops, self.routes, self.backstops, self.guard, self.exempt, self.sas, self.neighbors):
            table.clear()
        self.start(intent)

    def charon_answers(self) -> None:
        """VICI comes up, with the SAs that are there."""
        self._tell(ev.CharonUp(charon="charon", version="5.9.8"), ev.SasRead(charon="charon", sas=dict(self.sas)))

    def kill_charon(self) -> None:
        """charon dies without a word and another starts: what the kernel has been given stays in the kernel."""
        self.esp = frozenset(row.if_id for row in self.connections.values() if row.tunnel in self.sas and row.if_id)
        self._tell(ev.EspRead(if_ids=self.esp), ev.CharonLost(charon="charon", reason="killed"))
        self.now += 0.2
        self.sas, self.connections = {}, {}
        self.charon_answers()

    def speaker_answers(self) -> None:
        """The bridge comes up, with the sessions and tables that are there."""
        self._tell(ev.SpeakerUp(version="5.0.15", neighbors=frozenset(self.neighbors)))
        for name in list(self.neighbors):
            self._tell(ev.SessionUp(peer=name, restart_seconds=120))
            paths = dict(self.sent.get(name, {}))
            self._tell(ev.AdjRibInRead(peer=name, paths=paths, families_ended=frozenset({4})))
        self._tell(ev.SpeakerRead())

    def peer_sends(self, name: str, *prefixes: Prefix, med: int = 100) -> None:
        """What a peer advertises from now on, once its session is up."""
        self.sent.setdefault(name, {}).update(dict.fromkeys(prefixes, attributes(med)))
        if name in self.neighbors:
            self._tell(ev.PathsLearned(peer=name, attributes=attributes(med), prefixes=prefixes))

    def lose_sa(self, name: str) -> None:
        """The tunnel's SAs are gone, and its peer answers no more."""
        self.unreachable.add(name)
        self.sas.pop(name, None)
        self._tell(ev.SasRead(charon="charon", sas=dict(self.sas)))

    def probe_finds(self, **pulses: Pulse) -> None:
        """``tunnel_1=Pulse.DEAD``: the pulse of a tunnel turns."""
        for name, pulse in pulses.items():
            self.pulses[name.replace("_", "-")] = Vitality(pulse=pulse, since=self.now)
        self._tell_pulses()

    def reads_slices(self) -> None:
        """The API server tells what it holds."""
        self._tell(ev.SlicesRead(slices=dict(self.slices), damaged=frozenset(self.damaged - self.slices.keys())))

    def tell(self, *events: ev.Event) -> None:
        """Something happens."""
        self._tell(*events)

    def settle(self, passes: int = 30) -> None:
        """Passes until nothing is left to do; fails the test when that never happens."""
        for _ in range(passes):
            if not self.one_pass().steps:
                return
        raise AssertionError(f"still busy: {self.plans[-1]}")

    def after(self, seconds: float) -> None:
        """Time passes, with a heartbeat at its end."""
        self.now += seconds
        self.settle()

    def saved(self) -> set[Prefix]:
        """What is on disk once there was time to write it."""
        for seconds in (2 * SAVE_SECONDS, FORGET_SECONDS, 2 * SAVE_SECONDS):
            self.after(seconds)
        return self.disk

    def protects(self, prefix: Prefix) -> tuple[bool, bool]:
        """Whether there are backstop and guard."""
        return prefix in self.backstops, prefix in self.guard

    def one_pass(self) -> Plan:
        """One turn of the loop."""
        self.world = replace(self.world, heard=self.now)
        self.now += 0.01
        self._tell(ev.Ticked())
        self.desired = desired_state(self.world)
        self.world = watched(self.world, self.desired)
        plan = make_plan(self.world, self.desired)
        self.plans.append(plan)
        for step in plan.steps:
            if isinstance(step, RouteStep):
                self._program(step)
            else:
                self._write(step)
        return plan

    def report(self) -> Report:
        """What a user would be shown now."""
        world = deepcopy(self.world)  # to plan is to begin: what is planned is not planned again until it is done
        desired = desired_state(world)
        bare = report(world, desired, make_plan(world, desired).held)
        return with_conditions(bare, world.intent or Intent(), None, "2026-11-21T03:00:00Z")

    def carries(self, prefix: Prefix) -> set[str]:
        """The interfaces that the kernel would send a prefix out of now; empty when it drops."""
        group = self.nexthops[self.routes[prefix]]
        assert isinstance(group, NexthopGroup)
        members = [self.nexthops[member] for member in group.members]
        return {hop.interface for hop in members if isinstance(hop, Nexthop) and hop.interface}

    def _tell(self, *events: ev.Event) -> None:
        for event in events:
            self.world = fold(self.world, event, self.now)

    def _write(self, step: Step) -> None:
        rows, removed = step.delta.set, step.delta.remove
        if not (why := self.failing.get(step.table)):
            getattr(self, f"_write_{step.table}", lambda *_: None)(rows, removed)
        outcome: Outcome[object] = Outcome(dict.fromkeys((*rows, *removed), why) if why else {})
        times = {"begun": self.now, "ended": self.now}
        self._tell(ev.TableWritten(table=step.table, set=rows, removed=removed, outcome=outcome, **times))
        if step.table in {"links", "addresses"} and not why:
            self._tell(ev.InterfacesRead(interfaces=dict(self.interfaces)))
        if step.table == "nexthops" and not why:
            self._tell(ev.NexthopsRead(nexthops=dict(self.nexthops)))

    def _write_links(self, rows: Mapping[str, Link], removed: frozenset[str]) -> None:
        for name, link in rows.items():
            if name in self.interfaces:
                self.interfaces[name] = replace(self.interfaces[name], mtu=link.mtu, is_up=link.is_up)
                continue
            self._indexes += 1
            made = Interface(index=self._indexes, name=name, kind=str(link.kind), mtu=link.mtu, is_up=True)
            self.interfaces[name] = replace(made, if_id=link.if_id, vxlan=link.vxlan)
        for name in removed:
            del self.interfaces[name]

    def _write_addresses(self, rows: Mapping[AddressKey, Address], removed: frozenset[AddressKey]) -> None:
        for key, row in rows.items():
            device = self.interfaces[key.interface]
            text = f"{key.address}/{row.length}"
            if text not in device.addresses:
                self.interfaces[key.interface] = replace(device, addresses=(*device.addresses, text))
        for key in removed:
            device = self.interfaces[key.interface]
            kept = tuple(text for text in device.addresses if not text.startswith(f"{key.address}/"))
            self.interfaces[key.interface] = replace(device, addresses=kept)

    def _write_connections(self, rows: Mapping[str, Connection], removed: frozenset[str]) -> None:
        self.connections |= rows
        for name in removed:
            del self.connections[name]

    def _write_sas(self, rows: Mapping[str | Repair, Connection], removed: frozenset[StaleSa]) -> None:
        for key, connection in rows.items():
            name = key.tunnel if isinstance(key, Repair) else key
            assert self.connections[name] == connection, "initiated before it was loaded"
            if name in self.unreachable:
                continue
            self._ike_ids += 1
            old = self.sas.get(name)
            stale = (old.ike_id, *old.stale_ike_ids) if old else ()
            self.sas[name] = TunnelSa(
                tunnel=name,
                state=SaState.INSTALLED,
                digest=connection.digest,
                ike_id=str(self._ike_ids),
                stale_ike_ids=stale,
            )
        for gone in removed:
            for name, sa in list(self.sas.items()):
                if gone.ike_id == sa.ike_id:
                    del self.sas[name]
                elif gone.ike_id in sa.stale_ike_ids:
                    left = tuple(ike_id for ike_id in sa.stale_ike_ids if ike_id != gone.ike_id)
                    self.sas[name] = replace(sa, stale_ike_ids=left)
        self._tell(ev.SasRead(charon="charon", sas=dict(self.sas)))

    def _write_nexthops(self, rows: Mapping[int, Nexthop | NexthopGroup], removed: frozenset[int]) -> None:
        self.nexthops |= rows
        for number in removed:
            assert number not in self.routes.values(), "removed a group that routes use: they would vanish"
            del self.nexthops[number]
        for row in self.nexthops.values():
            if isinstance(row, NexthopGroup):
                assert row.members, "an empty group"
                assert set(row.members) <= self.nexthops.keys(), "a group without its members"

    def _write_probes(self, rows: Mapping[str, Probe], removed: frozenset[str]) -> None:
        self.probes = {name: row for name, row in {**self.probes, **rows}.items() if name not in removed}
        self._tell_pulses()

    def unmute_probe(self) -> None:
        """The prober says what it knows."""
        self.is_probe_mute = False
        self._tell_pulses()

    def _tell_pulses(self) -> None:
        if self.is_probe_mute:
            return
        found = {name: ProbeReport(vitality=self.pulses.get(name, Vitality())) for name in self.probes}
        self._tell(ev.ProbesRead(probes=found))

    def _write_neighbors(self, rows: Mapping[str, Neighbor], removed: frozenset[str]) -> None:
        for name in removed:
            del self.neighbors[name]
            self._tell(ev.SessionDown(peer=name, reason="removed"))
        for name, neighbor in rows.items():
            is_new = name not in self.neighbors
            self.neighbors[name] = neighbor
            if is_new:
                self._tell(ev.SessionUp(peer=name, restart_seconds=120))
                for prefix, path in self.sent.get(name, {}).items():
                    self._tell(ev.PathsLearned(peer=name, attributes=path, prefixes=(prefix,)))
                self._tell(ev.EndOfRib(peer=name, version=4))

    def _write_ways(self, rows: Mapping[IPAddress, None], removed: frozenset[IPAddress]) -> None:
        self.asked = (self.asked | rows.keys()) - removed
        self.look()

    def look(self) -> None:
        """The kernel answers how it would send to the addresses that it is asked for."""
        self._tell(ev.WaysRead(ways={address: self.ways.get(address, ON_LINK) for address in self.asked}))

    def _write_slices(self, rows: Mapping[str, RouteSlice], removed: frozenset[str]) -> None:
        self.slices |= rows
        for name in removed:
            del self.slices[name]
        self.reads_slices()

    def _write_guard(self, rows: Mapping[Prefix | str, None], removed: frozenset[Prefix | str]) -> None:
        assert not [row for row in removed & self.routes.keys() if row not in self.world.routes.desired], (
            "the guard goes before the route"
        )
        assert "lo" not in removed or not self.guard - removed, "tunnels are closed while prefixes are guarded"
        self.guard |= rows.keys()
        self.guard -= removed

    def _write_masquerade(self, rows: Mapping[object, None], removed: frozenset[object]) -> None:
        is_off = self.world.intent and self.world.intent.gateway.masquerade == Masquerade.OFF
        assert is_off or not removed & self.routes.keys() & self.world.routes.desired.keys(), "it is routed still"
        self.exempt |= rows.keys()
        self.exempt -= removed

    def _write_agent(self, rows: Mapping[str, AgentRules], _: object) -> None:
        self.agent = next(iter(rows.values()), None)

    def _write_memory(self, rows: Mapping[Prefix, None], removed: frozenset[Prefix]) -> None:
        self.disk |= rows.keys()
        self.disk -= removed

    def _program(self, step: RouteStep) -> None:
        for prefix, group in step.change.routes.items():
            if group is None:
                self.routes.pop(prefix, None)
            else:
                assert group in self.nexthops, "a route to a group that does not exist"
                self.routes[prefix] = group
        for prefix, guard in step.change.backstops.items():
            (self.backstops.add if guard else self.backstops.discard)(prefix)
        self._tell(ev.RoutesWritten(change=step.change, outcome=Outcome()))


def healthy_site(intent: Intent | None = None) -> Site:
    """A site whose two tunnels are up and whose VPC prefix is learned from both peers."""
    site = Site(intent or ha_vpn())
    for name in site.intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    return site
