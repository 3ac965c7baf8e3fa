"""What is not ours is neither replaced nor removed: Google's NCG has a DaemonSet and definitions of the same names."""

from collections.abc import Iterable
from typing import Any

from ncgd.cli.manifests import DAEMON_SET, is_ours, path_of
from ncgd.cli.patience import if_there
from ncgd.errors import UserError
from ncgd.resources import crd
from ncgd.sources.kubernetes.client import Cluster

Json = dict[str, Any]

_MARKS = {
    DAEMON_SET: (is_ours, "its selector is not app.kubernetes.io/name: ncgd"),
    "CustomResourceDefinition": (crd.is_ours, f"it has no category {crd.CATEGORY}"),
}
"""Kind to what tells that an object is ours, and what is said when it is not."""


async def refuse_foreign(cluster: Cluster, items: Iterable[Json]) -> None:
    """Raises UserError for the first of our DaemonSet and definitions that is somebody else's in the cluster."""
    for item in items:
        if item["kind"] not in _MARKS:
            continue
        is_mine, mark = _MARKS[item["kind"]]
        there = await if_there(lambda item=item: cluster.get(path_of(item)))  # type: ignore[misc]
        if there is not None and not is_mine(there):
            raise UserError(
                f"{item['kind']} {item['metadata']['name']} is not ncgd's ({mark}): Google's NCG has the same names. "
                "Nothing is changed. Save the tunnels and peers (kubectl get -A -o yaml), remove what made it "
                "as that says, then try again"
            )
