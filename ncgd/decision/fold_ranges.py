"""How events and time change what is known of the cluster's own ranges."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from ncgd.decision.export import with_lingering
from ncgd.decision.own_ranges import OwnRanges, with_ranges, with_time
from ncgd.decision.world import World
from ncgd.model.event import ClusterRangesRead
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Intent


def fold_ranges(world: World, event: ClusterRangesRead) -> World:
    """The World after a reading of the cluster's ranges."""
    if event.ranges is None:
        return replace(world, own=replace(world.own, is_awaited=True))
    known = _is_known(world)
    own = with_ranges(world.own, event.ranges, event.bare_nodes, _in_use(world), world.now, is_known=known)
    return _with_own(world, own)


def pass_time(world: World) -> World:
    """The World as time passes."""
    return _with_own(world, with_time(world.own, _in_use(world), world.now, is_known=_is_known(world)))


def _with_own(world: World, own: OwnRanges) -> World:
    return replace(world, own=with_lingering(world.intent or Intent(), world.own, own, world.now))


def _is_known(world: World) -> bool:
    """Whether it has been read what an earlier ncgd has left in use."""
    return world.routes.is_read and world.protection.disk.is_read


def _in_use(world: World) -> Iterator[Prefix]:
    """Learned prefixes that somebody may rely on: those with a route, those accepted, and those still protected."""
    protection = world.protection
    return chain(world.routes.installed, world.rib.best, protection.learned, protection.memory)
