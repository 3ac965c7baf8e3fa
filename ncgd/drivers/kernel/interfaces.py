"""The interfaces of this host and their addresses, as they are now."""

from dataclasses import dataclass, field

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.parse import AddressRow, LinkRow
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.model.event import InterfacesRead
from ncgd.model.fib import Interface


@dataclass(slots=True)
class Links:
    """All interfaces, by name; filled by a dump."""

    rows: dict[str, LinkRow] = field(default_factory=dict)

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one RTM_NEWLINK."""
        row = parse.link(data, start, end)
        self.rows[row.name] = row


@dataclass(slots=True)
class Addresses:
    """All addresses of all interfaces; filled by a dump."""

    rows: list[AddressRow] = field(default_factory=list)

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one RTM_NEWADDR."""
        row = parse.interface_address(data, start, end)
        if row:
            self.rows.append(row)


async def read_links(socket: NetlinkSocket) -> dict[str, LinkRow]:
    """All interfaces, by name. Raises DriverError."""
    return (await socket.dump(codec.get_links(), Links)).rows


async def read_addresses(socket: NetlinkSocket) -> list[AddressRow]:
    """All addresses. Raises DriverError."""
    return (await socket.dump(codec.get_addresses(), Addresses)).rows


async def read(socket: NetlinkSocket) -> InterfacesRead:
    """All interfaces with their addresses, as the mailbox takes them. Raises DriverError.

    An interface without carrier counts as down: it can hold no nexthop object either.
    """
    links = await read_links(socket)
    texts: dict[int, list[str]] = {}
    for address in await read_addresses(socket):
        texts.setdefault(address.index, []).append(f"{address.address}/{address.length}")
    return InterfacesRead(
        interfaces={
            row.name: Interface(
                index=row.index,
                name=row.name,
                kind=row.kind,
                mtu=row.mtu,
                is_up=row.is_up and row.has_carrier,
                if_id=row.if_id,
                vxlan=row.vxlan,
                addresses=tuple(texts.get(row.index, ())),
            )
            for row in links.values()
        }
    )
