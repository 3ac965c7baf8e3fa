"""Netlink messages as rows: what the kernel tells us. Pure.

Each ``fold_*`` takes one message, ``data[start:end]`` without its nlmsghdr, and adds its row to a table. They are
called 100 000 times for a full table, hence offsets instead of slices.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from ncgd.drivers.kernel import codec
from ncgd.model.event import RoutesMeddled
from ncgd.model.fib import BACKSTOP_METRIC, METRIC, PROTOCOL, ForeignRoute, Nexthop, NexthopGroup, Vxlan, Way
from ncgd.model.prefix import IPAddress, Prefix, make

_RTMSG = struct.Struct("=8BI")
_U32 = struct.Struct("=I")
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_NHMSG = struct.Struct("=BBBBI")
_MEMBER = struct.Struct("=IBBH")
_attribute = codec.ATTRIBUTE.unpack_from
_u32 = _U32.unpack_from

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_XFRM_IF_ID = 1, 2, 2
_IFLA_VXLAN_ID, _IFLA_VXLAN_LOCAL, _IFLA_VXLAN_PORT, _IFLA_VXLAN_LOCAL6 = 1, 4, 15, 17
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NLA_TYPE_MASK = 0x3FFF
_EXT_ACK_TEXT = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the kernel refused one message: errno, and the kernel's own words when it has some."""

    errno: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.text or os.strerror(self.errno)} (errno {self.errno})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow:
    """An interface in a dump; MTU in bytes."""

    index: int
    name: str
    kind: str
    mtu: int
    is_up: bool
    """As the administrator set it."""
    has_carrier: bool
    if_id: int | None
    vxlan: Vxlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRow:
    """An address in a dump. ``peer`` equals ``address`` unless the address is point-to-point."""

    index: int
    address: IPAddress
    peer: IPAddress
    length: int


@dataclass(slots=True)
class RouteRows:
    """Our routes, collected over a dump."""

    routes: dict[Prefix, int] = field(default_factory=dict)
    """Prefix to nexthop id; 0 when somebody has given the row another kind of next hop."""
    backstops: set[Prefix] = field(default_factory=set)
    foreign: dict[Prefix, ForeignRoute] = field(default_factory=dict)
    """Rows of others that would win over ours."""

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one RTM_NEWROUTE; rows that are not ours in shape are passed over."""
        version, bits, _, _, _, protocol, _, kind, _ = _RTMSG.unpack_from(data, start)
        destination = metric = nexthop = 0
        offset = start + 12
        while offset < end:
            size, name = _attribute(data, offset)
            if name == codec.RTA_DST:
                destination = int.from_bytes(data[offset + 4 : offset + size])
            elif name == codec.RTA_PRIORITY:
                (metric,) = _u32(data, offset + 4)
            elif name == codec.RTA_NH_ID:
                (nexthop,) = _u32(data, offset + 4)
                break
            offset += (size + 3) & ~3
        prefix = make(4 if version == socket.AF_INET else 6, destination, bits)
        if protocol != PROTOCOL:
            if metric < METRIC:
                self.foreign[prefix] = ForeignRoute(protocol, metric)
        elif metric == METRIC:
            self.routes[prefix] = nexthop
        elif metric == BACKSTOP_METRIC and kind == codec.RTN_UNREACHABLE:
            self.backstops.add(prefix)


def foreign_change(kind: int, flags: int, data: bytes, start: int, end: int, *, news: RoutesMeddled) -> None:
    """Take into ``news`` what a route notification says of our row of its prefix.

    Whoever replaces our row leaves none of ours; a row of another protocol beside it is no business of ours.
    """
    version, bits, _, _, _, protocol, _, route_type, _ = _RTMSG.unpack_from(data, start)
    if protocol != PROTOCOL and not (kind == codec.RTM_NEWROUTE and flags & codec.NLM_F_REPLACE):
        return
    found = dict(attributes(data, start + _RTMSG.size, end))
    prefix = make(4 if version == socket.AF_INET else 6, int.from_bytes(found.get(codec.RTA_DST, b"")), bits)
    is_there = kind == codec.RTM_NEWROUTE and protocol == PROTOCOL
    metric = _u32(found[codec.RTA_PRIORITY])[0] if codec.RTA_PRIORITY in found else 0
    if metric == METRIC:
        group = _u32(found[codec.RTA_NH_ID])[0] if codec.RTA_NH_ID in found else 0
        news.routes[prefix] = group if is_there else None
    elif metric == BACKSTOP_METRIC:
        news.backstops[prefix] = is_there and route_type == codec.RTN_UNREACHABLE


def nexthop(data: bytes, start: int, end: int, names: dict[int, str]) -> Nexthop | NexthopGroup | None:
    """The nexthop object in an RTM_NEWNEXTHOP; None when it is not ours, or has no device (any more).

    ``names`` maps interface indexes to names.
    """
    version, _, protocol, _, flags = _NHMSG.unpack_from(data, start)
    if protocol != PROTOCOL:
        return None
    found = dict(attributes(data, start + _NHMSG.size, end))
    (nexthop_id,) = _u32(found[codec.NHA_ID])
    if codec.NHA_GROUP in found:
        members = tuple(member for member, _, _, _ in _MEMBER.iter_unpack(found[codec.NHA_GROUP]))
        return NexthopGroup(id=nexthop_id, members=members)
    version = 4 if version == socket.AF_INET else 6
    if codec.NHA_BLACKHOLE in found:
        return Nexthop(id=nexthop_id, version=version)
    interface = names.get(_u32(found[codec.NHA_OIF])[0]) if codec.NHA_OIF in found else None
    if interface is None:
        return None
    gateway = ip_address(found[codec.NHA_GATEWAY]) if codec.NHA_GATEWAY in found else None
    is_onlink = bool(flags & codec.RTNH_F_ONLINK)
    return Nexthop(id=nexthop_id, version=version, interface=interface, gateway=gateway, is_onlink=is_onlink)


def link(data: bytes, start: int, end: int) -> LinkRow:
    """The interface in an RTM_NEWLINK."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(data, start)
    found = dict(attributes(data, start + _IFINFOMSG.size, end))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    kind = _text(info.get(_IFLA_INFO_KIND, b""))
    settings = dict(attributes(info.get(_IFLA_INFO_DATA, b""))) if kind in {"xfrm", "vxlan"} else {}
    return LinkRow(
        index=index,
        name=_text(found[_IFLA_IFNAME]),
        kind=kind,
        mtu=_u32(found[_IFLA_MTU])[0],
        is_up=bool(flags & _IFF_UP),
        has_carrier=bool(flags & _IFF_RUNNING),
        if_id=_u32(settings[_IFLA_XFRM_IF_ID])[0] if kind == "xfrm" and _IFLA_XFRM_IF_ID in settings else None,
        vxlan=_vxlan(settings, found.get(_IFLA_ADDRESS, b"")) if kind == "vxlan" else None,
    )


def _vxlan(settings: dict[int, bytes], mac: bytes) -> Vxlan | None:
    """How a VXLAN device was made; None for one without an address of its own, or with any VNI."""
    local = settings.get(_IFLA_VXLAN_LOCAL) or settings.get(_IFLA_VXLAN_LOCAL6)
    if local is None or _IFLA_VXLAN_ID not in settings or _IFLA_VXLAN_PORT not in settings:
        return None
    return Vxlan(
        local=ip_address(local),
        mac=mac.hex(":"),
        network=_u32(settings[_IFLA_VXLAN_ID])[0],
        port=int.from_bytes(settings[_IFLA_VXLAN_PORT]),
    )


def way(data: bytes, start: int, end: int, names: Mapping[int, str]) -> Way | None:
    """The answer to a route lookup; None when it is not a packet for a device (unreachable, local, multicast)."""
    _, bits, _, _, _, _, _, kind, _ = _RTMSG.unpack_from(data, start)
    found = dict(attributes(data, start + _RTMSG.size, end))
    interface = names.get(_u32(found[codec.RTA_OIF])[0]) if codec.RTA_OIF in found else None
    if kind != codec.RTN_UNICAST or interface is None:
        return None
    gateway, source = (
        ip_address(found[name]) if name in found else None for name in (codec.RTA_GATEWAY, codec.RTA_PREFSRC)
    )
    return Way(interface=interface, gateway=gateway, source=source, length=bits)


def is_local(data: bytes, start: int) -> bool:
    """Whether the answer to a route lookup says that the packet is for this machine."""
    return bool(_RTMSG.unpack_from(data, start)[7] == codec.RTN_LOCAL)


def length(data: bytes, start: int) -> int:
    """Length in bits of the prefix in a route message."""
    return int(_RTMSG.unpack_from(data, start)[1])


def interface_address(data: bytes, start: int, end: int) -> AddressRow | None:
    """The address in an RTM_NEWADDR; None for families other than IP."""
    version, length, _, _, index = _IFADDRMSG.unpack_from(data, start)
    found = dict(attributes(data, start + _IFADDRMSG.size, end))
    peer = found.get(_IFA_ADDRESS, b"")
    local = found.get(_IFA_LOCAL, peer)
    if version not in (socket.AF_INET, socket.AF_INET6) or not local:
        return None
    return AddressRow(index=index, address=ip_address(local), peer=ip_address(peer or local), length=length)


def refusal(kind: int, flags: int, data: bytes, start: int, end: int) -> Refusal | None:
    """The errno in an NLMSG_ERROR, or at the end of a dump in NLMSG_DONE; None when all went well.

    With NETLINK_CAP_ACK an error repeats the header only of the message it is about; attributes follow it.
    """
    code = struct.unpack_from("=i", data, start)[0] if end - start >= 4 else 0
    if code == 0:
        return None
    text = ""
    if flags & codec.NLM_F_ACK_TLVS:
        offset = start + 4 + (codec.HEADER.size if kind == codec.NLMSG_ERROR else 0)
        text = _text(dict(attributes(data, offset, end)).get(_EXT_ACK_TEXT, b""))
    return Refusal(-code, text)


def attributes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each attribute in ``data[start:end]``."""
    end = len(data) if end is None else end
    while start + 4 <= end:
        size, name = _attribute(data, start)
        if size < 4:
            return
        yield name & _NLA_TYPE_MASK, data[start + 4 : start + size]
        start += (size + 3) & ~3


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")
