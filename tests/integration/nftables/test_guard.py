"""The guard: what goes to a guarded prefix leaves by a tunnel or not at all, and nobody takes that away unnoticed."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ncgd.drivers.nftables import esp_port
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.nftables.watch import Watch
from ncgd.errors import Unavailable
from ncgd.model import prefix as px
from ncgd.model.clamp import MssClamp
from ncgd.model.delta import Delta
from ncgd.model.event import ClampsRead, EspPortsRead, Event, GuardCounted, GuardRead
from ncgd.model.ike import EspPort
from ncgd.model.prefix import Prefix
from tests.integration.kernel.host import eventually, last
from tests.integration.netns import Namespace, until, veth

pytestmark = pytest.mark.root

VPC = px.parse("10.128.0.0/20")
INSIDE = px.parse("10.128.1.0/24")
HOST = px.parse("10.128.1.7/32")
V6 = px.parse("2001:db8:128::/48")
ALL = (VPC, INSIDE, HOST, V6)
TUNNEL = frozenset(("lo", "t1"))
CLAMP = MssClamp(interface="t1", mss_v4=1358, mss_v6=1338)


class Filter:
    """The driver as the daemon wires it."""

    def __init__(self) -> None:
        self.nft = Nft()
        self.guard = GuardTable(self.nft)
        self.clamps = MssClampTable(self.nft)
        self.esp_ports = EspPortTable(self.nft)
        self.events: list[Event] = []
        self.watch = Watch(
            self.nft,
            self.guard,
            ExemptionTable(self.nft),
            self.clamps,
            self.events.append,
            esp_ports=self.esp_ports,
        )

    async def set(self, *rows: Prefix | str) -> None:
        assert not (await self.guard.write(Delta(set=dict.fromkeys(rows)))).failed

    async def remove(self, *rows: Prefix | str) -> None:
        assert not (await self.guard.write(Delta(remove=frozenset(rows)))).failed

    async def first(self) -> None:
        """Wait until the watch is in place."""
        await eventually(lambda: last(self.events, ClampsRead), "the first reading")


def drive(space: Namespace, scenario: Callable[[Filter], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in the namespace, with a driver of its own that watches."""

    async def run() -> None:
        it = Filter()
        watching = asyncio.create_task(it.watch.run())
        try:
            await it.first()
            await scenario(it)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    space.call(lambda: asyncio.run(run()))


@contextmanager
def host() -> Iterator[Namespace]:
    with Namespace("kn-guard") as space:
        yield space


@contextmanager
def gateway() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """pod, gateway, and the outside: the gateway reaches it by ``t1``, which stands for a tunnel, and by ``wan``."""
    with ExitStack() as stack:
        pod, gw, out = (stack.enter_context(Namespace(f"kn-{name}")) for name in ("pod", "gw", "out"))
        stack.enter_context(veth(pod, "eth0", "10.1.0.2/24", gw, "lan", "10.1.0.1/24"))
        stack.enter_context(veth(gw, "t1", "10.2.0.1/24", out, "t1", "10.2.0.2/24"))
        stack.enter_context(veth(gw, "wan", "10.3.0.1/24", out, "wan", "10.3.0.2/24"))
        for space, link, number in (
            (pod, "eth0", "1::2"),
            (gw, "lan", "1::1"),
            (gw, "wan", "3::1"),
            (out, "wan", "3::2"),
        ):
            space.ip(f"addr add 2001:db8:{number}/64 dev {link} nodad")
        pod.ip("route add default via 10.1.0.1")
        pod.ip("-6 route add default via 2001:db8:1::1")
        gw.ip("route add default via 10.3.0.2")
        gw.ip("-6 route add default via 2001:db8:3::2")
        out.ip("route add 10.1.0.0/24 via 10.3.0.1")
        for address in ("10.128.0.9/32", "10.128.1.7/32", "10.9.9.9/32", "2001:db8:128::9/128", "2001:db8:9::9/128"):
            out.ip(f"addr add {address} dev lo")
        out.ip("-6 route add 2001:db8:1::/64 via 2001:db8:3::1")
        gw.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        yield pod, gw, out


def reaches(space: Namespace, address: str) -> bool:
    return space.succeeds("ping", "-c", "1", "-W", "1", "-n", address)


def test_forwarded_and_own_packets_to_a_guarded_prefix_leave_by_a_tunnel_or_not_at_all() -> None:
    with gateway() as (pod, gw, _):
        inside, elsewhere = ("10.128.0.9", "2001:db8:128::9"), ("10.9.9.9", "2001:db8:9::9")
        for space in (pod, gw):
            for address in (*inside, *elsewhere):
                until(lambda who=space, what=address: reaches(who, what), what=f"{address} from {space.name}")

        async def guard(it: Filter) -> None:
            await it.set(VPC, V6, *TUNNEL)

        drive(gw, guard)
        assert not any(reaches(space, address) for space in (pod, gw) for address in inside)
        assert all(reaches(space, address) for space in (pod, gw) for address in elsewhere)

        async def count(it: Filter) -> None:
            await eventually(lambda: last(it.events, GuardCounted) == GuardCounted(packets=4), "the four pings")

        drive(gw, count)
        gw.ip("route add 10.128.0.0/20 via 10.2.0.2 dev t1")
        assert all(reaches(space, "10.128.0.9") for space in (pod, gw))


def test_a_rule_that_points_elsewhere_and_masquerading_change_nothing() -> None:
    with gateway() as (pod, gw, _):
        gw.ip("route add 10.128.0.0/20 via 10.2.0.2 dev t1")
        gw.ip("route add default via 10.3.0.2 table 100")
        gw.run("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }")
        gw.run("nft", "add rule ip nat out oifname wan masquerade")

        async def guard(it: Filter) -> None:
            await it.set(VPC, *TUNNEL)

        drive(gw, guard)
        assert reaches(pod, "10.128.0.9")
        gw.ip("rule add to 10.128.0.0/20 lookup 100 pref 10")
        assert not reaches(pod, "10.128.0.9")
        assert reaches(pod, "10.9.9.9")


def test_overlapping_prefixes_come_and_go_each_for_itself() -> None:
    with gateway() as (pod, gw, _):

        async def scenario(it: Filter) -> None:
            await it.set(VPC, INSIDE, HOST, *TUNNEL)
            await it.remove(VPC)
            await it.remove(HOST, px.parse("192.0.2.0/24"))

        drive(gw, scenario)
        assert reaches(pod, "10.128.0.9")
        assert not reaches(pod, "10.128.1.7"), "still in the /24"

        async def end(it: Filter) -> None:
            await it.remove(INSIDE)
            await it.remove(*TUNNEL)

        drive(gw, end)
        assert reaches(pod, "10.128.1.7")
        assert gw.run("nft", "list", "ruleset") == ""


def test_the_next_ncgd_reads_what_this_one_wrote_and_what_it_writes_itself_is_no_news() -> None:
    async def write(it: Filter) -> None:
        await it.set(*ALL, *TUNNEL)
        await it.set(px.parse("192.0.2.0/24"))
        await it.clamps.write(Delta(set={"t1": CLAMP}))
        await it.guard.read()
        await it.clamps.read()  # by now the watch has seen what there was to see
        assert len([event for event in it.events if isinstance(event, GuardRead | ClampsRead)]) == 2

    async def read(it: Filter) -> None:
        prefixes = frozenset((*ALL, px.parse("192.0.2.0/24")))
        assert last(it.events, GuardRead) == GuardRead(prefixes=prefixes, exits=TUNNEL)
        assert last(it.events, ClampsRead) == ClampsRead(clamps={"t1": CLAMP})

    with host() as space:
        drive(space, write)
        drive(space, read)


@pytest.mark.parametrize(
    "meddling",
    [
        "flush ruleset",
        "delete table inet ncgd_guard",
        "flush chain inet ncgd_guard guard",
        "insert rule inet ncgd_guard guard accept",
        "delete element inet ncgd_guard v4_20 { 10.128.0.0 }",
        "flush set inet ncgd_guard tunnels",
    ],
)
def test_whatever_somebody_does_to_the_guard_is_noticed_and_can_be_put_right(meddling: str) -> None:
    whole = GuardRead(prefixes=frozenset(ALL), exits=TUNNEL)
    with host() as space:

        async def scenario(it: Filter) -> None:
            await it.set(*ALL, *TUNNEL)
            before = len(it.events)
            process = await asyncio.create_subprocess_exec("nft", meddling)
            assert await process.wait() == 0
            seen = await eventually(lambda: last(it.events[before:], GuardRead), "the meddling")
            assert seen != whole
            await it.set(*(whole.prefixes - seen.prefixes), *(whole.exits - seen.exits))
            assert await it.guard.read() == whole

        drive(space, scenario)


def test_a_flush_takes_the_clamps_along_and_that_is_noticed_too() -> None:
    with host() as space:

        async def scenario(it: Filter) -> None:
            await it.clamps.write(Delta(set={"t1": CLAMP}))
            process = await asyncio.create_subprocess_exec("nft", "flush", "ruleset")
            assert await process.wait() == 0
            await eventually(lambda: it.events[-1] == ClampsRead(clamps={}), "the flush")

        drive(space, scenario)


def test_rules_that_unwrap_esp_are_read_back_and_a_flush_of_them_is_noticed() -> None:
    with host() as space:

        async def scenario(it: Filter) -> None:
            rows = {4500: EspPort(port=4500)}
            await it.esp_ports.write(Delta(set=rows))
            assert await it.esp_ports.read() == rows
            before = len(it.events)
            process = await asyncio.create_subprocess_exec("nft", "flush", "chain", "inet", esp_port.TABLE, "away")
            assert await process.wait() == 0
            await eventually(lambda: last(it.events[before:], EspPortsRead), "the flush")
            assert await it.esp_ports.read() == {}
            await it.esp_ports.write(Delta(remove=frozenset(rows)))

        drive(space, scenario)


def test_what_others_do_to_their_own_tables_is_no_news() -> None:
    with host() as space:

        async def scenario(it: Filter) -> None:
            await it.set(VPC, *TUNNEL)
            before = len(it.events)
            for command in ("add table inet foreign", "delete table inet foreign", "delete table inet ncgd_guard"):
                process = await asyncio.create_subprocess_exec("nft", command)
                assert await process.wait() == 0
            await eventually(lambda: last(it.events[before:], GuardRead), "the last of the three")
            readings = [event for event in it.events[before:] if isinstance(event, GuardRead | ClampsRead)]
            assert readings == [GuardRead(prefixes=frozenset(), exits=frozenset())]

        drive(space, scenario)


def test_a_hundred_thousand_prefixes() -> None:
    many = [px.make(4, (10 << 24) + (number << 8), 24) for number in range(100_000)]
    with host() as space:

        async def scenario(it: Filter) -> None:
            for first in range(0, len(many), 10_000):
                await it.set(*many[first : first + 10_000], *TUNNEL)
            assert (await it.guard.read()).prefixes == frozenset(many)
            await it.remove(*many[::2])
            assert (await it.guard.read()).prefixes == frozenset(many[1::2])
            await it.remove(*many[1::2])
            await it.remove(*TUNNEL)
            assert await it.guard.read() == GuardRead(prefixes=frozenset(), exits=frozenset())
            assert len([event for event in it.events if isinstance(event, GuardRead)]) == 1, "no reading but the first"

        drive(space, scenario)


def test_an_interface_name_is_data_and_no_syntax() -> None:
    with host() as space:

        async def scenario(it: Filter) -> None:
            outcome = await it.guard.write(Delta(set=dict.fromkeys((VPC, "lo", 'x"; }', "ipsec*"))))
            assert outcome.failed.keys() == {'x"; }', "ipsec*"}
            assert await it.guard.read() == GuardRead(prefixes=frozenset((VPC,)), exits=frozenset(("lo",)))

        drive(space, scenario)


def test_without_nft_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="install the package nftables"):
        asyncio.run(GuardTable(Nft()).write(Delta(set={VPC: None})))


def test_a_next_hop_is_a_way_out_of_a_link_that_all_else_takes_too() -> None:
    """On a node that shares a link with the active gateway: by the default route nothing leaves for the VPC."""
    with gateway() as (pod, gw, _):
        gw.ip("addr add 10.3.0.3/24 dev wan")
        exits = ("lo", "via 10.3.0.2")

        async def guard(it: Filter) -> None:
            await it.set(VPC, V6, *exits)
            assert (await it.guard.read()).exits == frozenset(exits)
            refused = await it.guard.write(Delta(set={"via nowhere": None}))
            assert set(refused.failed) == {"via nowhere"}

        gw.ip("route replace default via 10.3.0.254 dev wan")
        gw.ip("route add 10.128.0.0/20 via 10.3.0.2 dev wan")
        drive(gw, guard)
        assert all(reaches(space, "10.128.0.9") for space in (pod, gw))
        gw.ip("neigh replace 10.3.0.254 lladdr " + gw.run("cat", "/sys/class/net/wan/address").strip() + " dev wan")
        gw.ip("route del 10.128.0.0/20")

        async def count(it: Filter) -> None:
            await eventually(lambda: (last(it.events, GuardCounted) or GuardCounted(packets=0)).packets >= 2, "drops")

        assert not any(reaches(space, "10.128.0.9") for space in (pod, gw))
        drive(gw, count)

        async def move(it: Filter) -> None:
            await it.guard.read()
            await it.set("via 10.3.0.254")
            await it.remove("via 10.3.0.2")
            assert (await it.guard.read()).exits == {"lo", "via 10.3.0.254"}

        drive(gw, move)
        gw.ip("route add 10.128.0.0/20 via 10.3.0.2 dev wan")
        assert not reaches(gw, "10.128.0.9"), "the gateway is another one now"
