"""Tunnel addresses: IPv4 point-to-point, IPv6 without duplicate address detection."""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

from ncgd.drivers.kernel.edit import Edits, editing
from ncgd.drivers.kernel.interfaces import read_addresses, read_links
from ncgd.drivers.kernel.parse import AddressRow, LinkRow
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.model.delta import Delta, Outcome
from ncgd.model.fib import Address, AddressKey

_IFA_F_NODAD = 0x02


@dataclass(slots=True)
class _Present:
    """What the host has at the moment."""

    links: dict[str, LinkRow]
    addresses: list[AddressRow]

    def rows(self, key: AddressKey) -> list[AddressRow]:
        """The rows of one address on one interface: with several peers it may have several."""
        link = self.links.get(key.interface)
        return [row for row in self.addresses if link and row.index == link.index and row.address == key.address]

    def elsewhere(self, key: AddressKey) -> str | None:
        """The other interface that has the address."""
        indexes = {row.index for row in self.addresses if row.address == key.address}
        others = (link.name for link in self.links.values() if link.index in indexes and link.name != key.interface)
        return next(others, None)


class Addresses:
    """OwnedTable of addresses on interfaces; addresses that are not in a delta are left alone."""

    def __init__(self, reads: NetlinkSocket) -> None:
        self._reads = reads

    async def write(self, delta: Delta[AddressKey, Address]) -> Outcome[AddressKey]:
        """Remove, then add; failures by key. What is gone already counts as removed. Raises DriverError."""
        failed: dict[AddressKey, str] = {}
        present = _Present(await read_links(self._reads), await read_addresses(self._reads))
        async with editing() as edits:
            for key in delta.remove:
                for row in present.rows(key):
                    why = await _edit(edits, "del", row)
                    if why:
                        failed[key] = f"cannot remove {key.address} from interface {key.interface}: {why}"
                    else:
                        present.addresses.remove(row)
            for key, address in delta.set.items():
                why = await _set(edits, key, address, present)
                if why:
                    failed[key] = f"cannot put {key.address} on interface {key.interface}: {why}"
        return Outcome(failed)


async def _set(edits: Edits, key: AddressKey, address: Address, present: _Present) -> str:
    """Why the address could not be set, or ""."""
    link = present.links.get(key.interface)
    if link is None:
        return "the interface does not exist"
    other = present.elsewhere(key)
    if other and not address.is_shared:
        return f"it is on interface {other} already; remove it there, or give the tunnel another address"
    wanted = AddressRow(index=link.index, address=key.address, peer=address.peer or key.address, length=address.length)
    rows = present.rows(key)
    additions = [] if wanted in rows else [("add", wanted)]
    removals = [("del", row) for row in rows if row != wanted]
    # An IPv4 address can be there with its old and its new peer for a moment; an IPv6 address only once.
    steps = additions + removals if isinstance(key.address, IPv4Address) else removals + additions
    for verb, row in steps:
        why = await _edit(edits, verb, row)
        if why:
            return why
    return ""


async def _edit(edits: Edits, verb: str, row: AddressRow) -> str:
    spec: dict[str, str | int] = {"index": row.index, "address": str(row.peer), "prefixlen": row.length}
    if isinstance(row.address, IPv4Address):
        spec |= {"local": str(row.address), "family": socket.AF_INET}
    else:
        spec |= {"family": socket.AF_INET6, "flags": _IFA_F_NODAD}
    return await edits.address(verb, **spec)
