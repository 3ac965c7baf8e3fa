"""The small tables as they are: read back where a driver can read them, else what was written and accepted."""

from ncgd.decision.world import Rows, World
from ncgd.model.fib import LINK_PREFIX, Link, LinkKind


def observed(table: str, world: World) -> Rows:
    """A small table as it is. What can be read back is read back; the rest is what was written and accepted."""
    if table == "links":
        return dict(observed_links(world).items())
    if table == "nexthops":
        return dict((world.nexthops or {}).items())
    if table == "slices":
        return dict(world.packing.ours.items())
    if table == "addresses":
        return _observed_addresses(world)
    return world.written.get(table, {})


def _observed_addresses(world: World) -> Rows:
    """Addresses on our interfaces; the far end of one that an earlier run configured is not known, so it differs."""
    written = world.written.get("addresses", {})
    rows: dict[object, object] = {}
    for name in observed_links(world):
        for key in (world.interfaces or {})[name].address_keys():
            # The kernel gives every interface an IPv6 link-local address of its own.
            if key in written or not (key.address.version == 6 and key.address.is_link_local):
                rows[key] = written.get(key)
    return rows


def observed_links(world: World) -> dict[str, Link]:
    """Our interfaces as they are: XFRM and VXLAN devices with our prefix, and the TUN devices of our charons."""
    tuns = set(world.tuns.values())
    links: dict[str, Link] = {}
    for name, interface in (world.interfaces or {}).items():
        if name in tuns:
            links[name] = Link(name=name, kind=LinkKind.TUN, mtu=interface.mtu, is_up=interface.is_up)
        elif name.startswith(LINK_PREFIX) and interface.kind == LinkKind.XFRM:
            links[name] = Link(
                name=name, kind=LinkKind.XFRM, mtu=interface.mtu, if_id=interface.if_id, is_up=interface.is_up
            )
        elif name.startswith(LINK_PREFIX) and interface.kind == LinkKind.VXLAN:
            links[name] = Link(
                name=name, kind=LinkKind.VXLAN, mtu=interface.mtu, vxlan=interface.vxlan, is_up=interface.is_up
            )
    return links
