"""Netlink messages as bytes: what we ask of the kernel. Pure.

Packed by hand, because pyroute2 knows neither nexthop objects (RTM_NEWNEXTHOP) nor RTA_NH_ID and needs some
220 µs for a route where ``struct`` needs one. Layouts: ``linux/netlink.h``, ``linux/rtnetlink.h``,
``linux/nexthop.h``. Integers are in host byte order, addresses in network byte order.
"""

import socket
import struct
from collections.abc import Sequence

from ncgd.model.fib import BACKSTOP_METRIC, METRIC, PROTOCOL
from ncgd.model.prefix import IPAddress, Prefix, split

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port id."""
ATTRIBUTE = struct.Struct("=HH")
"""rtattr: length with this header, type."""

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_ACK_TLVS = 0x200
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
_SET = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE

NHA_ID, NHA_GROUP, NHA_BLACKHOLE, NHA_OIF, NHA_GATEWAY = 1, 2, 4, 5, 6
RTNH_F_ONLINK = 4
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = range(1, 8)
RTA_TABLE, RTA_NH_ID = 15, 30
RTN_UNICAST, RTN_LOCAL, RTN_UNREACHABLE = 1, 2, 7
_TYPE_ANY = 0
RT_TABLE_MAIN = 254
IFLA_EXT_MASK = 29
_SKIP_STATS = 8
_RTM_F_FIB_MATCH = 0x2000
_SCOPE_UNIVERSE = 0
_SCOPE_ANY = 255
"""RT_SCOPE_NOWHERE matches every scope when a route is deleted (``net/ipv4/fib_trie.c``)."""

_U32 = struct.Struct("=HHI")
_NHMSG = struct.Struct("=BBBBI")
_GROUP_MEMBER = struct.Struct("=IBBH")


def family(version: int) -> int:
    """AF_INET or AF_INET6 for IP version 4 or 6."""
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def message(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    """One netlink message; ``body`` is padded to four bytes already."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


class _Row:
    """Messages about one kind of row: all but sequence number and prefix, and the numbers after ``tail``, is fixed."""

    def __init__(self, kind: int, route_type: int, metric: int, tail: bytes = b"", numbers: str = "") -> None:
        flags, scope = (_SET, _SCOPE_UNIVERSE) if kind == RTM_NEWROUTE else (NLM_F_REQUEST, _SCOPE_ANY)
        self._forms: dict[int, tuple[struct.Struct, bytes, bytes, bytes, bytes]] = {}
        for version, width in ((4, 4), (6, 16)):
            port_and_family = struct.pack("=IB", 0, family(version))
            rtmsg = struct.pack("=6BI", 0, 0, RT_TABLE_MAIN, PROTOCOL, scope, route_type, 0)
            to_address = rtmsg + ATTRIBUTE.pack(4 + width, RTA_DST)
            priority = _U32.pack(8, RTA_PRIORITY, metric) + tail
            layout = struct.Struct(f"=8sI5sB{len(to_address)}s{width}s{len(priority)}s{numbers}")
            start = struct.pack("=IHH", layout.size, kind, flags)
            self._forms[width] = layout, start, port_and_family, to_address, priority

    def pack(self, sequence: int, prefix: Prefix, *numbers: int) -> bytes:
        length, address = split(prefix)
        layout, start, port_and_family, to_address, priority = self._forms[len(address)]
        return layout.pack(start, sequence, port_and_family, length, to_address, address, priority, *numbers)


_SET_ROUTE = _Row(RTM_NEWROUTE, RTN_UNICAST, METRIC, ATTRIBUTE.pack(8, RTA_NH_ID), "I")
_DELETE_ROUTE = _Row(RTM_DELROUTE, _TYPE_ANY, METRIC)
_SET_BACKSTOP = _Row(RTM_NEWROUTE, RTN_UNREACHABLE, BACKSTOP_METRIC)
_DELETE_BACKSTOP = _Row(RTM_DELROUTE, RTN_UNREACHABLE, BACKSTOP_METRIC)


def set_route(sequence: int, prefix: Prefix, group: int) -> bytes:
    """Install the route of ``prefix`` in table main, or point it to another nexthop id.

    The kernel swaps an existing row of the same prefix and metric in one step: no packet sees a gap.
    """
    return _SET_ROUTE.pack(sequence, prefix, group)


def delete_route(sequence: int, prefix: Prefix) -> bytes:
    """Uninstall our route of ``prefix``; rows of other protocols or metrics do not match."""
    return _DELETE_ROUTE.pack(sequence, prefix)


def set_backstop(sequence: int, prefix: Prefix) -> bytes:
    """Install the ``unreachable`` row that catches ``prefix`` when its route is gone (DESIGN §5, no leak)."""
    return _SET_BACKSTOP.pack(sequence, prefix)


def delete_backstop(sequence: int, prefix: Prefix) -> bytes:
    """Uninstall the ``unreachable`` row of ``prefix``."""
    return _DELETE_BACKSTOP.pack(sequence, prefix)


def set_nexthop(
    sequence: int,
    nexthop_id: int,
    version: int,
    index: int | None,
    gateway: IPAddress | None,
    *,
    is_onlink: bool = False,
) -> bytes:
    """Create or replace a nexthop object: through interface ``index`` (and a gateway), or a blackhole without one."""
    target = attribute(NHA_BLACKHOLE, b"") if index is None else _U32.pack(8, NHA_OIF, index)
    if gateway is not None:
        version = gateway.version
        target += attribute(NHA_GATEWAY, gateway.packed)
    flags = RTNH_F_ONLINK if is_onlink else 0
    body = _NHMSG.pack(family(version), 0, PROTOCOL, 0, flags) + _U32.pack(8, NHA_ID, nexthop_id) + target
    return message(RTM_NEWNEXTHOP, _SET, body, sequence)


def set_group(sequence: int, group_id: int, members: Sequence[int]) -> bytes:
    """Create a nexthop group or swap its members in one step, whatever the number of routes behind it.

    All members weigh the same; the kernel wants the weight less one (``struct nexthop_grp``).
    """
    rows = b"".join(_GROUP_MEMBER.pack(member, 0, 0, 0) for member in members)
    body = (
        _NHMSG.pack(socket.AF_UNSPEC, 0, PROTOCOL, 0, 0) + _U32.pack(8, NHA_ID, group_id) + attribute(NHA_GROUP, rows)
    )
    return message(RTM_NEWNEXTHOP, _SET, body, sequence)


def delete_nexthop(sequence: int, nexthop_id: int) -> bytes:
    """Remove a nexthop object or group; the kernel removes every route behind it as well."""
    body = _NHMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _U32.pack(8, NHA_ID, nexthop_id)
    return message(RTM_DELNEXTHOP, NLM_F_REQUEST, body, sequence)


def get_routes(version: int) -> bytes:
    """Ask for the rows of table main (the kernel filters by table with strict checking, Linux 4.20)."""
    rtmsg = struct.pack("=8BI", family(version), 0, 0, 0, 0, 0, 0, 0, 0)
    return message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, rtmsg + _U32.pack(8, RTA_TABLE, RT_TABLE_MAIN))


def get_way(address: IPAddress) -> bytes:
    """Ask how a packet to ``address`` would go; the answer names the route's own prefix (RTM_F_FIB_MATCH).

    With that flag IPv4 tells no source address, and without it no prefix: hence ``get_source``.
    """
    return _lookup(address, _RTM_F_FIB_MATCH)


def get_source(address: IPAddress) -> bytes:
    """Ask how a packet to ``address`` would go; the answer names the source address that it would carry."""
    return _lookup(address, 0)


def get_way_through(destination: IPAddress, source: IPAddress | None, index: int) -> bytes:
    """Ask what would become of a packet that comes in by interface ``index``; ``source`` None: from 0.0.0.0."""
    came_from = attribute(RTA_SRC, source.packed) if source is not None else b""
    return _lookup(destination, 0, came_from + _U32.pack(8, RTA_IIF, index), source)


def _lookup(address: IPAddress, flags: int, more: bytes = b"", source: IPAddress | None = None) -> bytes:
    bits = source.max_prefixlen if source is not None else 0
    rtmsg = struct.pack("=8BI", family(address.version), address.max_prefixlen, bits, 0, 0, 0, 0, 0, flags)
    return message(RTM_GETROUTE, NLM_F_REQUEST, rtmsg + attribute(RTA_DST, address.packed) + more)


def get_nexthops() -> bytes:
    """Ask for all nexthop objects; the kernel cannot filter them by protocol."""
    return message(RTM_GETNEXTHOP, NLM_F_REQUEST | NLM_F_DUMP, _NHMSG.pack(0, 0, 0, 0, 0))


def get_links() -> bytes:
    """Ask for all interfaces, without their statistics."""
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _U32.pack(8, IFLA_EXT_MASK, _SKIP_STATS)
    return message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, body)


def get_addresses() -> bytes:
    """Ask for all addresses of both IP versions."""
    return message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, 0))
