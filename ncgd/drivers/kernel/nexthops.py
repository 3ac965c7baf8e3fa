"""Nexthop objects and groups: what routes point at, so that moving all of them is one message.

Kernel facts (``net/ipv4/nexthop.c``): an object whose device goes down is removed, without a notification; a group
that loses its last member goes too, and every route behind it with it; groups stay groups when replaced.
"""

import errno
import socket

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import NexthopsRead
from ncgd.model.fib import Nexthop, NexthopGroup, is_our_nexthop

Row = Nexthop | NexthopGroup


class Nexthops:
    """OwnedTable of the nexthop objects that carry our protocol and lie in our range of ids."""

    def __init__(self, writes: NetlinkSocket, reads: NetlinkSocket) -> None:
        self._writes = writes
        self._reads = reads

    async def write(self, delta: Delta[int, Row]) -> Outcome[int]:
        """Create or replace members, then groups; remove groups, then members. Failures by id.

        The members of a group are swapped in one step; when the kernel refuses one, the group keeps those it had.
        What is gone already counts as removed. Raises DriverError.
        """
        failed: dict[int, str] = {}
        sent: list[tuple[int, str]] = []
        messages: list[bytes] = []
        for key, row in sorted(delta.set.items(), key=lambda item: isinstance(item[1], NexthopGroup)):
            try:
                messages.append(_set(len(messages), row))
                sent.append((key, _describe(row)))
            except (ValueError, OSError) as error:
                failed[key] = f"cannot set {_describe(row)}: {error}"
        for key in sorted(delta.remove):  # ids of groups lie below those of their members
            messages.append(codec.delete_nexthop(len(messages), key))
            sent.append((key, ""))
        for index, why in (await self._writes.send(messages)).items():
            key, row_text = sent[index]
            if row_text:
                failed[key] = f"cannot set {row_text}: {why}"
            elif why.errno != errno.ENOENT:
                failed[key] = f"cannot remove nexthop {key:#x}: {why}"
        return Outcome(failed)

    async def read(self) -> NexthopsRead:
        """All our objects. Raises DriverError."""
        return NexthopsRead(nexthops=(await self._reads.dump(codec.get_nexthops(), _Dump)).rows)


class _Dump:
    """Our nexthop objects by id, filled by a dump."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self._names = dict(socket.if_nameindex())

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one RTM_NEWNEXTHOP."""
        row = parse.nexthop(data, start, end, self._names)
        if row and is_our_nexthop(row.id):
            self.rows[row.id] = row


def _set(sequence: int, row: Row) -> bytes:
    """Raises ValueError for a row that must not be, OSError when its interface does not exist."""
    if not is_our_nexthop(row.id):
        raise ValueError("the id is outside ncgd's range")
    if isinstance(row, NexthopGroup):
        if not row.members:
            raise ValueError("a group is never empty, its routes would vanish: put a blackhole into it")
        return codec.set_group(sequence, row.id, row.members)
    index = socket.if_nametoindex(row.interface) if row.interface is not None else None
    return codec.set_nexthop(sequence, row.id, row.version, index, row.gateway, is_onlink=row.is_onlink)


def _describe(row: Row) -> str:
    if isinstance(row, NexthopGroup):
        return f"nexthop group {row.id:#x} of {', '.join(f'{member:#x}' for member in row.members) or 'nothing'}"
    if row.interface is None:
        return f"blackhole nexthop {row.id:#x}"
    via = f" via {row.gateway}" if row.gateway is not None else ""
    return f"nexthop {row.id:#x}{via} dev {row.interface}"
