"""What a namespace's kernel does with routes, seen without starting a process: notifications, lookups, segments."""

import select
import socket
import struct
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

from ncgd.drivers.kernel import codec
from tests.integration.netns import Namespace

LENGTH = 28
_RTMGRP_IPV4_ROUTE = 1 << 6
_SO_RCVBUFFORCE = 33
_RTA_OIF = 4
_ETH_P_IP = 0x0800
_TCP_END = 0x05  # FIN or RST


def prefixes(count: int) -> list[str]:
    """Adjacent /28s from 10.0.0.0 on."""
    first = int(IPv4Address("10.0.0.0"))
    return [f"{IPv4Address(first + index * 16)}/{LENGTH}" for index in range(count)]


class Arrivals:
    """Counts RTM_NEWROUTE for /28s in a namespace."""

    def __init__(self, space: Namespace) -> None:
        self._socket = space.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 512 << 20)
        self._socket.bind((0, _RTMGRP_IPV4_ROUTE))

    def wait(self, count: int, seconds: float) -> tuple[float, float]:
        """When the first and the last of ``count`` came, by the monotonic clock. AssertionError after ``seconds``."""
        seen, first, deadline = 0, 0.0, time.monotonic() + seconds
        while seen < count:
            if not select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"only {seen} of {count} routes after {seconds} s")
            data, offset = self._socket.recv(1 << 20), 0
            if not seen:
                first = time.monotonic()
            while offset < len(data):
                length, kind = struct.unpack_from("=IH", data, offset)
                seen += kind == codec.RTM_NEWROUTE and data[offset + codec.HEADER.size + 1] == LENGTH
                offset += (length + 3) & ~3
        self._socket.close()
        return first, time.monotonic()


class Lookups:
    """Asks the kernel of a namespace which interface it would send a packet to."""

    def __init__(self, space: Namespace) -> None:
        self._socket = space.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))

    def interface(self, address: IPv4Address) -> int:
        """Index of the interface; 0 when there is no way."""
        rtmsg = struct.pack("=8BI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
        body = rtmsg + codec.attribute(codec.RTA_DST, address.packed)
        self._socket.send(codec.message(codec.RTM_GETROUTE, codec.NLM_F_REQUEST, body))
        data = self._socket.recv(1 << 16)
        length, kind, *_ = codec.HEADER.unpack_from(data)
        offset = codec.HEADER.size + len(rtmsg)
        while kind == codec.RTM_NEWROUTE and offset < length:
            size, name = codec.ATTRIBUTE.unpack_from(data, offset)
            if name == _RTA_OIF:
                return int(struct.unpack_from("=I", data, offset + 4)[0])
            offset += (size + 3) & ~3
        return 0

    def through(self, addresses: Sequence[IPv4Address], interface: int) -> list[IPv4Address]:
        """Those that go through an interface."""
        return [address for address in addresses if self.interface(address) == interface]


class Ends:
    """Notices the end of TCP connections on an interface: the first FIN or RST that comes in."""

    def __init__(self, space: Namespace, interface: str) -> None:
        self._socket = space.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_IP))
        )
        self._socket.bind((interface, _ETH_P_IP))

    def seen(self) -> bool:
        """True when there was one since the last call."""
        found = False
        while True:
            try:
                packet, origin = self._socket.recvfrom(128)
            except BlockingIOError:
                return found
            head = (packet[0] & 0x0F) * 4
            is_inbound = origin[2] != socket.PACKET_OUTGOING
            found |= is_inbound and packet[9] == socket.IPPROTO_TCP and bool(packet[head + 13] & _TCP_END)
