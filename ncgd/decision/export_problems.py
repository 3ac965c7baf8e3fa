"""What is wrong with the way back: networks of ours that the far side does not, or may not, hear of."""

from collections.abc import Iterator, Sequence

from ncgd.decision.export import MANY_TOLD, MOST_TOLD
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.reason import ExportReason
from ncgd.model.report import ExportReport, Problem
from ncgd.model.spec import Intent, PodExport

EXPORT_PROBLEMS = frozenset(
    {ExportReason.OVERLAPS_LEARNED, ExportReason.LIMIT, "ManyExported", "NoPodCIDR", "NothingAdvertised"}
)
"""Their reasons."""
_AGGREGATE = "list the cluster's CIDR in spec.advertisedPrefixes: the ranges inside it are then not told one by one"


def export_problems(rows: Sequence[ExportReport], world: World, intent: Intent) -> Iterator[Problem]:
    """All of them, the worst first. ``rows``: what is advertised, and what is not; none but on a gateway."""
    gateway, own = str(intent.gateway.ref), world.own
    owners = {each.prefix: each.owner for each in own.all}
    for prefix, learned in sorted(own.overlaps.items(), key=lambda item: px.sort_key(item[0]))[:1]:
        more = f", and {len(own.overlaps) - 1} more ranges likewise" if len(own.overlaps) > 1 else ""
        yield Problem(
            reason=str(ExportReason.OVERLAPS_LEARNED),
            object=gateway,
            message=f"{px.text(prefix)} ({owners[prefix]}) overlaps {px.text(learned)}, which was learned before: it "
            f"is not advertised, and what is there and the VPC do not reach one another{more}",
            hint="renumber one of the two, or refuse the learned prefix with importPolicy.deny",
        )
    told = sum(row.is_told for row in rows)
    if refused := [row for row in rows if row.reason == ExportReason.LIMIT]:
        yield Problem(
            reason=str(ExportReason.LIMIT),
            object=gateway,
            message=f"{len(refused)} networks of ours are not advertised: a Cloud Router ends a session that brings "
            f"more than {MOST_TOLD} prefixes",
            hint=_AGGREGATE,
        )
    elif told > MANY_TOLD:
        yield Problem(
            reason="ManyExported",
            object=gateway,
            message=f"{told} prefixes are advertised; a region's quota of learned routes may be {MANY_TOLD}, and "
            "beyond it a Cloud Router drops routes without a word",
            hint=_AGGREGATE,
            is_error=False,
        )
    listed, export = intent.gateway.advertised_prefixes, intent.gateway.export
    if own.bare_nodes and not listed and export.pod_cidrs == PodExport.NODES:
        yield Problem(
            reason="NoPodCIDR",
            object=gateway,
            message=f"{len(own.bare_nodes)} nodes, {own.bare_nodes[0]} the first, have no spec.podCIDRs, so the VPC "
            "has no route back to their pods",
            hint="the CNI gives out addresses itself: list its pool in spec.advertisedPrefixes, or set "
            "export.podCIDRs: None",
            is_error=False,
        )
    elif world.role.is_gateway and intent.peers and not own.is_awaited and not told:
        yield Problem(
            reason="NothingAdvertised",
            object=gateway,
            message="spec.advertisedPrefixes is empty: the VPC gets no route back to us",
            hint="list the pod and site networks there, or give the VPC static routes",
            is_error=False,
        )
