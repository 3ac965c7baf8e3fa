"""Addresses of tunnels."""

from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import Address, AddressKey
from tests.integration.kernel.host import drive, host
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root

V4 = AddressKey(interface="a0", address=ip_address("169.254.1.2"))
V6 = AddressKey(interface="a0", address=ip_address("fd00::2"))
PEER = Address(peer=ip_address("169.254.1.1"))


def write(space: Namespace, delta: Delta[AddressKey, Address]) -> Mapping[AddressKey, str]:
    async def scenario(kernel: Kernel, _: list[Event]) -> Mapping[AddressKey, str]:
        return (await kernel.addresses.write(delta)).failed

    return drive(space, scenario)


def shown(space: Namespace, interface: str = "a0") -> str:
    """But for the link-local address, which is the kernel's, and tentative for a second or two."""
    lines = space.ip(f"-o addr show {interface}").splitlines()
    return "\n".join(line for line in lines if "fe80:" not in line)


def test_addresses_are_set_once_and_survive_being_set_again() -> None:
    with host("kn-addr") as space:
        rows = {V4: PEER, V6: Address(length=64)}
        assert not write(space, Delta(rows))
        before = shown(space)
        assert "169.254.1.2 peer 169.254.1.1/32" in before
        assert "fd00::2/64 scope global nodad" in before
        assert not write(space, Delta(rows))
        assert shown(space) == before

        async def read(kernel: Kernel, _: list[Event]) -> tuple[str, ...]:
            return (await kernel.read_interfaces()).interfaces["a0"].addresses

        assert {"192.0.2.1/32", "169.254.1.2/32", "fd00::2/64"} <= set(drive(space, read))


def test_another_peer_or_length_replaces_the_row() -> None:
    with host("kn-addr") as space:
        write(space, Delta({V4: PEER, V6: Address(length=64)}))
        changed = {V4: Address(peer=ip_address("169.254.1.5")), V6: Address(length=126)}
        assert not write(space, Delta(changed))
        after = shown(space)
        assert "169.254.1.2 peer 169.254.1.5/32" in after
        assert "169.254.1.1" not in after
        assert "fd00::2/126" in after
        assert "fd00::2/64" not in after


def test_only_the_named_address_is_removed_and_a_missing_one_is_no_failure() -> None:
    with host("kn-addr") as space:
        write(space, Delta({V4: PEER, V6: Address(length=64)}))
        gone = AddressKey(interface="nowhere", address=ip_address("169.254.9.9"))
        assert not write(space, Delta(remove=frozenset((V4, V6, gone))))
        after = shown(space)
        assert "169.254.1.2" not in after
        assert "fd00::2" not in after
        assert "192.0.2.1" in after


def test_an_address_on_another_interface_is_refused_with_its_name() -> None:
    with host("kn-addr") as space:
        space.ip("addr add 169.254.1.2/30 dev b0")
        failed = write(space, Delta({V4: PEER, V6: Address(length=64)}))
        assert list(failed) == [V4]
        assert "cannot put 169.254.1.2 on interface a0: it is on interface b0 already" in failed[V4]
        assert "fd00::2/64" in shown(space)
        assert "169.254.1.2/30" in shown(space, "b0")


def test_an_address_moves_between_interfaces_in_one_delta() -> None:
    with host("kn-addr") as space:
        write(space, Delta({V4: PEER}))
        there = AddressKey(interface="b0", address=V4.address)
        assert not write(space, Delta({there: PEER}, remove=frozenset((V4,))))
        assert "169.254.1.2" not in shown(space)
        assert "169.254.1.2 peer 169.254.1.1/32" in shown(space, "b0")


def test_a_missing_interface_is_reported() -> None:
    with host("kn-addr") as space:
        key = AddressKey(interface="ipsec7", address=V4.address)
        assert write(space, Delta({key: PEER})) == {
            key: "cannot put 169.254.1.2 on interface ipsec7: the interface does not exist"
        }
