"""Removes what an IKE daemon that is gone for good has left in the kernel: SAs and policies of our interface ids.

Structures: ``linux/xfrm.h``. A policy is named by its index and direction, an SA by destination, SPI and protocol.
"""

import errno
import socket
import struct
from contextlib import closing

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.errors import Unavailable
from ncgd.model.fib import is_our_nexthop

_DELSA, _GETSA, _DELPOLICY, _GETPOLICY = 0x11, 0x12, 0x14, 0x15
_MARK, _IF_ID = 21, 31
_SA_BYTES, _POLICY_BYTES = 224, 168
_SA_DESTINATION, _SA_SPI, _SA_PROTOCOL, _SA_FAMILY = slice(56, 72), slice(72, 76), slice(76, 77), slice(212, 214)
_SELECTOR, _INDEX, _DIRECTION = slice(0, 56), slice(156, 160), slice(160, 161)


async def remove() -> int:
    """Remove them all, and say how many there were. Raises DriverError; a kernel without IPsec has none."""
    with closing(NetlinkSocket(protocol=socket.NETLINK_XFRM)) as requests:
        try:
            policies = await requests.dump(_listing(_GETPOLICY), _Policies)
            states = await requests.dump(_listing(_GETSA), _States)
        except Unavailable as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EPROTONOSUPPORT:
                return 0
            raise
        found = [(_DELPOLICY, body) for body in policies.names] + [(_DELSA, body) for body in states.names]
        if found:
            await requests.send(
                [codec.message(kind, codec.NLM_F_REQUEST, body, number) for number, (kind, body) in enumerate(found)]
            )
        return len(found)


def _listing(kind: int) -> bytes:
    return codec.message(kind, codec.NLM_F_REQUEST | codec.NLM_F_DUMP, b"")


class _Policies:
    """What names each policy of ours, filled by a dump."""

    def __init__(self) -> None:
        self.names: list[bytes] = []

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one XFRM_MSG_NEWPOLICY."""
        row, found = data[start:end], dict(parse.attributes(data, start + _POLICY_BYTES, end))
        if _is_ours(found):
            name = row[_SELECTOR] + row[_INDEX] + row[_DIRECTION] + bytes(3)
            self.names.append(name + codec.attribute(_IF_ID, found[_IF_ID]))


class _States:
    """What names each SA of ours, filled by a dump."""

    def __init__(self) -> None:
        self.names: list[bytes] = []

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one XFRM_MSG_NEWSA."""
        row, found = data[start:end], dict(parse.attributes(data, start + _SA_BYTES, end))
        if _is_ours(found):
            name = row[_SA_DESTINATION] + row[_SA_SPI] + row[_SA_FAMILY] + row[_SA_PROTOCOL] + bytes(1)
            mark = codec.attribute(_MARK, found[_MARK]) if _MARK in found else b""
            self.names.append(name + mark)


def _is_ours(found: dict[int, bytes]) -> bool:
    """Interface ids lie in the range of nexthop ids (DESIGN §4)."""
    return _IF_ID in found and is_our_nexthop(struct.unpack("=I", found[_IF_ID])[0])
