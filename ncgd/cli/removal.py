"""Uninstall: pods, what they left on the nodes, rights, definitions; in that order, and safe to repeat."""

from collections.abc import Sequence
from typing import Any

from ncgd.cli import node_pods
from ncgd.cli.facts.kube import is_linux, is_ready
from ncgd.cli.manifests import DAEMON_SET, PODS, image_of, manifests, path_of, with_image
from ncgd.cli.ownership import refuse_foreign
from ncgd.cli.patience import Say, if_there, patiently, until
from ncgd.decision.preflight.cluster import GATEWAY_LABEL
from ncgd.election.lease import lease_name
from ncgd.errors import Rejected
from ncgd.resources import crd, route_slice
from ncgd.resources.agent_config import CONFIG_MAP, ConfigInvalid
from ncgd.resources.v1 import DEFAULT_NAMESPACE
from ncgd.resources.v1alpha1 import API_VERSION, KINDS
from ncgd.sources.kubernetes.agent_config_map import released
from ncgd.sources.kubernetes.client import Cluster

Json = dict[str, Any]

CLEAN = ("ncgd", "--clean")
GONE_SECONDS = 60.0
"""How long definitions may take to go with all their objects."""


class Removal:
    """Of one cluster, out of NCG's own namespace."""

    def __init__(self, cluster: Cluster, say: Say) -> None:
        self._cluster = cluster
        self._say = say
        self._items = manifests(0)

    async def what_goes(self) -> dict[str, list[str]]:
        """Names of the objects that go with the definitions, by kind; outside ncgd's namespace as NAMESPACE/NAME."""
        found = {}
        for kind in KINDS:
            path = f"/apis/{API_VERSION}/{crd.plural(kind)}"
            listed = await if_there(lambda path=path: self._cluster.get(path))  # type: ignore[misc]
            found[kind] = [_shown(item["metadata"]) for item in (listed or {}).get("items", ())]
        return found

    async def remove(self, image: str | None, seconds: float, *, keeps_resources: bool) -> None:
        """Everything; with ``keeps_resources`` definitions, tunnels, peers, gateway and labels stay.

        Secrets stay in any case. Raises DriverError; Rejected at the end when nodes are left that are not clean.
        """
        going = [each for each in self._items if each["kind"] == DAEMON_SET or not keeps_resources]
        await refuse_foreign(self._cluster, going)
        daemon_set = await self._stop(image, seconds)
        dirty = await self._clean_nodes(daemon_set, seconds)
        gateways = {*(await self.what_goes())["NetworkConnectivityGateway"], "default"}
        for name in sorted(gateways):
            if "/" in name:
                continue  # ncgd has no lease elsewhere
            await self._delete(f"/apis/coordination.k8s.io/v1/namespaces/{DEFAULT_NAMESPACE}/leases/{lease_name(name)}")
        slices = crd.plural(route_slice.KIND)
        await self._delete(f"/apis/{API_VERSION}/namespaces/{DEFAULT_NAMESPACE}/{slices}")
        await if_there(self._release_agent)
        for item in reversed(self._items):
            if item["kind"] not in {DAEMON_SET, "CustomResourceDefinition"}:
                await self._delete(path_of(item))
        self._say("rights are gone")
        if not keeps_resources:
            await self._remove_definitions()
            await self._unlabel()
        if dirty:
            told = "; ".join(f"{node}: {why}" for node, why in dirty.items())
            kept = " --keep-resources" if keeps_resources else ""
            again = f"ncgctl uninstall --image {image_of(daemon_set)}{kept}"
            raise Rejected(f"not everything is gone from every node ({told}); when these are back: {again}")

    async def _stop(self, image: str | None, seconds: float) -> Json:
        """The DaemonSet as it was, or as it would be installed."""
        (packaged,) = (item for item in self._items if item["kind"] == DAEMON_SET)
        there = await if_there(lambda: self._cluster.get(path_of(packaged)))
        if there is not None:
            await self._delete(path_of(packaged))
        await until(self._running, seconds, self._say)
        self._say("DaemonSet ncgd is gone")
        return with_image(there or packaged, image)

    async def _running(self) -> str:
        ready = {name for name, is_up in (await self._nodes()).items() if is_up}
        path = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/pods"
        listed = await patiently(lambda: self._cluster.get(path, labelSelector=PODS))
        left = [pod["spec"].get("nodeName", "") for pod in listed["items"]]
        left = [node for node in left if node in ready]
        return f"{len(left)} pods of ncgd are ending" if left else ""

    async def _clean_nodes(self, daemon_set: Json, seconds: float) -> dict[str, str]:
        """Nodes that are not clean, and why."""
        nodes = await self._nodes()
        ready = dict.fromkeys((name for name, is_up in nodes.items() if is_up), CLEAN)
        dirty = {name: "the node is not ready" for name in nodes if name not in ready}
        results = await node_pods.run(self._cluster, daemon_set, ready, "clean", seconds=seconds, say=self._say)
        for node, ended in results.items():
            if ended.is_done:
                removed = [line.removeprefix("removed ") for line in ended.text.splitlines() if "removed" in line]
                self._say(f"{node}: {'; '.join(removed) or 'nothing was left'}")
            else:
                dirty[node] = ended.text
        return dirty

    async def _nodes(self) -> dict[str, bool]:
        """Whether each Linux node is ready."""
        listed = await patiently(lambda: self._cluster.get("/api/v1/nodes"))
        return {item["metadata"]["name"]: is_ready(item) for item in listed["items"] if is_linux(item)}

    async def _release_agent(self) -> None:
        """Take our entries out of ip-masq-agent's configuration; asked again as a whole when somebody else writes."""
        path = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/configmaps/{CONFIG_MAP}"
        try:
            patch = released(await self._cluster.get(path))
        except ConfigInvalid as error:
            self._say(f"ConfigMap {CONFIG_MAP} is left as it is: {error}")
            return
        if patch is not None:
            await self._cluster.merge(path, patch)
            self._say(f"ConfigMap {CONFIG_MAP} is without our entries")

    async def _remove_definitions(self) -> None:
        paths = [path_of(item) for item in self._items if item["kind"] == "CustomResourceDefinition"]
        for path in paths:
            await self._delete(path)
        await until(lambda: self._still_there(paths), GONE_SECONDS, self._say)
        self._say("definitions are gone, with all their objects")

    async def _still_there(self, paths: Sequence[str]) -> str:
        for path in paths:
            if await if_there(lambda path=path: self._cluster.get(path)) is not None:  # type: ignore[misc]
                return f"definition {path.rpartition('/')[2]} is going, with its objects"
        return ""

    async def _unlabel(self) -> None:
        listed = await patiently(lambda: self._cluster.get("/api/v1/nodes", labelSelector=GATEWAY_LABEL))
        for item in listed["items"]:
            path, body = f"/api/v1/nodes/{item['metadata']['name']}", {"metadata": {"labels": {GATEWAY_LABEL: None}}}
            await if_there(lambda path=path, body=body: self._cluster.merge(path, body))  # type: ignore[misc]

    async def _delete(self, path: str) -> None:
        """With what belongs to it; what is gone already is fine."""
        await if_there(lambda: self._cluster.delete(path, propagationPolicy="Background"))


def _shown(metadata: Json) -> str:
    where = metadata["namespace"]
    return str(metadata["name"]) if where == DEFAULT_NAMESPACE else f"{where}/{metadata['name']}"
