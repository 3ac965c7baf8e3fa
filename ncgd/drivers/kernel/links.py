"""Interfaces: XFRM and VXLAN links, which are ours, and the settings of links that others make."""

import socket

from ncgd.drivers.kernel.edit import Edits, editing
from ncgd.drivers.kernel.interfaces import read_links
from ncgd.drivers.kernel.parse import LinkRow
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.model.delta import Delta, Outcome
from ncgd.model.fib import LINK_PREFIX, Link, LinkKind

_ALIAS = "ncgd"
_OURS = frozenset((LinkKind.XFRM, LinkKind.VXLAN))
_NAMES = {LinkKind.XFRM: "XFRM", LinkKind.VXLAN: "VXLAN"}
_LOOPBACK = 1
"""Lower device of the XFRM links: it never goes away, and the kernel routes the ESP packets by itself."""


class Links:
    """OwnedTable of interfaces by name.

    Only XFRM and VXLAN links named ``ncg*`` are created and removed; of other interfaces MTU and state are set.
    """

    def __init__(self, reads: NetlinkSocket) -> None:
        self._reads = reads

    async def write(self, delta: Delta[str, Link]) -> Outcome[str]:
        """Remove, then create and set what differs; failures by name. Raises DriverError."""
        failed: dict[str, str] = {}
        present = await read_links(self._reads)
        async with editing() as edits:
            for name in delta.remove:
                row = present.get(name)
                if row and row.kind in _OURS and name.startswith(LINK_PREFIX):
                    why = await edits.link("del", index=row.index)
                    if why:
                        failed[name] = f"cannot remove {row.kind} interface {name}: {why}"
            for name, link in delta.set.items():
                why = await _set(edits, link, present.get(name))
                if why:
                    failed[name] = why
        return Outcome(failed)


async def _set(edits: Edits, link: Link, row: LinkRow | None) -> str:
    """Why the link could not be made as wanted, or ""."""
    if link.kind in _OURS:
        kind = _NAMES[link.kind]
        if not link.name.startswith(LINK_PREFIX):
            return f"{kind} interface {link.name}: the name must start with {LINK_PREFIX}"
        if row and row.kind != link.kind:
            return f"interface {link.name} exists and is no {kind} interface: rename or remove it"
        if row and (row.if_id, row.vxlan) != (link.if_id, link.vxlan):
            why = await edits.link("del", index=row.index)
            if why:
                return f"cannot remove {kind} interface {link.name} to make it anew: {why}"
            row = None
        if row is None:
            return await _create(edits, link)
    if row is None:
        return f"interface {link.name} does not exist"
    return await _adjust(edits, link, row)


async def _create(edits: Edits, link: Link) -> str:
    kind = _NAMES[link.kind]
    settings, hint = _settings(link)
    why = await edits.link("add", ifname=link.name, kind=str(link.kind), mtu=link.mtu, **settings)
    if why:
        return f"cannot create {kind} interface {link.name}: {why}; {hint}"
    # Neither alias nor state are taken from the message that creates a link.
    state = "up" if link.is_up else "down"
    why = await edits.link("set", index=socket.if_nametoindex(link.name), ifalias=_ALIAS, state=state)
    return f"cannot set {kind} interface {link.name} {state}: {why}" if why else ""


def _settings(link: Link) -> tuple[dict[str, str | int], str]:
    """What pyroute2 is told of a link of ours, and what may stand in its way."""
    if vxlan := link.vxlan:
        local = "vxlan_local" if vxlan.local.version == 4 else "vxlan_local6"
        settings: dict[str, str | int] = {
            "address": vxlan.mac,
            "vxlan_id": vxlan.network,
            "vxlan_port": vxlan.port,
            local: str(vxlan.local),
            "vxlan_learning": 0,
        }
        return settings, f"VNI {vxlan.network} on UDP port {vxlan.port} must be free, and the kernel needs vxlan"
    if_id = link.if_id or 0
    return {"xfrm_link": _LOOPBACK, "xfrm_if_id": if_id}, f"its if_id {if_id:#x} must be free"


async def _adjust(edits: Edits, link: Link, row: LinkRow) -> str:
    changes: dict[str, str | int] = {}
    if row.mtu != link.mtu:
        changes["mtu"] = link.mtu
    if row.is_up != link.is_up:
        changes["state"] = "up" if link.is_up else "down"
    if not changes:
        return ""
    why = await edits.link("set", index=row.index, **changes)
    wanted = ", ".join(f"{name} {value}" for name, value in changes.items())
    return f"cannot set interface {link.name} to {wanted}: {why}" if why else ""
