"""Kubernetes as ncgd's home: source and status together, over one client."""

import asyncio
from collections.abc import Callable

from ncgd.model.secret import Vault
from ncgd.sources.kubernetes.client import Cluster
from ncgd.sources.kubernetes.source import KubernetesSource
from ncgd.sources.kubernetes.status import Seen, StatusWriter
from ncgd.sources.port import Post


class KubernetesHome:
    """Reads the objects of one namespace, and writes what has become of them."""

    def __init__(
        self, cluster: Cluster, namespace: str, vault: Vault, post: Post, *, node: str, wall: Callable[[], str]
    ) -> None:
        """``node`` signs the status; ``wall`` is the time as RFC 3339."""
        self._cluster = cluster
        self._source = KubernetesSource(cluster, namespace, vault, post)
        self._writer = StatusWriter(cluster, self._source, node, wall)

    def observe(self, seen: Seen) -> None:
        """Take note of the state after a pass."""
        self._writer.observe(seen)

    async def run(self) -> None:
        """Read and write until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._source.run(), name="source")
                group.create_task(self._writer.run(), name="status")
        finally:
            await self._cluster.close()
