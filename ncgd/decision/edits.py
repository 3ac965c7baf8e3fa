"""Two sets of resources → what an edit has changed: which objects, and which of their fields, never the values."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ncgd.model.happening import Happening
from ncgd.model.spec import Gateway, Intent, ObjectRef, Peer, Tunnel

NAMED_FIELDS = 5
"""So many fields of an object are named."""


def edits(before: Intent, after: Intent) -> Iterator[Happening]:
    """What is in force now and was not, or was in another form, or is not any more."""
    old, new = _in_force(before), _in_force(after)
    for ref in (*new, *(ref for ref in old if ref not in new)):
        if ref not in new:
            yield Happening(object=str(ref), reason="Removed", message="is not in force any more")
        elif ref not in old:
            yield Happening(object=str(ref), reason="Added", message="is in force from now on")
        elif old[ref] != new[ref]:
            paths = list(_paths(before.manifests.get(ref, {}), after.manifests.get(ref, {}), "spec"))
            yield Happening(object=str(ref), reason="Changed", message=f"is in force with {_listed(paths)}")


def _in_force(intent: Intent) -> dict[ObjectRef, Tunnel | Peer | Gateway]:
    """By reference, without what is no setting."""
    gateway = replace(intent.gateway, generation=0, created=None)
    tunnels = {each.ref: replace(each, generation=0) for each in intent.tunnels.values()}
    peers = {each.ref: replace(each, generation=0) for each in intent.peers.values()}
    return {gateway.ref: gateway, **tunnels, **peers}


def _paths(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _paths(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        yield path


def _listed(paths: list[str]) -> str:
    if not paths:  # the manifest is as it was: what it refers to is not
        return "another key, or other defaults"
    more = f" and {len(paths) - NAMED_FIELDS} more fields" if len(paths) > NAMED_FIELDS else ""
    return f"another {', '.join(paths[:NAMED_FIELDS])}{more}"
