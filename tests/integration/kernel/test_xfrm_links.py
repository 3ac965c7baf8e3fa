"""XFRM links: created, changed and removed by us; needs a kernel that has them."""

import json

import pytest

from ncgd.drivers.kernel.probe import probe
from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import IF_ID_BASE, NEXTHOP_V4_BASE, Link, LinkKind, Nexthop
from tests.integration.kernel.host import drive, host
from tests.integration.netns import Namespace

pytestmark = [pytest.mark.root, pytest.mark.kernel_esp]

NAME = "ncg-t1"


def row(if_id: int = IF_ID_BASE + 1, mtu: int = 1398, name: str = NAME) -> Link:
    return Link(name=name, kind=LinkKind.XFRM, mtu=mtu, if_id=if_id)


def write(space: Namespace, delta: Delta[str, Link]) -> dict[str, str]:
    async def scenario(kernel: Kernel, _: list[Event]) -> dict[str, str]:
        return dict((await kernel.links.write(delta)).failed)

    return drive(space, scenario)


def shown(space: Namespace) -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(space.ip("-j -d link show type xfrm"))
    return links


def test_the_probe_finds_the_kernel_dataplane_and_leaves_nothing() -> None:
    with host("kn-xfrm") as space:
        capability = space.call(probe)
        assert capability.kernel_esp, capability.detail
        assert capability.may_administer
        assert "ncgprobe" not in space.ip("link show")
        assert not space.ip("xfrm state")


def test_a_link_is_created_up_with_its_mtu_alias_and_if_id() -> None:
    with host("kn-xfrm") as space:
        assert not write(space, Delta({NAME: row()}))
        (link,) = shown(space)
        assert (link["ifname"], link["mtu"], link["ifalias"]) == (NAME, 1398, "ncgd")
        assert "UP" in link["flags"]  # type: ignore[operator]

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            seen = (await kernel.read_interfaces()).interfaces[NAME]
            assert (seen.kind, seen.if_id, seen.mtu, seen.is_up) == ("xfrm", IF_ID_BASE + 1, 1398, True)

        drive(space, scenario)


def test_writing_it_again_keeps_the_same_link_and_a_new_mtu_too() -> None:
    with host("kn-xfrm") as space:
        write(space, Delta({NAME: row()}))
        (before,) = shown(space)
        assert not write(space, Delta({NAME: row()}))
        assert shown(space) == [before]
        assert not write(space, Delta({NAME: row(mtu=1390)}))
        (after,) = shown(space)
        assert (after["ifindex"], after["mtu"]) == (before["ifindex"], 1390)


def test_another_if_id_makes_the_link_anew() -> None:
    with host("kn-xfrm") as space:
        write(space, Delta({NAME: row()}))
        assert not write(space, Delta({NAME: row(if_id=IF_ID_BASE + 2)}))

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            assert (await kernel.read_interfaces()).interfaces[NAME].if_id == IF_ID_BASE + 2

        drive(space, scenario)


def test_an_if_id_in_use_is_refused_with_its_number() -> None:
    with host("kn-xfrm") as space:
        write(space, Delta({NAME: row()}))
        failed = write(space, Delta({"ncg-t2": row(name="ncg-t2")}))
        assert f"{IF_ID_BASE + 1:#x}" in failed["ncg-t2"]
        assert [link["ifname"] for link in shown(space)] == [NAME]


def test_only_our_own_are_removed() -> None:
    with host("kn-xfrm") as space:
        space.ip("link add foreign0 type xfrm if_id 7")
        write(space, Delta({NAME: row()}))
        assert not write(space, Delta(remove=frozenset((NAME, "foreign0", "ncg-gone"))))
        assert [link["ifname"] for link in shown(space)] == ["foreign0"]


def test_nexthops_can_use_it_at_once() -> None:
    with host("kn-xfrm") as space:
        write(space, Delta({NAME: row()}))
        nexthop = Nexthop(id=NEXTHOP_V4_BASE + 1, version=4, interface=NAME)

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            assert not (await kernel.nexthops.write(Delta({nexthop.id: nexthop}))).failed
            assert (await kernel.read_nexthops()).nexthops == {nexthop.id: nexthop}

        drive(space, scenario)
