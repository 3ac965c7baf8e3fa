"""Somebody who types ``ncgctl``, and a whole cluster before them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ncgd.cli.main import main
from ncgd.lab.api_objects import Json
from ncgd.resources import crd
from tests.fakes.whole_cluster import WholeCluster

LABEL = "networking.gke.io/ncgd-gateway"
GROUP = "networking.gke.io/v1alpha1"
DAEMON_SET = "apps/v1/daemonsets"
NODES = {"nodes/worker1", "nodes/worker2"}
"""As an empty cluster has them."""


class Site:
    """A cluster and somebody who types."""

    def __init__(self, server: WholeCluster, folder: Path) -> None:
        self.server = server
        self._folder = folder

    async def ncgctl(self, *arguments: str) -> Result:
        environment = {"KUBECONFIG": str(self.server.kubeconfig(self._folder))}
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)

    async def install(self, *arguments: str) -> Result:
        answer = await self.ncgctl("--install", *arguments)
        assert answer.exit_code == 0, answer.output
        return answer

    def create(self, manifest: Json) -> Json:
        kind, namespace = manifest["kind"], manifest["metadata"]["namespace"]
        collection = f"{GROUP}/{crd.plural(kind)}" if kind in crd.DEFINED else f"/v1/{kind.lower()}s"
        return self.server.store.create(collection, namespace, manifest)

    def get(self, collection: str, name: str, namespace: str = "kube-system") -> Json:
        return self.server.store.get(collection, namespace, name)

    def keys(self) -> list[str]:
        role = self.get("rbac.authorization.k8s.io/v1/roles", "ncgd-keys")
        names: list[str] = role["rules"][0]["resourceNames"]
        return names


@asynccontextmanager
async def site(folder: Path, nodes: int = 2, **settings: Any) -> AsyncIterator[Site]:
    async with WholeCluster(**settings) as server:
        for number in range(1, nodes + 1):
            server.add_node(f"worker{number}")
        yield Site(server, folder)


def run(folder: Path, scenario: Callable[[Site], Awaitable[None]], **settings: Any) -> None:
    async def everything() -> None:
        async with site(folder, **settings) as it:
            await scenario(it)

    asyncio.run(everything())
