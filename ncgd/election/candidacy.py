"""A Node object → whether that node may be the gateway."""

from ipaddress import ip_address
from typing import Any

from ncgd.model.lease import Candidacy
from ncgd.model.prefix import IPAddress

Json = dict[str, Any]

LABEL = "networking.gke.io/ncgd-gateway"


def kept(item: Json) -> Json:
    """What of a Node object matters here: it has much more, and changes with every heartbeat."""
    metadata = item.get("metadata") or {}
    labels = metadata.get("labels") or {}
    addresses = (item.get("status") or {}).get("addresses") or ()
    return {
        "label": labels.get(LABEL),
        "is_cordoned": bool((item.get("spec") or {}).get("unschedulable")),
        "addresses": [each.get("address") for each in addresses if each.get("type") == "InternalIP"],
    }


def candidacy(node: str, found: Json | None, given: IPAddress | None) -> Candidacy:
    """What the node's ``kept`` object says (None: there is none); ``given`` is its address, where that is known."""
    if found is None:
        why = f"there is no Node {node}; --node (or NODE_NAME) must be this node's name in the cluster"
        return Candidacy(is_candidate=False, address=given, why_not=why)
    label = found["label"]
    why_not = ""
    if label is None:
        why_not = f"Node {node} has no label {LABEL}"
    elif label == "false":
        why_not = f"label {LABEL} of Node {node} says false"
    return Candidacy(
        is_candidate=not why_not,
        is_cordoned=found["is_cordoned"],
        address=given or _first_address(found["addresses"]),
        why_not=why_not,
    )


def _first_address(texts: list[object]) -> IPAddress | None:
    for text in texts:
        try:
            return ip_address(str(text))
        except ValueError:
            continue
    return None
