"""What is known of the cluster's own ranges, and which of them may not count as ours.

Of two that claim the same addresses the one that was there first keeps them: a prefix learned later is refused like any
that overlaps a network of ours, and a range that comes later is neither ours nor advertised, so that a Node that joins
takes no working route away. What was there first is known after a restart too: from the kernel's routes, and from disk.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ncgd.decision.policy import MARTIANS, Ranges
from ncgd.model import prefix as px
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Export, Policy

LINGER_SECONDS = 60.0
"""What is not to be advertised any more still is for so long: a cloud takes time to put a joined range, or the halves
of a divided one, in its place; and a Node that is renamed is gone for a moment."""
RECHECK_SECONDS = 10.0
"""How often it is looked at whether what a range overlaps has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRanges:
    """The ranges of the cluster."""

    is_awaited: bool = False
    """There is a cluster, and its ranges have not been read yet."""
    all: tuple[ClusterRange, ...] = ()
    ours: tuple[ClusterRange, ...] = ()
    """Those that are ours beyond doubt."""
    bare_nodes: tuple[str, ...] = ()
    """Nodes without a range of their own."""
    overlaps: Mapping[Prefix, Prefix] = field(default_factory=dict)
    """Ranges that came after a learned prefix that they overlap, and that prefix."""
    is_judged: bool = True
    """False: they were read before it was known what is in use here, so overlaps may be missing."""
    checked: float = 0.0
    """When that was looked at last (the loop's clock)."""
    lingering: Mapping[tuple[Export, Policy], Mapping[Prefix, float]] = field(default_factory=dict)
    """Prefixes that are told no more, by what was asked for and a peer's export policy: until when they still are.

    By the loop's clock. Only these are kept, not all ranges as they were: Nodes may come and go every second.
    """

    @property
    def due(self) -> list[float]:
        """When time alone changes something (the loop's clock)."""
        recheck = [self.checked + RECHECK_SECONDS] if self.overlaps else []
        return [until for prefixes in self.lingering.values() for until in prefixes.values()] + recheck


def is_special(prefix: Prefix) -> bool:
    """Whether no cluster can own it: a default route, or a special-purpose range (RFC 6890)."""
    return px.length(prefix) == 0 or _MARTIANS.overlaps(*px.span(prefix))


_MARTIANS = Ranges(MARTIANS)


def with_ranges(
    before: OwnRanges,
    ranges: tuple[ClusterRange, ...],
    bare_nodes: tuple[str, ...],
    learned: Iterable[Prefix],
    now: float,
    *,
    is_known: bool = True,
) -> OwnRanges:
    """The ranges after a reading. ``learned``: prefixes in use, or protected since an earlier run.

    ``is_known``: after a start, what is in use has been read.
    """
    if not any(each.kind == RangeKind.POD for each in ranges) and not bare_nodes:
        # A cluster does not lose its last Node, since we run on one: the list is not to be believed.
        ranges += tuple(each for each in before.all if each.kind == RangeKind.POD)
        bare_nodes = before.bare_nodes
    ranges = tuple(sorted(ranges))
    known = {each.prefix for each in before.ours}
    overlaps = _overlaps({each.prefix for each in ranges} - known, learned)
    after = replace(before, is_awaited=False, all=ranges, bare_nodes=bare_nodes, is_judged=is_known, checked=now)
    return _judged(after, overlaps)


def with_time(before: OwnRanges, learned: Iterable[Prefix], now: float, *, is_known: bool = True) -> OwnRanges:
    """The ranges as time passes: what lingers goes, what was overlapped may be free."""
    if is_known and not before.is_judged:
        judged = replace(before, is_judged=True, checked=now)
        return _judged(judged, _overlaps((each.prefix for each in before.all), learned))
    if all(due > now for due in before.due):
        return before
    lingering = {
        asked: {prefix: until for prefix, until in prefixes.items() if until > now}
        for asked, prefixes in before.lingering.items()
    }
    after = replace(before, lingering=lingering)
    if before.overlaps and before.checked + RECHECK_SECONDS <= now:
        after = _judged(replace(after, checked=now), _overlaps(before.overlaps.keys(), learned))
    return after


def _judged(own: OwnRanges, overlaps: Mapping[Prefix, Prefix]) -> OwnRanges:
    """With what is ours told apart."""
    ours = tuple(each for each in own.all if each.prefix not in overlaps and not is_special(each.prefix))
    return replace(own, ours=ours, overlaps=overlaps)


def _overlaps(ranges: Iterable[Prefix], learned: Iterable[Prefix]) -> dict[Prefix, Prefix]:
    """Which of the ranges overlap a learned prefix, and the first such prefix. A default route overlaps nothing."""
    asked = list(ranges)
    if not asked:
        return {}
    known = {prefix for prefix in learned if px.length(prefix)}
    touched = sorted(known.difference(Ranges(asked).clear_of(known)), key=px.sort_key)
    found = {}
    for each in asked:
        first = next((prefix for prefix in touched if px.covers(prefix, each) or px.covers(each, prefix)), None)
        if first is not None:
            found[each] = first
    return found
