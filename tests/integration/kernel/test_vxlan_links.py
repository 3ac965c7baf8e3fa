"""The VXLAN device, what it is told of its neighbours, and next hops on it."""

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event, WaysRead
from ncgd.model.fib import NEXTHOP_V4_BASE, Address, AddressKey, Adjacency, Link, LinkKind, Nexthop, Vxlan, Way
from tests.integration.kernel.host import drive, eventually, host, last
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root

OURS, THEIRS, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.9"), ip_address("192.0.2.10")
MAC, OTHER_MAC = "02:11:22:33:44:55", "02:11:22:33:44:66"
LINK = Link(
    name="ncgvx",
    kind=LinkKind.VXLAN,
    mtu=1450,
    vxlan=Vxlan(local=OURS, mac="02:00:00:00:00:01", network=157, port=8157),
)
HOP = Nexthop(id=NEXTHOP_V4_BASE + 1, version=4, interface="ncgvx", gateway=THEIRS, is_onlink=True)


async def make(kernel: Kernel, link: Link = LINK) -> None:
    assert not (await kernel.links.write(Delta({link.name: link}))).failed


def index_of(space: Namespace) -> int:
    found: int = json.loads(space.ip("-j link show ncgvx"))[0]["ifindex"]
    return found


def test_it_is_made_as_asked_for_and_read_back() -> None:
    with host("kn-vxlan") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await make(kernel)
            seen = (await kernel.read_interfaces()).interfaces["ncgvx"]
            assert (seen.kind, seen.mtu, seen.is_up, seen.vxlan) == ("vxlan", 1450, True, LINK.vxlan)
            index = index_of(space)
            await make(kernel, replace(LINK, mtu=1400))
            assert index_of(space) == index
            assert LINK.vxlan
            await make(kernel, replace(LINK, vxlan=replace(LINK.vxlan, local=OTHER)))
            assert index_of(space) != index
            details = json.loads(space.ip("-d -j link show ncgvx"))[0]["linkinfo"]["info_data"]
            assert (details["local"], details["learning"], details["port"]) == ("192.0.2.10", False, 8157)
            assert not (await kernel.links.write(Delta(remove=frozenset(("ncgvx",))))).failed
            assert "ncgvx" not in (await kernel.read_interfaces()).interfaces

        drive(space, scenario)


def test_where_a_next_hop_is_comes_changes_and_goes() -> None:
    with host("kn-vxlan") as space:
        key = AddressKey(interface="ncgvx", address=THEIRS)

        async def scenario(kernel: Kernel, _events: list[Event]) -> None:
            await make(kernel)
            for mac, remote in ((MAC, THEIRS), (MAC, OTHER), (OTHER_MAC, OTHER)):
                row = Adjacency(mac=mac, remote=remote)
                for _ in range(2):
                    assert not (await kernel.adjacencies.write(Delta({key: row}))).failed
                (neighbor,) = json.loads(space.ip("-j neigh show dev ncgvx nud permanent"))
                assert (neighbor["dst"], neighbor["lladdr"]) == (str(THEIRS), mac)
                entries = json.loads(space.run("bridge", "-j", "fdb", "show", "dev", "ncgvx"))
                assert [each["dst"] for each in entries if each["mac"] == mac] == [str(remote)]
            for _ in range(2):
                assert not (await kernel.adjacencies.write(Delta(remove=frozenset((key,))))).failed
            assert space.ip("neigh show dev ncgvx nud permanent") == ""

        drive(space, scenario)


def test_a_device_that_is_not_there_is_a_failure_of_its_own_key() -> None:
    with host("kn-vxlan") as space:
        key = AddressKey(interface="ncgvx", address=THEIRS)

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            outcome = await kernel.adjacencies.write(Delta({key: Adjacency(mac=MAC, remote=THEIRS)}))
            assert outcome.failed[key].endswith("the interface does not exist")
            assert not (await kernel.adjacencies.write(Delta(remove=frozenset((key,))))).failed

        drive(space, scenario)


def test_a_next_hop_needs_no_network_on_the_device_and_is_read_back() -> None:
    with host("kn-vxlan") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await make(kernel)
            assert not (await kernel.nexthops.write(Delta({HOP.id: HOP}))).failed
            assert (await kernel.read_nexthops()).nexthops == {HOP.id: HOP}

        drive(space, scenario)


def test_our_address_on_it_is_the_source_of_our_own_packets() -> None:
    """The kernel would take the first address of the machine otherwise, whichever that is."""
    with host("kn-vxlan") as space:
        space.ip("addr add 192.0.2.77/24 dev b0")

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            own = ip_address("192.0.2.77")
            await make(kernel)
            key = AddressKey(interface="ncgvx", address=own)
            refused = await kernel.addresses.write(Delta({key: Address()}))
            assert "is on interface b0 already" in refused.failed[key]
            assert not (await kernel.addresses.write(Delta({key: Address(is_shared=True)}))).failed
            assert not (await kernel.nexthops.write(Delta({HOP.id: HOP}))).failed
            space.ip(f"route add 10.128.0.0/20 nhid {HOP.id}")
            far = ip_address("10.128.0.9")
            await kernel.ways.write(Delta({far: None}))
            seen = last(events, WaysRead)
            assert seen
            assert seen.ways == {far: Way(interface="ncgvx", gateway=THEIRS, source=own, length=20)}
            space.ip("link del ncgvx")
            assert "192.0.2.77" in space.ip("route get 192.0.2.78")

        drive(space, scenario)


def test_the_ways_to_some_addresses_are_told_as_they_change() -> None:
    with host("kn-vxlan") as space:
        space.ip("route del default")
        space.ip("route add default via 192.0.2.254 dev a0 onlink")
        space.ip("addr add 192.0.2.65/26 dev b0")
        linked, routed, own = map(ip_address, ("192.0.2.66", "198.51.100.1", "192.0.2.65"))

        async def scenario(kernel: Kernel, events: list[Event]) -> None:
            await kernel.ways.write(Delta(dict.fromkeys((linked, routed, own))))
            seen = last(events, WaysRead)
            assert seen
            assert seen.ways[linked] == Way(interface="b0", source=own, length=26)
            way = seen.ways[routed]
            assert way
            assert (way.interface, way.gateway, way.length) == ("a0", ip_address("192.0.2.254"), 0)
            assert seen.ways[own] is None
            space.ip("route del default")
            await kernel.ways.write(Delta(remove=frozenset((own,))))
            assert await eventually(lambda: last(events, WaysRead), "news")
            seen = last(events, WaysRead)
            assert seen
            assert seen.ways[routed] is None
            assert own not in seen.ways

        drive(space, scenario)
