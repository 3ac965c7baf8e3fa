"""A cluster of namespaces: a node with a pod, two gateway nodes, a VM behind both, and a router that must see nothing.

On each node runs ncgd's own loop with the real kernel and nftables drivers; what the API server and BGP would tell it,
the test does.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from ncgd.daemon.charons import CharonDriver, Charons
from ncgd.daemon.loop import Loop
from ncgd.daemon.mailbox import Mailbox
from ncgd.daemon.processes import Processes
from ncgd.daemon.roster import Roster
from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.nftables.watch import Watch
from ncgd.drivers.port import OwnedTable
from ncgd.drivers.statefile.table import GuardedPrefixes
from ncgd.model import prefix as px
from ncgd.model.capability import Capability
from ncgd.model.event import CapabilityProbed, Event, IntentRead, RoleChanged, SlicesRead
from ncgd.model.ike import Charon
from ncgd.model.prefix import Prefix
from ncgd.model.reason import RoleReason
from ncgd.model.report import Report
from ncgd.model.role import Part, Role
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Gateway, Intent, NodeTransport
from tests.integration.netns import Namespace, until, veth

VPC, VM = px.parse("10.128.0.0/20"), "10.128.0.9"
POD, PODS = "10.244.1.5", "10.244.1.0/24"
NO_ESP = Capability(kernel_esp=False, kernel_detail="not asked for", userspace_esp=False, userspace_detail="")


class Ncgd:
    """ncgd's loop in a namespace, in a thread of its own; ends with the ``with``."""

    def __init__(self, space: Namespace, folder: Path, transport: NodeTransport) -> None:
        self.space, self.folder = space, folder
        self.intent = Intent(gateway=Gateway(node_transport=transport))
        self._ready = threading.Event()

    def __enter__(self) -> "Ncgd":
        self._thread = threading.Thread(target=self.space.call, args=(lambda: asyncio.run(self._main()),))
        self._thread.start()
        assert self._ready.wait(10)
        self.tell(IntentRead(intent=self.intent), CapabilityProbed(capability=NO_ESP))
        return self

    def __exit__(self, *_: object) -> None:
        self._asyncio.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    @property
    def report(self) -> Report | None:
        """What the last pass reported."""
        return self._loop.state.report

    def tell(self, *events: Event) -> None:
        """What the API server says."""
        for event in events:
            self._asyncio.call_soon_threadsafe(self._mailbox.post, event)

    async def _main(self) -> None:
        self._asyncio, self._end, self._mailbox = asyncio.get_running_loop(), asyncio.Event(), Mailbox()
        post = self._mailbox.post
        kernel, nft, memory = Kernel(post), Nft(), GuardedPrefixes(self.folder)
        guard, exemption, clamps = GuardTable(nft), ExemptionTable(nft), MssClampTable(nft)
        tables = {
            "processes": Processes(Charons(_no_charon), Roster(self.folder)),
            "links": kernel.links,
            "addresses": kernel.addresses,
            "adjacencies": kernel.adjacencies,
            "sysctls": kernel.sysctls,
            "ways": kernel.ways,
            "nexthops": kernel.nexthops,
            "guard": guard,
            "masquerade": exemption,
            "memory": memory,
        }
        typed = cast("dict[str, OwnedTable[object, object]]", tables)
        role = Role(part=Part.UNDECIDED, reason=RoleReason.NOT_READ, message="not read yet")
        self._loop = Loop(self._mailbox, typed, kernel.program, self.space.name, role=role)
        post(await memory.read())
        filters = Watch(nft, guard, exemption, clamps, post, esp_ports=EspPortTable(nft))
        jobs = [kernel.run(), filters.run(), self._loop.run()]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        self._ready.set()
        await self._end.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        kernel.close()


def _no_charon(row: Charon) -> CharonDriver:
    raise AssertionError(f"{row.name}: there is no ESP here")


@dataclass
class Cluster:
    """The namespaces by what they are, and the loops on the nodes."""

    pod: Namespace
    node: Namespace
    router: Namespace
    vm: Namespace
    gateways: dict[str, Namespace]
    addresses: dict[str, str]
    ncgd: Ncgd
    others: dict[str, Ncgd]

    def moves(self, holder: str, epoch: int) -> None:
        """The Lease is another's."""
        address = ip_address(self.addresses[holder]) if holder else None
        role = Role(
            part=Part.NODE, holder=holder, holder_address=address, epoch=epoch, reason=RoleReason.NO_LABEL, message=""
        )
        self.ncgd.tell(RoleChanged(role=role))

    def publishes(self, *prefixes: Prefix, epoch: int = 1) -> None:
        row = RouteSlice(name="default-0", gateway="default", node="a", epoch=epoch, prefixes=frozenset(prefixes))
        self.ncgd.tell(SlicesRead(slices={row.name: row}))

    def leaked(self) -> int:
        """Packets for the VPC that the router was given."""
        return int(self.router.run("nft", "list", "counter", "ip", "seen", "vpc").split("packets ")[1].split()[0])

    def came_from(self, address: str) -> int:
        """Packets that reached the VM from this address."""
        text = self.vm.run("nft", "list", "counter", "ip", "seen", f"from_{address.replace('.', '_')}")
        return int(text.split("packets ")[1].split()[0])

    def pings(self, space: Namespace) -> bool:
        return space.succeeds("ping", "-c", "1", "-W", "1", "-n", VM)


@contextmanager
def cluster(folder: Path, *, is_linked: bool, transport: NodeTransport = NodeTransport.AUTO) -> Iterator[Cluster]:
    """``is_linked``: all nodes share one link; otherwise each has a network of its own at the router.

    Reverse-path filters are strict, as some distributions have them. The CNI is routes: of the router, or on the link.
    """
    with ExitStack() as stack:
        names = ("pod", "node", "a", "b", "router", "vm")
        pod, node, a, b, router, vm = (stack.enter_context(Namespace(f"kn-{name}")) for name in names)
        for space in (node, a, b, router):
            strict = "0" if space is router else "1"
            space.run("sysctl", "-qw", "net.ipv4.ip_forward=1", f"net.ipv4.conf.default.rp_filter={strict}")
        net = {"node": 51, "a": 51 if is_linked else 52, "b": 51 if is_linked else 53}
        host = {"node": 1, "a": 11, "b": 12}
        addresses = {name: f"192.168.{net[name]}.{host[name]}" for name in net}
        if is_linked:
            router.ip("link add br0 type bridge")
            # What is bridged would be counted as well, where br_netfilter is loaded (it is for every kubelet).
            router.succeeds("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
            router.ip("link set br0 up")
            router.ip("addr add 192.168.51.254/24 dev br0")
        for name, space in (("node", node), ("a", a), ("b", b)):
            router.ip(f"link add to-{name} type veth peer name eth0 netns {space.name}")
            router.ip(f"link set to-{name} up" + (" master br0" if is_linked else ""))
            if not is_linked:
                router.ip(f"addr add 192.168.{net[name]}.254/24 dev to-{name}")
            space.ip(f"addr add {addresses[name]}/24 dev eth0")
            space.ip("link set eth0 up")
            space.ip(f"route add default via 192.168.{net[name]}.254")
        stack.enter_context(veth(pod, "eth0", f"{POD}/24", node, "cni0", "10.244.1.1/24"))
        pod.ip("route add default via 10.244.1.1")
        router.ip(f"route add {PODS} via {addresses['node']}")
        for number, (name, space) in enumerate({"a": a, "b": b}.items()):
            stack.enter_context(veth(space, "vpc", f"10.9.{number}.1/24", vm, f"to-{name}", f"10.9.{number}.2/24"))
            space.ip(f"route add 10.128.0.0/20 via 10.9.{number}.2")
            if is_linked:
                space.ip(f"route add {PODS} via {addresses['node']}")
        vm.ip(f"addr add {VM}/32 dev lo")
        # The VM answers through b, whoever the gateway is: what is measured is the way there.
        vm.ip("route add default via 10.9.1.1")
        vm.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
        _count(router, "prerouting", {"vpc": "ip daddr 10.128.0.0/20"})
        senders = (POD, addresses["node"])
        _count(vm, "input", {f"from_{each.replace('.', '_')}": f"ip saddr {each}" for each in senders})
        others = {}
        for name, space in (("a", a), ("b", b)):
            others[name] = stack.enter_context(Ncgd(space, folder / name, transport))
            address = ip_address(addresses[name])
            others[name].tell(
                RoleChanged(
                    role=Role(
                        part=Part.ACTIVE,
                        holder=name,
                        holder_address=address,
                        epoch=1,
                        reason=RoleReason.HOLDS,
                        message="",
                    )
                )
            )
        ncgd = stack.enter_context(Ncgd(node, folder / "node", transport))
        made = Cluster(pod, node, router, vm, {"a": a, "b": b}, addresses, ncgd, others)
        made.moves("a", 1)
        made.publishes(VPC)
        until(lambda: made.pings(pod), 20, "the pod reaches the VM")
        router.run("nft", "reset", "counters")  # before anything was published the VM was an address like all others
        yield made


def _count(space: Namespace, hook: str, matches: dict[str, str]) -> None:
    rules = "".join(f"add counter ip seen {name}\n" for name in matches)
    chain = f"add table ip seen\n{rules}add chain ip seen c {{ type filter hook {hook} priority 0; }}\n"
    rules = "".join(f"add rule ip seen c {match} counter name {name}\n" for name, match in matches.items())
    space.run("nft", "-f", "-", stdin=chain + rules)
