"""MSS clamping between two hosts and a gateway, seen in the SYN packets themselves."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.errors import Unavailable
from ncgd.model.clamp import MssClamp
from ncgd.model.delta import Delta
from tests.integration.netns import Namespace, veth

pytestmark = pytest.mark.root

CLAMP = MssClamp(interface="t1", mss_v4=1358, mss_v6=1338)
ETH_P_ALL = 3
FAR = {4: "10.2.0.2", 6: "2001:db8:2::2"}


@contextmanager
def gateway() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """pod, gateway and VM; the gateway reaches the VM by interface ``t1``, which stands for a tunnel."""
    with ExitStack() as stack:
        pod, gw, vm = (stack.enter_context(Namespace(f"kn-{name}")) for name in ("pod", "gw", "vm"))
        stack.enter_context(veth(pod, "eth0", "10.1.0.2/24", gw, "lan", "10.1.0.1/24"))
        stack.enter_context(veth(gw, "t1", "10.2.0.1/24", vm, "eth0", "10.2.0.2/24"))
        for space, link, number in (
            (pod, "eth0", "1::2"),
            (gw, "lan", "1::1"),
            (gw, "t1", "2::1"),
            (vm, "eth0", "2::2"),
        ):
            space.ip(f"addr add 2001:db8:{number}/64 dev {link} nodad")
        for space, network in ((pod, "1"), (vm, "2")):
            space.ip(f"route add default via 10.{network}.0.1")
            space.ip(f"-6 route add default via 2001:db8:{network}::1")
        gw.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        yield pod, gw, vm


def write(gw: Namespace, table: MssClampTable, delta: Delta[str, MssClamp]) -> None:
    assert not gw.call(lambda: asyncio.run(table.write(delta))).failed


def read(gw: Namespace) -> dict[str, MssClamp]:
    return gw.call(lambda: asyncio.run(MssClampTable().read()))


def sniffer(space: Namespace) -> socket.socket:
    """A socket that sees every packet of a namespace, from its IP header on."""
    opened = space.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
    opened.settimeout(5)
    return opened


def mss_of(packet: bytes) -> tuple[int, int] | None:
    """TCP flags and MSS option of a packet with SYN set."""
    version = packet[0] >> 4
    protocol, offset = (packet[9], (packet[0] & 15) * 4) if version == 4 else (packet[6], 40)
    if protocol != socket.IPPROTO_TCP or not packet[offset + 13] & 2:
        return None
    options = packet[offset + 20 : offset + (packet[offset + 12] >> 4) * 4]
    assert options[:2] == b"\x02\x04", "the MSS is the first option that Linux sends"
    return packet[offset + 13], int(struct.unpack_from(">H", options, 2)[0])


def seen_mss(listener: socket.socket, flags: int) -> int:
    """The MSS in the next packet with these TCP flags."""
    while True:
        found = mss_of(listener.recv(2048))
        if found and found[0] & 0x12 == flags:
            return found[1]


def handshake(pod: Namespace, vm: Namespace, version: int, maxseg: int | None = None) -> tuple[int, int]:
    """Connect from pod to VM: the MSS that the VM sees in the SYN, and the pod in the SYN-ACK."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def listen() -> socket.socket:
        return socket.create_server((FAR[version], 5000), family=family)

    def connect() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            if maxseg:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, maxseg)
            client.connect((FAR[version], 5000))

    with closing(sniffer(vm)) as at_vm, closing(sniffer(pod)) as at_pod, closing(vm.call(listen)):
        pod.call(connect)
        return seen_mss(at_vm, 0x02), seen_mss(at_pod, 0x12)


def test_syn_and_syn_ack_are_lowered_in_both_versions_and_free_again_afterwards() -> None:
    with gateway() as (pod, gw, vm):
        table = MssClampTable()
        assert handshake(pod, vm, 4) == (1460, 1460)
        write(gw, table, Delta({"t1": CLAMP}))
        assert handshake(pod, vm, 4) == (1358, 1358)
        assert handshake(pod, vm, 6) == (1338, 1338)
        write(gw, table, Delta(remove=frozenset(("t1",))))
        assert handshake(pod, vm, 4) == (1460, 1460)


def test_a_smaller_mss_is_never_raised() -> None:
    with gateway() as (pod, gw, vm):
        write(gw, MssClampTable(), Delta({"t1": CLAMP}))
        assert handshake(pod, vm, 4, maxseg=900) == (900, 1358)


def test_the_table_follows_each_delta_and_an_empty_one_is_removed() -> None:
    with gateway() as (_, gw, _):
        table = MssClampTable()
        other = MssClamp(interface="ipsec0", mss_v4=1300, mss_v6=1280)
        assert read(gw) == {}
        write(gw, table, Delta({"t1": CLAMP, "ipsec0": other}))
        assert read(gw) == {"t1": CLAMP, "ipsec0": other}
        before = gw.run("nft", "-a", "list", "ruleset")
        lower = MssClamp(interface="t1", mss_v4=1200, mss_v6=1180)
        write(gw, table, Delta({"t1": lower}))
        assert read(gw) == {"t1": lower, "ipsec0": other}
        assert gw.run("nft", "-a", "list", "ruleset") != before
        write(gw, MssClampTable(), Delta(remove=frozenset(("ipsec0", "gone"))))  # a new process adopts the table
        assert read(gw) == {"t1": lower}
        write(gw, MssClampTable(), Delta(remove=frozenset(("t1",))))
        assert gw.run("nft", "list", "ruleset") == ""


def test_tables_of_others_stay() -> None:
    with gateway() as (_, gw, _):
        gw.run(
            "nft",
            "add table inet foreign; add chain inet foreign forward { type filter hook forward priority 0; }",
        )
        before = gw.run("nft", "list", "ruleset")
        table = MssClampTable()
        write(gw, table, Delta({"t1": CLAMP}))
        write(gw, table, Delta(remove=frozenset(("t1",))))
        assert gw.run("nft", "list", "ruleset") == before


def test_a_rule_that_somebody_deleted_is_seen_and_written_again() -> None:
    with gateway() as (_, gw, _):
        table = MssClampTable()
        write(gw, table, Delta({"t1": CLAMP}))
        gw.run("nft", "flush", "chain", "inet", "ncgd", "forward")
        assert read(gw) == {}
        write(gw, table, Delta({"t1": CLAMP}))
        assert read(gw) == {"t1": CLAMP}


def test_an_interface_name_is_data_and_no_syntax() -> None:
    with gateway() as (_, gw, _):
        strange = MssClamp(interface='x";#drop', mss_v4=1300, mss_v6=1280)
        write(gw, MssClampTable(), Delta({strange.interface: strange}))
        assert read(gw) == {strange.interface: strange}


def test_without_nft_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="install the package nftables"):
        asyncio.run(MssClampTable().write(Delta({"t1": CLAMP})))
