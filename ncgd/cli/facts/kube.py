"""The facts of a cluster, from its API. What may not be read is unknown, and no reason to stop."""

import asyncio
import os
import re
from collections.abc import Iterable
from typing import Any

from ncgd.cli.facts.folder import shapes
from ncgd.cli.manifests import OPTIONAL, image_of, is_ours, manifests, rights
from ncgd.decision.preflight.cluster import ANNOTATION, GATEWAY_LABEL
from ncgd.decision.preflight.facts import ClusterFacts, ClusterNode, Daemon, Wanted
from ncgd.model import prefix as px
from ncgd.model.secret import Vault
from ncgd.resources import crd, v1, v1alpha1
from ncgd.resources.decode import Document
from ncgd.resources.load import Loaded, Reading, load
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json

CLUSTERS = "/apis/baremetal.cluster.gke.io/v1/clusters"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WHERE = "Kubernetes"

_PLUGINS: tuple[str, ...] = (
    "cilium",
    "anetd",
    "calico-node",
    "canal",
    "kube-flannel",
    "kindnet",
    "antrea-agent",
    "weave-net",
)
_PLUGINS += ("aws-node", "azure-cns", "kube-router", "kube-ovn-cni")
_NODE_LOCAL_DNS = ("node-local-dns", "nodelocaldns")
_NEEDED = (
    ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "apps", "daemonsets"),
    ("patch", "apps", "daemonsets"),
    ("create", "", "serviceaccounts"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "roles"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("create", v1alpha1.GROUP, "networkconnectivitygateways"),
    ("patch", "", "nodes"),
    ("create", "", "pods"),
)
_RANGE = re.compile(r"valid IPs is ([0-9a-fA-F.:/]+)")


class Facts:
    """Reads one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._unknown: dict[str, str] = {}

    async def read(self) -> tuple[ClusterFacts, Wanted]:
        """Everything. Raises DriverError when the server does not answer, or answers nobody like us (401)."""
        version = await self._cluster.get("/version")
        wanted, secrets = await self._wanted()
        daemon_sets = await self._list("DaemonSets", "/apis/apps/v1/daemonsets")
        names = {item["metadata"]["name"] for item in daemon_sets}
        named = next((each for each in daemon_sets if self._is_named_ncgd(each)), None)
        daemon = _daemon(named) if named and is_ours(named) else None
        facts = ClusterFacts(
            url=self._cluster.url,
            version=str(version.get("gitVersion", "")),
            minor=int(re.sub(r"\D", "", str(version.get("minor", ""))) or 0),
            nodes=tuple(_node(item) for item in await self._list("nodes", "/api/v1/nodes") if is_linux(item)),
            service_cidrs=await self._service_cidrs(),
            cni=tuple(sorted(name for name in names if name.startswith(_PLUGINS))),
            masquerade=await self._masquerade(daemon_sets),
            has_node_local_dns=any(name in names for name in _NODE_LOCAL_DNS),
            definitions=await self._definitions(),
            denied=await self._denied(),
            unreadable_keys=tuple([name for name in sorted(secrets) if not await self._may_read(name)]),
            lacking=await self._lacking(is_optional=False) if daemon else (),
            lacking_options=await self._lacking(is_optional=True) if daemon else (),
            daemon=daemon,
            has_foreign_daemon=named is not None and daemon is None,
            enabled=await self._enabled(),
            unknown=self._unknown,
        )
        return facts, wanted

    async def _get(self, what: str, path: str) -> Json | None:
        """The object at a path; None when there is none, or when it may not be read."""
        try:
            return await self._cluster.get(path)
        except ApiRejected as error:
            if error.code != 404:
                self._unknown[what] = str(error)
            return None

    async def _list(self, what: str, path: str) -> list[Json]:
        found = (await self._get(what, path) or {}).get("items") or ()
        return [item for item in found if isinstance(item, dict)]

    @staticmethod
    def _is_named_ncgd(item: Json) -> bool:
        return (item["metadata"].get("namespace"), item["metadata"]["name"]) == (v1.DEFAULT_NAMESPACE, "ncgd")

    async def _service_cidrs(self) -> tuple[str, ...]:
        """From the objects where there are some (1.33), else from a refusal; nothing else tells, and nothing is made.

        Old servers do not refuse in a dry run; then the address of the API itself stands for the range.
        """
        listed = await self._list("service ranges", "/apis/networking.k8s.io/v1/servicecidrs")
        if listed:
            return tuple(cidr for item in listed for cidr in item["spec"].get("cidrs") or ())
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"generateName": "ncgctl-", "namespace": v1.DEFAULT_NAMESPACE},
            "spec": {"clusterIP": "192.0.2.1", "ports": [{"port": 1}]},
        }
        try:
            await self._cluster.create(f"/api/v1/namespaces/{v1.DEFAULT_NAMESPACE}/services", service, dryRun="All")
        except ApiRejected as error:
            found = tuple(dict.fromkeys(_RANGE.findall(str(error))))
            if found:
                return found
        api = await self._get("the Service kubernetes", "/api/v1/namespaces/default/services/kubernetes") or {}
        address = (api.get("spec") or {}).get("clusterIP")
        return (str(address),) if address else ()

    async def _masquerade(self, daemon_sets: list[Json]) -> dict[str, str]:
        found = {}
        cilium = (
            await self._get("cilium-config", "/api/v1/namespaces/kube-system/configmaps/cilium-config") or {}
        ).get("data") or {}
        for key in ("enable-ipv4-masquerade", "enable-bpf-masquerade", "enable-ip-masq-agent"):
            if key in cilium:
                found[f"cilium-config {key}"] = str(cilium[key])
        for item in await self._list("Calico's pools", "/apis/crd.projectcalico.org/v1/ippools"):
            found[f"IPPool {item['metadata']['name']} natOutgoing"] = str((item.get("spec") or {}).get("natOutgoing"))
        for item in daemon_sets:
            name = item["metadata"]["name"]
            if name.startswith("kube-flannel"):
                found[f"{name} --ip-masq"] = "true" if "--ip-masq" in str(item.get("spec")) else "false"
            if "ip-masq-agent" in name:
                found[name] = "runs"
        return found

    async def _definitions(self) -> dict[str, Json | None]:
        found = {}
        for kind in crd.DEFINED:
            name = f"{crd.plural(kind)}.{v1alpha1.GROUP}"
            found[kind] = await self._get(f"definition {name}", f"{DEFINITIONS}/{name}")
        return {} if any(what.startswith("definition") for what in self._unknown) else found

    async def _denied(self) -> tuple[str, ...]:
        async def is_denied(verb: str, group: str, resource: str) -> bool:
            attributes = {"verb": verb, "group": group, "resource": resource, "namespace": v1.DEFAULT_NAMESPACE}
            return not await self._review("SelfSubjectAccessReview", {"resourceAttributes": attributes})

        answers = await asyncio.gather(*(is_denied(*each) for each in _NEEDED))
        return tuple(
            f"{verb} {resource}{f'.{group}' if group else ''}"
            for (verb, group, resource), is_no in zip(_NEEDED, answers, strict=True)
            if is_no
        )

    async def _may_read(self, secret: str) -> bool:
        asked = {"verb": "list", "resource": "secrets", "namespace": v1.DEFAULT_NAMESPACE, "name": secret}
        return await self._may(asked)

    async def _lacking(self, *, is_optional: bool) -> tuple[str, ...]:
        """Of what this version grants to ncgd; the keys are another matter."""
        items = [item for item in manifests(0) if (item["metadata"]["name"] in OPTIONAL) is is_optional]
        granted = [each for each in rights(items) if each["resource"] != "secrets"]
        answers = await asyncio.gather(*map(self._may, granted))
        lacking = (each for each, may in zip(granted, answers, strict=True) if not may)
        return tuple(dict.fromkeys(f"{each['verb']} {each['resource']}" for each in lacking))

    async def _may(self, attributes: Json) -> bool:
        """Whether ncgd's service account may."""
        user = f"system:serviceaccount:{v1.DEFAULT_NAMESPACE}:ncgd"
        return await self._review("SubjectAccessReview", {"user": user, "resourceAttributes": attributes})

    async def _review(self, kind: str, spec: Json) -> bool:
        """What the server's authorizer says; True when it may not be asked."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec}
        try:
            answer = await self._cluster.create(f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
        except ApiRejected as error:
            self._unknown["rights"] = str(error)
            return True
        return bool((answer.get("status") or {}).get("allowed"))

    async def _enabled(self) -> dict[str, str | None]:
        found = {}
        for item in await self._list("Cluster objects", CLUSTERS):
            metadata = item["metadata"]
            found[f"{metadata.get('namespace')}/{metadata['name']}"] = (metadata.get("annotations") or {}).get(
                ANNOTATION
            )
        return found

    async def _wanted(self) -> tuple[Wanted, set[str]]:
        """The resources as ncgd would understand them, and the Secrets that tunnels name."""
        vault = Vault(os.urandom(16))
        items: dict[str, list[Json]] = {}
        for kind in v1alpha1.KINDS:
            path = f"/apis/{v1alpha1.API_VERSION}/namespaces/{v1.DEFAULT_NAMESPACE}/{crd.plural(kind)}"
            items[kind] = [
                {**item, "kind": kind, "apiVersion": v1alpha1.API_VERSION} for item in await self._list(kind, path)
            ]
        names = {str(name) for item in items["OverlayVPNTunnel"] if (name := _key_name(item)) and v1.is_name(name)}
        secrets = [await self._secret(name) for name in sorted(names)]
        readings = [_reading(kind, found) for kind, found in items.items()]
        readings.append(_reading("Secret", [each for each in secrets if each is not None]))
        loaded = load(readings, Loaded(), vault)
        learned = _learned(items["OverlayBGPPeer"])
        health = _health(items["NetworkConnectivityGateway"])
        return Wanted(intent=loaded.intent, keys=shapes(loaded.intent, vault), learned=learned, health=health), names

    async def _secret(self, name: str) -> Json | None:
        found = await self._get(f"Secret {name}", f"/api/v1/namespaces/{v1.DEFAULT_NAMESPACE}/secrets/{name}")
        return {**found, "kind": "Secret", "apiVersion": "v1"} if found else None


def _reading(kind: str, items: Iterable[Json]) -> Reading:
    return Reading(origin=kind, documents=tuple(Document(origin=kind, where=WHERE, content=each) for each in items))


def _key_name(item: Json) -> Any:
    key = (item.get("spec") or {}).get("ikeKey")
    return key.get("name") if isinstance(key, dict) else None


def _learned(peers: list[Json]) -> tuple[px.Prefix, ...]:
    found = {each["prefix"] for item in peers for each in (item.get("status") or {}).get("received") or ()}
    return tuple(px.parse(text) for text in sorted(found))


def _health(gateways: list[Json]) -> dict[str, str]:
    told = {item["metadata"]["name"]: item.get("status") or {} for item in gateways}
    return {name: f"{each['Status']} on {each.get('CurrNode')}" for name, each in told.items() if "Status" in each}


def is_linux(node: Json) -> bool:
    """Whether ncgd runs on a Node at all."""
    return bool((node["metadata"].get("labels") or {}).get("kubernetes.io/os", "linux") == "linux")


def is_ready(node: Json) -> bool:
    """Whether the kubelet of a Node object answers for it."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _node(item: Json) -> ClusterNode:
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    pods = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return ClusterNode(
        name=metadata["name"],
        is_ready=is_ready(item),
        is_candidate=(metadata.get("labels") or {}).get(GATEWAY_LABEL, "false") != "false",
        addresses=tuple(each["address"] for each in status.get("addresses") or () if each["type"].endswith("IP")),
        pod_cidrs=tuple(pods),
    )


def _daemon(item: Json) -> Daemon:
    status = item.get("status") or {}
    return Daemon(
        image=image_of(item),
        desired=status.get("desiredNumberScheduled", 0),
        updated=status.get("updatedNumberScheduled", 0),
        available=status.get("numberAvailable", 0),
    )
