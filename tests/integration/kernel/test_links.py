"""Links that others make: MTU and state. (XFRM links: test_xfrm_links.)"""

import json

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import Link, LinkKind
from tests.integration.kernel.host import drive, host
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root


def link_of(space: Namespace, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(space.ip(f"-j link show {name}"))[0]
    return found


def test_mtu_and_state_are_set_and_setting_them_again_changes_nothing() -> None:
    with host("kn-links") as space:
        space.ip("tuntap add name kntun0 mode tun")
        rows = {"kntun0": Link(name="kntun0", kind=LinkKind.TUN, mtu=1398)}

        async def write(kernel: Kernel, _: list[Event]) -> None:
            assert not (await kernel.links.write(Delta(rows))).failed

        drive(space, write)
        after = link_of(space, "kntun0")
        assert after["mtu"] == 1398
        assert "UP" in after["flags"]  # type: ignore[operator]
        drive(space, write)
        assert link_of(space, "kntun0") == after


def test_a_link_is_taken_down() -> None:
    with host("kn-links") as space:

        async def write(kernel: Kernel, _: list[Event]) -> None:
            down = Link(name="a0", kind=LinkKind.OTHER, mtu=1500, is_up=False)
            assert not (await kernel.links.write(Delta({"a0": down}))).failed
            assert not (await kernel.read_interfaces()).interfaces["a0"].is_up

        drive(space, write)


def test_a_missing_link_is_a_failure_of_its_own_key_only() -> None:
    with host("kn-links") as space:

        async def write(kernel: Kernel, _: list[Event]) -> None:
            rows = {name: Link(name=name, kind=LinkKind.TUN, mtu=1400) for name in ("ipsec9", "a0")}
            outcome = await kernel.links.write(Delta(rows))
            assert outcome.failed == {"ipsec9": "interface ipsec9 does not exist"}
            assert (await kernel.read_interfaces()).interfaces["a0"].mtu == 1400

        drive(space, write)


def test_an_mtu_that_the_device_refuses_is_reported() -> None:
    with host("kn-links") as space:

        async def write(kernel: Kernel, _: list[Event]) -> None:
            outcome = await kernel.links.write(Delta({"a0": Link(name="a0", kind=LinkKind.OTHER, mtu=10)}))
            assert outcome.failed["a0"].startswith("cannot set interface a0 to mtu 10: Invalid argument")

        drive(space, write)


def test_links_of_others_are_never_removed() -> None:
    with host("kn-links") as space:
        space.ip("tuntap add name ncg-foreign mode tun")

        async def write(kernel: Kernel, _: list[Event]) -> None:
            outcome = await kernel.links.write(Delta(remove=frozenset(("a0", "ncg-foreign", "gone"))))
            assert not outcome.failed

        drive(space, write)
        assert link_of(space, "a0")
        assert link_of(space, "ncg-foreign")


def test_a_name_that_is_taken_by_another_kind_is_named() -> None:
    with host("kn-links") as space:
        space.ip("tuntap add name ncg-t1 mode tun")

        async def write(kernel: Kernel, _: list[Event]) -> None:
            row = Link(name="ncg-t1", kind=LinkKind.XFRM, mtu=1400, if_id=7)
            outcome = await kernel.links.write(Delta({"ncg-t1": row}))
            assert "exists and is no XFRM interface" in outcome.failed["ncg-t1"]

        drive(space, write)
        assert link_of(space, "ncg-t1")
