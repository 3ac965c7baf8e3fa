"""Checks of the cluster as a whole."""

from collections.abc import Iterator
from typing import Any

from ncgd.decision.preflight.facts import ClusterFacts, Wanted
from ncgd.decision.preflight.ranges import CLUSTER, SHOWN
from ncgd.decision.preflight.verdict import Check, fail, ok, warn
from ncgd.model.report import Health
from ncgd.model.spec import Masquerade
from ncgd.resources import crd
from ncgd.resources.v1alpha1 import VERSION

OLDEST_MINOR = 20
"""Server-side apply and leases as ncgd uses them are held against a real Kubernetes 1.20."""
ENABLED = "true"
BPF_MASQUERADE = "cilium-config enable-bpf-masquerade"
CILIUM_AGENT = "cilium-config enable-ip-masq-agent"
ANNOTATION = "baremetal.cluster.gke.io/enable-gng"
_FOREIGN = "Google's NCG has these names: save its tunnels and peers, and remove it as its documentation says"
GATEWAY_LABEL = "networking.gke.io/ncgd-gateway"


def cluster_checks(cluster: ClusterFacts, wanted: Wanted) -> Iterator[Check]:
    """Everything that is not about one node, or about addresses."""
    yield _version(cluster)
    yield from _rights(cluster)
    yield from _definitions(cluster)
    yield from _nodes(cluster)
    yield _network(cluster, wanted.intent.gateway.masquerade)
    yield from _enabled(cluster)
    yield from _daemon(cluster)
    yield from _health(wanted)
    if wanted.intent.tunnels:
        yield _keys(cluster)
    for what, why in cluster.unknown.items():
        yield warn("unknown", CLUSTER, f"{what} cannot be read: {why}", "ask somebody who may, or grant it")


def _version(cluster: ClusterFacts) -> Check:
    if cluster.minor < OLDEST_MINOR:
        return fail("version", CLUSTER, f"Kubernetes {cluster.version}", f"upgrade to 1.{OLDEST_MINOR} or later")
    return ok("version", CLUSTER, f"Kubernetes {cluster.version} at {cluster.url}")


def _rights(cluster: ClusterFacts) -> Iterator[Check]:
    if cluster.denied:
        todo = "use a kubeconfig that may: cluster-admin can install; ncgd itself needs only config/rbac"
        yield warn("rights", CLUSTER, f"you may not {_few(cluster.denied)}", todo)
    else:
        yield ok("rights", CLUSTER, "you may do all that an installation takes")


def _definitions(cluster: ClusterFacts) -> Iterator[Check]:
    absent = [kind for kind, installed in cluster.definitions.items() if installed is None]
    if absent and len(absent) == len(cluster.definitions):
        yield warn("definitions", CLUSTER, "none of ncgd's kinds is known", "ncgctl install")
        return
    for kind, installed in cluster.definitions.items():
        yield _definition(kind, installed)


def _definition(kind: str, installed: Any) -> Check:
    if installed is None:
        return fail("definitions", kind, "its CustomResourceDefinition is not installed", "ncgctl install")
    if not crd.is_ours(installed):
        return fail("definitions", kind, "its CustomResourceDefinition is not ncgd's, but of the same name", _FOREIGN)
    lacking, unknown = crd.lacking(kind, installed), crd.exceeding(kind, installed)
    if lacking:
        saw = f"older than this ncgctl: it lacks {_few(lacking)}, which the API server drops from objects"
        return fail("definitions", kind, saw, "ncgctl install, then apply the objects that use these fields again")
    if unknown:
        saw = f"newer than this ncgctl: it has {_few(unknown)}"
        return warn(
            "definitions", kind, saw, "use an ncgctl of the same version: installing this one would take these away"
        )
    return ok("definitions", kind, f"{VERSION}, as this ncgctl knows it")


def _nodes(cluster: ClusterFacts) -> Iterator[Check]:
    lost = [node.name for node in cluster.nodes if not node.is_ready]
    if lost:
        yield warn("nodes", CLUSTER, f"not ready: {_few(lost)}", "kubectl describe node says why")
    candidates = [node.name for node in cluster.nodes if node.is_candidate]
    if candidates:
        yield ok("gateway-nodes", CLUSTER, f"{_few(candidates)} may hold the gateway")
    else:
        todo = (
            f"kubectl label node NODE {GATEWAY_LABEL}= (two nodes, for failover), or ncgctl install --gateway-node NODE"
        )
        yield warn(
            "gateway-nodes", CLUSTER, f"no node has the label {GATEWAY_LABEL}: nobody may hold the gateway", todo
        )


def _network(cluster: ClusterFacts, masquerade: Masquerade) -> Check:
    network = ", ".join(cluster.cni) or "no network plugin that ncgctl knows"
    saw = "; ".join([network, *(f"{what}: {value}" for what, value in cluster.masquerade.items())])
    if not _is_on(cluster, BPF_MASQUERADE):
        return ok("network", CLUSTER, saw)
    if not _is_on(cluster, CILIUM_AGENT):
        todo = "set enable-ip-masq-agent to true in cilium-config: eBPF masquerades where no rule of ncgd can exempt"
        return warn("network", CLUSTER, saw, todo)
    if masquerade is not Masquerade.CONFIG_MAP:
        todo = "set spec.masquerade of the gateway to ConfigMap: eBPF masquerades where no rule of ncgd can exempt"
        return warn("network", CLUSTER, saw, todo)
    return ok("network", CLUSTER, saw)


def _is_on(cluster: ClusterFacts, setting: str) -> bool:
    return cluster.masquerade.get(setting, "").lower() == "true"


def _enabled(cluster: ClusterFacts) -> Iterator[Check]:
    for name, value in cluster.enabled.items():
        if value == ENABLED:
            yield ok("enabled", f"Cluster/{name}", f"{ANNOTATION}: {value}")
        else:
            saw = f"{ANNOTATION} is {'missing' if value is None else repr(value)}"
            yield warn("enabled", f"Cluster/{name}", saw, "ncgctl --enable-ncg-on-existing-cluster")


def _daemon(cluster: ClusterFacts) -> Iterator[Check]:
    daemon = cluster.daemon
    if cluster.has_foreign_daemon:
        yield fail("daemon", CLUSTER, "DaemonSet kube-system/ncgd is not ncgd's, but of the same name", _FOREIGN)
        return
    if daemon is None:
        yield ok("daemon", CLUSTER, "DaemonSet ncgd is not installed yet")
        return
    saw = f"DaemonSet ncgd ({daemon.image}): {daemon.available} of {daemon.desired} nodes"
    if daemon.available < daemon.desired:
        yield warn("daemon", CLUSTER, saw, "kubectl get pods -n kube-system -o wide | grep ncgd")
    elif daemon.updated < daemon.desired:
        yield warn("daemon", CLUSTER, f"{saw}, {daemon.updated} of the new version", "the rollout goes on; ask again")
    else:
        yield ok("daemon", CLUSTER, saw)
    if cluster.lacking:
        todo = "ncgctl install (or kubectl apply -f config/rbac) of the version that runs"
        yield fail("daemon-rights", CLUSTER, f"ncgd may not {_few(cluster.lacking)}", todo)
    elif cluster.lacking_options:
        todo = "services.yaml (spec.export.services) and definitions.yaml (older definitions) in config/rbac, if wanted"
        yield warn("daemon-rights", CLUSTER, f"ncgd may not {_few(cluster.lacking_options)}", todo)
    else:
        yield ok("daemon-rights", CLUSTER, "ncgd may do what it needs")


def _health(wanted: Wanted) -> Iterator[Check]:
    """What ncgd says itself, once there are tunnels to speak of."""
    for name, told in wanted.health.items() if wanted.intent.tunnels else ():
        if told.startswith(Health.HEALTHY):
            yield ok("gateway", name, told)
        else:
            yield warn(
                "gateway", name, told, f"ncgctl status on that node, or kubectl describe ncg {name}: they say why"
            )


def _keys(cluster: ClusterFacts) -> Check:
    if not cluster.unreadable_keys:
        return ok("key-rights", CLUSTER, "ncgd may read every Secret that a tunnel names")
    saw = f"ncgd may not read {_few(cluster.unreadable_keys)}"
    return fail("key-rights", CLUSTER, saw, "ncgctl install grants what the tunnels name now")


def _few(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
