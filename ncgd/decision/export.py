"""What peers are told of our own networks, and why."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from ncgd.decision.own_ranges import LINGER_SECONDS, OwnRanges, is_special
from ncgd.decision.policy import may_export
from ncgd.model import prefix as px
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.prefix import Prefix
from ncgd.model.reason import ExportReason
from ncgd.model.report import ExportReport
from ncgd.model.spec import Export, Intent, Peer, PodExport, Policy, ServiceExport

MOST_TOLD = 5000
"""Prefixes that a peer is told at most: a Cloud Router that gets more ends the session, and keeps it down until
somebody mends it (Cloud Router quotas)."""
MANY_TOLD = 250
"""A project's quota of unique learned prefixes in a region may be as low: beyond it, a Cloud Router drops routes
without a word (Cloud Router quotas)."""
EVERYTHING = Policy()
"""No export policy: everything is let through."""
_OWNERS_SHOWN = 3


def exported(intent: Intent, own: OwnRanges, peer: Peer) -> list[Prefix]:
    """What a peer is told: of the session's IP version, as its export policy lets it, no more than it may be."""
    version, policy = peer.peer_ip.version, peer.export_policy
    advertised = (prefix for prefix in intent.gateway.advertised_prefixes if px.version(prefix) == version)
    listed = frozenset(_permitted(advertised, policy))
    told = dict.fromkeys(sorted(listed, key=px.sort_key))
    asked = (intent.gateway.export, policy)
    for prefixes in (_told(own, *asked), own.lingering.get(asked, ())):
        told |= dict.fromkeys(each for each in prefixes if px.version(each) == version and not _cover(each, listed))
    return sorted(list(told)[:MOST_TOLD], key=px.sort_key)


def with_lingering(intent: Intent, before: OwnRanges, after: OwnRanges, now: float) -> OwnRanges:
    """``after``, with what peers are told no more lingering. What was not judged ``before`` was told to nobody."""
    if not intent.peers or not before.is_judged or before.ours == after.ours:
        return after
    lingering = dict(after.lingering)
    for policy in {EVERYTHING, *(peer.export_policy for peer in intent.peers.values())}:
        asked = (intent.gateway.export, policy)
        gone = set(_told(before, *asked)).difference(_told(after, *asked))
        until = dict.fromkeys(sorted(gone, key=px.sort_key), now + LINGER_SECONDS)
        lingering[asked] = {**lingering.get(asked, {}), **until}
    return replace(after, lingering=lingering)


def exports(intent: Intent, own: OwnRanges) -> tuple[ExportReport, ...]:
    """Every network of ours with the reason why it is advertised, or not; before a peer's export policy."""
    return tuple(_rows(intent, own))


def _rows(intent: Intent, own: OwnRanges) -> Iterator[ExportReport]:
    export, listed = intent.gateway.export, frozenset(intent.gateway.advertised_prefixes)
    room = MOST_TOLD - len(listed)
    for prefix in sorted(listed, key=px.sort_key):
        yield _row(prefix, ExportReason.LISTED, "spec.advertisedPrefixes")
    present = _joined(_asked(own.ours, export))
    for prefix, parts in present.items():
        owners = _owners(parts)
        if cover := _cover(prefix, listed):
            yield _row(prefix, ExportReason.COVERED, f"{owners}; part of {px.text(cover)}", is_told=False)
            continue
        room -= 1
        if room >= 0:
            yield _row(prefix, parts[0].kind, owners)
        else:
            yield _row(prefix, ExportReason.LIMIT, owners, is_told=False)
    for prefix in own.lingering.get((export, EVERYTHING), ()):
        if prefix not in present and not _cover(prefix, listed):
            yield _row(prefix, ExportReason.LINGERING, "until the cloud has taken over what stands in its place")
    for each in _asked(own.all, export):
        if learned := own.overlaps.get(each.prefix):
            text = f"{each.owner}; overlaps {px.text(learned)}, which was learned before"
            yield _row(each.prefix, ExportReason.OVERLAPS_LEARNED, text, is_told=False)
        elif is_special(each.prefix):
            yield _row(each.prefix, ExportReason.SPECIAL_PURPOSE, each.owner, is_told=False)


def _told(own: OwnRanges, export: Export, policy: Policy) -> list[Prefix]:
    """The fewest prefixes for those of our ranges that are asked for, and that a peer's policy lets through."""
    return _aggregate(tuple(_permitted((each.prefix for each in _asked(own.ours, export)), policy)))


def _joined(ranges: Sequence[ClusterRange]) -> dict[Prefix, list[ClusterRange]]:
    """The fewest prefixes for these ranges, each with what it consists of."""
    parts: dict[Prefix, list[ClusterRange]] = {
        prefix: [] for prefix in _aggregate(tuple(each.prefix for each in ranges))
    }
    for each in ranges:
        parts[next(prefix for prefix in px.covering(each.prefix) if prefix in parts)].append(each)
    return parts


@lru_cache(maxsize=16)
def _aggregate(prefixes: tuple[Prefix, ...]) -> list[Prefix]:
    """Asked for the same at every pass."""
    return px.collapse(prefixes)


def _row(prefix: Prefix, reason: str, text: str, *, is_told: bool = True) -> ExportReport:
    return ExportReport(prefix=px.text(prefix), reason=str(reason), message=text, is_told=is_told)


def _asked(ranges: Sequence[ClusterRange], export: Export) -> list[ClusterRange]:
    """Those of a kind that is to be advertised."""
    kinds = set()
    if export.pod_cidrs == PodExport.NODES:
        kinds.add(RangeKind.POD)
    if export.services == ServiceExport.LOAD_BALANCER:
        kinds.add(RangeKind.LOAD_BALANCER)
    return [each for each in ranges if each.kind in kinds]


def _permitted(prefixes: Iterable[Prefix], policy: Policy) -> Iterable[Prefix]:
    return [prefix for prefix in prefixes if may_export(policy, prefix)] if policy.allow or policy.deny else prefixes


def _cover(prefix: Prefix, by: Collection[Prefix]) -> Prefix | None:
    return next((each for each in px.covering(prefix) if each in by), None) if by else None


def _owners(ranges: Iterable[ClusterRange]) -> str:
    names = list(dict.fromkeys(each.owner for each in ranges))
    more = f" and {len(names) - _OWNERS_SHOWN} more" if len(names) > _OWNERS_SHOWN else ""
    return ", ".join(names[:_OWNERS_SHOWN]) + more
