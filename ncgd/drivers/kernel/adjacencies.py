"""Where the next hops on our VXLAN device are: told by us, so that nothing is asked for and nothing is learned."""

import socket

from ncgd.drivers.kernel.edit import Edits, editing
from ncgd.model.delta import Delta, Outcome
from ncgd.model.fib import AddressKey, Adjacency

_NUD_PERMANENT, _NTF_SELF = 0x80, 0x02
_ABSENT = ("(errno 2)", "(errno 3)", "(errno 19)")
"""ENOENT, ESRCH, ENODEV: what is to be removed is not there any more."""


class Adjacencies:
    """OwnedTable of next hops on devices: a permanent neighbour and a forwarding entry each."""

    async def write(self, delta: Delta[AddressKey, Adjacency]) -> Outcome[AddressKey]:
        """Set, then remove; failures by key. Raises DriverError."""
        failed: dict[AddressKey, str] = {}
        async with editing() as edits:
            for key, row in delta.set.items():
                if why := await _set(edits, key, row):
                    failed[key] = f"cannot tell {key.interface} that {key.address} is at {row.remote}: {why}"
            for key in delta.remove:
                if why := await _remove(edits, key):
                    failed[key] = f"cannot remove neighbour {key}: {why}"
        return Outcome(failed)


async def _set(edits: Edits, key: AddressKey, row: Adjacency) -> str:
    try:
        index = socket.if_nametoindex(key.interface)
    except OSError:
        return "the interface does not exist"
    at = {"lladdr": row.mac, "dst": str(row.remote)}
    why = await edits.forwarding("replace", ifindex=index, flags=_NTF_SELF, state=_NUD_PERMANENT, **at)
    if why:
        return why
    family = socket.AF_INET if key.address.version == 4 else socket.AF_INET6
    return await edits.neighbor(
        "replace", family=family, ifindex=index, dst=str(key.address), lladdr=row.mac, state=_NUD_PERMANENT
    )


async def _remove(edits: Edits, key: AddressKey) -> str:
    """Only the neighbour: a forwarding entry for a MAC that nobody sends to does nothing, and goes with the device."""
    try:
        index = socket.if_nametoindex(key.interface)
    except OSError:
        return ""
    family = socket.AF_INET if key.address.version == 4 else socket.AF_INET6
    why = await edits.neighbor("del", family=family, ifindex=index, dst=str(key.address))
    return "" if why.endswith(_ABSENT) else why
