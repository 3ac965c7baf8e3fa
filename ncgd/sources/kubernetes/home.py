"""Kubernetes as ncgd's home: source and status together, over one client."""

import asyncio
from collections.abc import Callable

from ncgd.model.event import ClusterRangesRead, IntentRead, SlicesRead
from ncgd.model.masquerade_event import AgentConfigRead
from ncgd.model.role import Part
from ncgd.model.secret import Vault
from ncgd.model.spec import ServiceExport
from ncgd.sources.kubernetes.agent_config_map import AgentConfigMap
from ncgd.sources.kubernetes.client import Cluster
from ncgd.sources.kubernetes.ranges import ClusterRanges
from ncgd.sources.kubernetes.slices import Slices
from ncgd.sources.kubernetes.source import KubernetesSource
from ncgd.sources.kubernetes.status import Seen, StatusWriter


class KubernetesHome:
    """Reads the objects of one namespace, and writes what has become of them."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        vault: Vault,
        post: Callable[[IntentRead | ClusterRangesRead | SlicesRead | AgentConfigRead], None],
        *,
        node: str,
        wall: Callable[[], str],
        awaits_role: bool = False,
    ) -> None:
        """``node`` signs the status; ``wall`` is the time as RFC 3339.

        ``awaits_role``: what only a candidate needs (tunnels, peers, their Secrets) is not read before the node is one.
        """
        self._cluster = cluster

        def announce(event: IntentRead) -> None:
            self._ranges.want_services(wanted=event.intent.gateway.export.services == ServiceExport.LOAD_BALANCER)
            post(event)

        self._source = KubernetesSource(cluster, namespace, vault, announce, follows_all=not awaits_role)
        self.slices = Slices(cluster, namespace, post, self._source.note)
        self._ranges = ClusterRanges(cluster, post, self._source.note)
        self._agent = AgentConfigMap(cluster, namespace, self._source.note, post)
        self._writer = StatusWriter(cluster, self._source, node, wall)

    def observe(self, seen: Seen) -> None:
        """Take note of the state after a pass."""
        if seen.world.role.part in {Part.ACTIVE, Part.STANDBY}:
            self._source.follow_all()
        self._writer.observe(seen)
        self._agent.observe(seen.world)

    async def run(self) -> None:
        """Read and write until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._agent.run(), name="ip-masq-agent")
                group.create_task(self.slices.run(), name="slices")
                group.create_task(self._source.run(), name="source")
                group.create_task(self._writer.run(), name="status")
                group.create_task(self._ranges.run(), name="ranges")
        finally:
            await self._cluster.close()
