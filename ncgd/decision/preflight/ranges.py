"""Checks of addresses: which ranges clash, with each other, with tunnels' link-locals, with what is learned."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_interface

from ncgd.decision.preflight.facts import ClusterFacts, NodeFacts, Wanted
from ncgd.decision.preflight.verdict import Check, fail, ok, warn
from ncgd.model import prefix as px
from ncgd.model.fib import LINK_PREFIX
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Intent, PodExport, Tunnel

CLUSTER = "cluster"
SHOWN = 5
NODE_LOCAL_DNS = IPv4Address("169.254.20.10")
METADATA = {
    IPv4Address("169.254.169.254"): "the cloud's metadata server",
    IPv4Address("169.254.169.253"): "AWS's DNS server",
    IPv4Address("169.254.169.123"): "AWS's time server",
}
_BLOCK = 30
"""Cloud Router's sessions have a /30 each."""
_TUN_PREFIX = "ipsec"
"""charon's kernel-libipsec names its devices so: with a tunnel's own address they are those of userspace ESP."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Addresses that somebody has."""

    what: str
    prefix: Prefix

    def __str__(self) -> str:
        return f"{self.what} {px.text(self.prefix)}"


def link_local_checks(wanted: Intent, nodes: Iterable[NodeFacts], cluster: ClusterFacts | None) -> Iterator[Check]:
    """The tunnels' link-local addresses against everybody else's."""
    for tunnel in wanted.tunnels.values():
        where = f"tunnel {tunnel.name}"
        ends = _ends(tunnel, wanted)
        clashes = list(_clashes(tunnel, ends, wanted, nodes, cluster))
        yield from (fail("link-local", where, saw, "choose another /30 of 169.254.0.0/16 for it") for saw in clashes)
        if not clashes:
            yield ok("link-local", where, f"{' and '.join(map(str, sorted(ends)))} clash with nothing")


def _ends(tunnel: Tunnel, intent: Intent) -> set[IPv4Address]:
    far = {peer.peer_ip for peer in intent.peers.values() if peer.tunnel == tunnel.name} | {tunnel.remote_tunnel_ip}
    return {tunnel.local_tunnel_ip} | {each for each in far if isinstance(each, IPv4Address)}


def _clashes(
    tunnel: Tunnel, ends: set[IPv4Address], intent: Intent, nodes: Iterable[NodeFacts], cluster: ClusterFacts | None
) -> Iterator[str]:
    blocks = {px.make(4, int(end), _BLOCK) for end in ends}
    used = METADATA | ({NODE_LOCAL_DNS: "NodeLocal DNSCache"} if cluster and cluster.has_node_local_dns else {})
    for address, what in used.items():
        if any(px.covers(block, px.make(4, int(address), 32)) for block in blocks):
            yield f"{address} is {what}"
    for other in intent.tunnels.values():
        if other.name > tunnel.name and blocks & {px.make(4, int(end), _BLOCK) for end in _ends(other, intent)}:
            yield f"tunnel {other.name} is in the same /30"
    for node in nodes:
        for name, addresses in node.addresses.items():
            if name.startswith(LINK_PREFIX):
                continue
            for text in addresses:
                taken = ip_interface(text).ip
                if taken == tunnel.local_tunnel_ip and name.startswith(_TUN_PREFIX):
                    continue
                if any(px.covers(block, px.parse(f"{taken}/{taken.max_prefixlen}")) for block in blocks):
                    yield f"node {node.name} has {taken} on {name}"


def range_checks(cluster: ClusterFacts, wanted: Wanted) -> Iterator[Check]:
    """Pods, services and nodes against each other and against what is learned and advertised."""
    pods = [_Range(f"pods of {node.name}", px.parse(text)) for node in cluster.nodes for text in node.pod_cidrs]
    services = [_Range("services", px.parse(text)) for text in cluster.service_cidrs]
    nodes = [_Range(f"node {node.name}", px.parse(text)) for node in cluster.nodes for text in node.addresses]
    yield from _apart("ranges", [(pods, services), (pods, nodes), (services, nodes)])
    learned = [_Range("learned prefix", prefix) for prefix in wanted.learned]
    advertised = [_Range("advertised prefix", prefix) for prefix in wanted.intent.gateway.advertised_prefixes]
    yield from _apart("learned-ranges", [(learned, pods), (learned, services), (learned, nodes), (learned, advertised)])
    if wanted.intent.tunnels:
        is_exported = wanted.intent.gateway.export.pod_cidrs is PodExport.NODES
        yield _exported(cluster, advertised) if is_exported else _return_path(pods, advertised)


def _apart(name: str, pairs: list[tuple[list[_Range], list[_Range]]]) -> Iterator[Check]:
    clashes = [
        f"{one} overlaps {other}" for left, right in pairs for one in left for other in right if _meet(one, other)
    ]
    if clashes:
        more = f", and {len(clashes) - SHOWN} more" if len(clashes) > SHOWN else ""
        todo = "addresses must be unique over cluster and VPC: renumber one side; ncgd refuses such prefixes until then"
        yield fail(name, CLUSTER, "; ".join(clashes[:SHOWN]) + more, todo)
    elif any(left and right for left, right in pairs):
        yield ok(name, CLUSTER, "no two overlap")


def _meet(one: _Range, other: _Range) -> bool:
    return px.covers(one.prefix, other.prefix) or px.covers(other.prefix, one.prefix)


def _exported(cluster: ClusterFacts, advertised: list[_Range]) -> Check:
    """The pod ranges come from the Nodes; a network plugin with ranges of its own leaves none there."""
    without = [node.name for node in cluster.nodes if not node.pod_cidrs]
    if not without or advertised:
        return ok("return-path", CLUSTER, "the pod range of every node is advertised")
    todo = "list the plugin's pod ranges in spec.advertisedPrefixes of the gateway: else no answer finds its way back"
    return warn("return-path", CLUSTER, f"no spec.podCIDRs: {', '.join(without[:SHOWN])}", todo)


def _return_path(pods: list[_Range], advertised: list[_Range]) -> Check:
    name, where = "return-path", CLUSTER
    lost = [str(each) for each in pods if not any(px.covers(one.prefix, each.prefix) for one in advertised)]
    if not lost:
        return ok(name, where, "every pod's range is advertised" if pods else "no pod ranges are known")
    more = f", and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    todo = "let the gateway export podCIDRs of Nodes, or advertise them: else no answer finds its way back"
    return warn(name, where, f"not advertised: {', '.join(lost[:SHOWN])}{more}", todo)
