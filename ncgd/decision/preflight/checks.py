"""All checks, in the order in which a person reads them."""

from collections.abc import Iterable, Iterator

from ncgd.decision.preflight.cluster import cluster_checks
from ncgd.decision.preflight.facts import ClusterFacts, NodeFacts, Wanted
from ncgd.decision.preflight.keys import key_checks
from ncgd.decision.preflight.node import node_checks
from ncgd.decision.preflight.ranges import link_local_checks, range_checks
from ncgd.decision.preflight.verdict import Check, fail, ok, warn


def all_checks(
    cluster: ClusterFacts | None, nodes: Iterable[NodeFacts], wanted: Wanted, unseen: Iterable[tuple[str, str]] = ()
) -> Iterator[Check]:
    """Cluster, nodes, resources. Without a cluster (None) every node is a gateway.

    ``unseen``: nodes that could not be looked at, and why.
    """
    nodes = list(nodes)
    if cluster is not None:
        yield from cluster_checks(cluster, wanted)
        yield from range_checks(cluster, wanted)
    candidates = (
        {node.name for node in cluster.nodes if node.is_candidate} if cluster else {node.name for node in nodes}
    )
    in_pods = cluster is not None
    is_installed = cluster is not None and cluster.daemon is not None
    for node in nodes:
        is_gateway = node.name in candidates
        yield from node_checks(node, wanted.intent, is_gateway=is_gateway, in_pods=in_pods, is_installed=is_installed)
    for name, why in unseen:
        todo = "push the image where nodes find it, or name it with --image; --no-nodes leaves nodes alone"
        yield warn("node", name, f"could not be looked at: {why}", todo)
    yield from _resources(wanted)
    yield from key_checks(wanted)
    yield from link_local_checks(wanted.intent, nodes, cluster)


def _resources(wanted: Wanted) -> Iterator[Check]:
    """What ncgd itself would say of the resources, before it runs."""
    for each in wanted.intent.findings:
        where = f"{each.where}, {each.field}" if each.field else each.where
        judge = fail if each.is_error else warn
        yield judge("resources", where, f"{each.reason}: {each.message}", each.hint)
    if not wanted.intent.findings:
        counts = f"{len(wanted.intent.tunnels)} tunnels and {len(wanted.intent.peers)} peers"
        yield ok("resources", "resources", f"{counts}, nothing wrong")
