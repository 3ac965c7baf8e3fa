"""How the cluster changes what is known: the part played here, the slices, and the ways to other nodes."""

from dataclasses import replace

from ncgd.decision.crossing import GATEWAY, PATH
from ncgd.decision.role import fold_role
from ncgd.decision.waiting import read_again
from ncgd.decision.world import World
from ncgd.model import event as ev


def fold_cluster(world: World, event: ev.RoleChanged | ev.SlicesRead | ev.WaysRead) -> World:
    """The World after one event about the cluster."""
    match event:
        case ev.RoleChanged(role=role):
            return _heard(fold_role(world, role))
        case ev.SlicesRead(slices=slices, damaged=damaged):
            ours = {name: row for name, row in slices.items() if row.gateway == world.gateway}
            world.packing.read(ours, frozenset(name for name in damaged if name.rpartition("-")[0] == world.gateway))
            if not world.role.is_decided:  # should it be the gateway, the others send it here at once
                world.protection.adopt(world.packing.published)
            return _heard(read_again(world, "slices"))
        case ev.WaysRead(ways=ways):
            return replace(world, ways=dict(ways))


def _heard(world: World) -> World:
    """On a node that is not the gateway, the prefixes in slices are the paths of one more peer.

    A slice that is gone says nothing: a gateway without prefixes says so in an empty one. Somebody has removed it, and
    what was read of it stays until the gateway has written it again.
    """
    packing, role = world.packing, world.role
    if role.is_gateway or not role.is_decided or not packing.held:
        return world
    table = world.rib.peers.get(GATEWAY)
    known = frozenset(table.paths) if table else frozenset()
    published = packing.hear(role.epoch)
    world.rib.learn(GATEWAY, PATH, published - known)
    world.rib.withdraw(GATEWAY, known - published)
    return world
