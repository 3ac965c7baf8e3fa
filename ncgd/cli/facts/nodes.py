"""The facts of every node of a cluster, collected by a short-lived pod on each."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ncgd.cli import node_pods
from ncgd.cli.manifests import DAEMON_SET, is_ours, manifests, path_of, with_image
from ncgd.cli.patience import Say, if_there
from ncgd.decision.preflight.facts import ClusterNode, NodeFacts
from ncgd.errors import DriverError
from ncgd.sources.kubernetes.client import Cluster

LOOK_SECONDS = 60.0
"""Longest wait for the pods, which includes fetching the image."""

_NOT_TO_LOOK = ("state", "sysctls")
"""Volumes of the node: only reading, this makes no folder there and gets no kernel settings to write."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the nodes, and of which nothing is, and why."""

    facts: tuple[NodeFacts, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()


async def look(
    cluster: Cluster, nodes: Sequence[ClusterNode], peers: Sequence[str], *, image: str | None, say: Say
) -> Seen:
    """Look at every node that is ready; ``peers`` are asked for an answer from where tunnels may end."""
    (packaged,) = (item for item in manifests(0) if item["kind"] == DAEMON_SET)
    commands = {
        node.name: ("ncgctl", "node-facts", node.name, *(peers if node.is_candidate else ()))
        for node in nodes
        if node.is_ready
    }
    try:
        there = await if_there(lambda: cluster.get(path_of(packaged)))
        daemon_set = with_image(there if there and is_ours(there) else packaged, image)
        ended = await node_pods.run(
            cluster, daemon_set, commands, "verify", seconds=LOOK_SECONDS, say=say, without=_NOT_TO_LOOK
        )
    except DriverError as error:
        return Seen(unseen=tuple((name, str(error)) for name in commands))
    facts, unseen = [], []
    for name, each in ended.items():
        try:
            if not each.is_done:
                raise ValueError(each.text)
            facts.append(msgspec.json.decode(each.text, type=NodeFacts))
        except ValueError as error:  # msgspec's own errors are ValueErrors, too
            unseen.append((name, str(error)))
    return Seen(tuple(facts), tuple(unseen))
