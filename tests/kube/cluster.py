"""A cluster for a contract test: the double, or a real API server. Which one: ``conftest.py``.

Both are reached through a kubeconfig, as ncgd reaches one; every test has a namespace of its own.
"""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig

from ncgd.lab.api_server import ApiServer
from ncgd.resources import crd
from ncgd.resources.v1alpha1 import API_VERSION
from ncgd.sources.kubernetes.client import Cluster, connect
from tests.kube.control_plane import given, programs
from tests.unit.resources.manifests import changed, gateway, peer, secret, tunnel

Json = dict[str, Any]
REAL = given() or programs()
"""None: there is no real API server to test with, and none can be started."""
DEADLINE_SECONDS = 60
CONFLICT = 409
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def path_of(kind: str, namespace: str, name: str = "") -> str:
    if kind == "Node":
        return "/api/v1/nodes" + (f"/{name}" if name else "")
    if kind == "Lease":
        return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases" + (f"/{name}" if name else "")
    base = f"/apis/{API_VERSION}" if kind in crd.DEFINED else "/api/v1"
    plural = crd.plural(kind) if kind in crd.DEFINED else f"{kind.lower()}s"
    return f"{base}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


@dataclass
class Place:
    """A cluster, a namespace in it, and the user's own hands."""

    kubeconfig: Path
    namespace: str
    http: httpx2.AsyncClient
    double: ApiServer | None = None
    nodes: list[str] = field(default_factory=list)

    def connect(self) -> Cluster:
        return connect(self.kubeconfig)

    def here(self, manifest: Json) -> Json:
        """A manifest, moved into this test's namespace."""
        made = changed(manifest, "metadata.namespace", self.namespace)
        if made["kind"] == "OverlayVPNTunnel":
            made["spec"]["ikeKey"]["namespace"] = self.namespace
        return made

    async def create(self, *manifests: Json) -> None:
        for manifest in manifests:
            made = self.here(manifest)
            await self.request("POST", path_of(made["kind"], self.namespace), made)

    async def create_ha_vpn(self) -> None:
        await self.create(
            secret(), tunnel(1), tunnel(2), peer(1), peer(2), gateway(advertisedPrefixes=["10.10.0.0/24"])
        )

    async def get(self, kind: str, name: str) -> Json:
        return await self.request("GET", path_of(kind, self.namespace, name))

    async def list(self, kind: str) -> list[Json]:
        items: list[Json] = (await self.request("GET", path_of(kind, self.namespace)))["items"]
        return items

    async def edit(self, kind: str, name: str, path: str, value: Any) -> Json:
        """As kubectl edit does it, again when somebody else has written meanwhile."""
        while True:
            old = await self.get(kind, name)
            new = changed(copy.deepcopy(old), path, value)
            response = await self.http.put(path_of(kind, self.namespace, name), json=new)
            if response.status_code != CONFLICT:
                response.raise_for_status()
                answer: Json = response.json()
                return answer

    async def create_node(self, name: str, *, label: str | None = "") -> str:
        """A Node that is a candidate, unless ``label`` is None; a real cluster keeps it until the test is over."""
        full = f"{self.namespace}-{name}"
        labels = {} if label is None else {"networking.gke.io/ncgd-gateway": label}
        manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": full, "labels": labels}}
        self.nodes.append(full)
        await self.request("POST", "/api/v1/nodes", manifest)
        return full

    async def cordon(self, node: str, *, is_cordoned: bool = True) -> None:
        await self.edit("Node", node, "spec", {"unschedulable": True} if is_cordoned else {})

    async def delete(self, kind: str, name: str) -> None:
        await self.request("DELETE", path_of(kind, self.namespace, name))

    async def request(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        response = await self.http.request(method, path, json=body, headers=headers or None)
        response.raise_for_status()
        answer: Json = response.json()
        return answer


async def until(condition: Callable[[], Awaitable[object]] | Callable[[], object]) -> None:
    """Wait for a condition, plain or async."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            result = condition()
            if await result if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def double(folder: Path) -> AsyncIterator[Place]:
    async with ApiServer() as server, _place(server.kubeconfig(folder), "kube-system", server) as place:
        yield place


@asynccontextmanager
async def real(_: Path) -> AsyncIterator[Place]:
    kubeconfig = given()
    assert kubeconfig
    async with _place(Path(kubeconfig), f"ncgd-{uuid.uuid4().hex[:8]}", None) as place:

        async def is_served() -> bool:
            paths = [path_of(kind, place.namespace) for kind in crd.DEFINED]
            return all([(await place.http.get(path)).is_success for path in paths])

        if not await is_served():  # another server beside this one may serve them
            for kind in crd.DEFINED:
                path = f"{DEFINITIONS}/{crd.definition(kind)['metadata']['name']}?fieldManager=test&force=true"
                apply = {"Content-Type": "application/apply-patch+yaml"}
                await place.request("PATCH", path, crd.definition(kind), **apply)
            await until(is_served)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace}}
        await place.request("POST", "/api/v1/namespaces", namespace)
        try:
            yield place
        finally:
            for kind in (*crd.DEFINED, "Secret", "ConfigMap", "Event"):
                await place.request("DELETE", path_of(kind, place.namespace))
            for name in place.nodes:
                await place.request("DELETE", f"/api/v1/nodes/{name}")
            await place.request("DELETE", f"/api/v1/namespaces/{place.namespace}")


@asynccontextmanager
async def _place(kubeconfig: Path, namespace: str, server: ApiServer | None) -> AsyncIterator[Place]:
    config = KubeConfig.from_file(str(kubeconfig)).get()
    assert config is not None
    async with AsyncClient(config, ConnectionParams(trust_env=False)) as http:
        yield Place(kubeconfig, namespace, http, server)
