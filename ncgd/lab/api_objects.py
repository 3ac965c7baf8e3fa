"""What the API double keeps: objects with versions, a history to watch from, and server-side apply."""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


MOST_KEPT = 5000
"""Changes that watches can start from."""


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.headers = code, reason, message, headers

    def status(self) -> Json:
        """The body of the answer: a Status (meta v1)."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


_KEPT = ("uid", "generation", "creationTimestamp", "namespace")
"""What an update does not change in metadata, whatever it says."""


@dataclass
class Change:
    """Something that watches are told: ``kind`` is ADDED, MODIFIED or DELETED."""

    version: int
    collection: str
    kind: str
    object: Json


@dataclass
class Store:
    """Objects by collection (``group/version/plural``), and everything that happened since the last compaction."""

    objects: dict[str, dict[tuple[str, str], Json]] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    oldest: int = 0
    """Watches from before this version are gone."""
    version: int = 100
    told: Callable[[], None] = lambda: None
    _uids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _applied: dict[tuple[str, str, str, str, bool], Json] = field(default_factory=dict)
    """What each field manager has applied last, by uid, collection, manager, subresource."""

    def get(self, collection: str, namespace: str, name: str) -> Json:
        """An object. Raises Refused 404."""
        try:
            return self.objects.get(collection, {})[namespace, name]
        except KeyError:
            raise Refused(404, "NotFound", f'{collection} "{name}" not found') from None

    def create(self, collection: str, namespace: str, given: Json) -> Json:
        """A new object, without its status. Raises Refused 409."""
        made = copy.deepcopy(given)
        metadata = made.setdefault("metadata", {})
        name = metadata["name"]
        if (namespace, name) in self.objects.get(collection, {}):
            raise Refused(409, "AlreadyExists", f'{collection} "{name}" already exists')
        made.pop("status", None)
        metadata |= {
            **({"namespace": namespace} if namespace else {}),
            "uid": f"uid-{next(self._uids)}",
            "generation": 1,
            "creationTimestamp": "2026-11-21T00:00:00Z",
        }
        return self._put(collection, "ADDED", made)

    def update(self, collection: str, namespace: str, new: Json, *, is_status: bool) -> Json:
        """Replace the one part, keep the other; the generation counts changes of the spec."""
        old = self.get(collection, namespace, new["metadata"]["name"])
        version = old["metadata"]["resourceVersion"]
        if new["metadata"].get("resourceVersion", version) != version:
            raise Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest one")
        made = copy.deepcopy(old)
        if is_status:
            made["status"] = copy.deepcopy(new.get("status", {}))
        else:
            kept = {name: old["metadata"][name] for name in _KEPT if name in old["metadata"]}
            made = copy.deepcopy(new)
            made["metadata"] |= kept
            made.pop("status", None)
            if "status" in old:
                made["status"] = old["status"]
            if {k: v for k, v in made.items() if k not in {"metadata", "status"}} != {
                k: v for k, v in old.items() if k not in {"metadata", "status"}
            }:
                made["metadata"]["generation"] += 1
        made["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return old if made == old else self._put(collection, "MODIFIED", made)

    def merge(self, collection: str, namespace: str, name: str, patch: Json) -> Json:
        """RFC 7386; a resourceVersion in it must be the present one."""
        old = self.get(collection, namespace, name)
        version = patch.get("metadata", {}).get("resourceVersion", old["metadata"]["resourceVersion"])
        if version != old["metadata"]["resourceVersion"]:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, "Conflict", message)
        return self.update(collection, namespace, merged(old, patch), is_status=False)

    def delete(self, collection: str, namespace: str, name: str, version: str = "") -> Json:
        """Remove an object, or only this version of it. Raises Refused 404 and 409."""
        gone = self.get(collection, namespace, name)
        if version not in {"", gone["metadata"]["resourceVersion"]}:
            raise Refused(409, "Conflict", "the object has been modified")
        del self.objects[collection][namespace, name]
        self.version += 1
        gone = copy.deepcopy(gone)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._record(collection, "DELETED", gone)
        return gone

    def apply(
        self, collection: str, namespace: str, given: Json, manager: str, *, is_status: bool, force: bool
    ) -> Json:
        """Server-side apply: our fields become these, what we applied before and do not now goes."""
        name = given["metadata"]["name"]
        part = {key: value for key, value in given.items() if (key == "status") == is_status}
        part.pop("metadata", None)
        part.pop("apiVersion", None)
        part.pop("kind", None)
        if (namespace, name) not in self.objects.get(collection, {}):
            if is_status:
                raise Refused(404, "NotFound", f'{collection} "{name}" not found')
            made = self.create(collection, namespace, {k: v for k, v in given.items() if k != "status"})
            self._applied[made["metadata"]["uid"], collection, manager, name, is_status] = part
            return made
        old = self.get(collection, namespace, name)
        uid = old["metadata"]["uid"]
        for (owner_uid, _, owner, _, about), fields in self._applied.items():
            if (owner_uid, about) == (uid, is_status) and owner != manager and not force and _overlap(fields, part):
                raise Refused(409, "Conflict", f'Apply failed with 1 conflict: conflict with "{owner}"')
        last = self._applied.get((uid, collection, manager, name, is_status), {})
        made = copy.deepcopy(old)
        _remove(made, last, part)
        _merge(made, part)
        if version := given["metadata"].get("resourceVersion"):
            made["metadata"]["resourceVersion"] = version
        answer = self.update(collection, namespace, made, is_status=is_status)
        self._applied[uid, collection, manager, name, is_status] = copy.deepcopy(part)
        return answer

    def compact(self) -> None:
        """Forget the history: every watch from an earlier version is told 410."""
        self.version += 1
        self.oldest = self.version
        self.history.clear()

    def since(self, collection: str, version: int) -> list[Change]:
        """What has happened in a collection after a version. Raises Refused 410."""
        if version < self.oldest:
            raise Refused(410, "Expired", f"too old resource version: {version} ({self.oldest})")
        return [change for change in self.history if change.version > version and change.collection == collection]

    def _put(self, collection: str, kind: str, made: Json) -> Json:
        self.version += 1
        metadata = made["metadata"]
        metadata["resourceVersion"] = str(self.version)
        self.objects.setdefault(collection, {})[metadata.get("namespace", ""), metadata["name"]] = made
        self._record(collection, kind, made)
        return made

    def _record(self, collection: str, kind: str, made: Json) -> None:
        if len(self.history) > MOST_KEPT:
            del self.history[: MOST_KEPT // 2]
            self.oldest = self.history[0].version - 1
        self.history.append(Change(self.version, collection, kind, copy.deepcopy(made)))
        self.told()


def merged(old: Json, patch: Json) -> Json:
    """What RFC 7386 makes of an object."""
    made = dict(old)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict):
            made[name] = merged(made.get(name) or {}, value)
        else:
            made[name] = value
    return made


def _overlap(fields: Json, part: Json) -> bool:
    for name, value in part.items():
        if name in fields:
            theirs = fields[name]
            if isinstance(value, dict) and isinstance(theirs, dict):
                if _overlap(theirs, value):
                    return True
            elif theirs != value:
                return True
    return False


def _remove(target: Json, last: Json, now: Json) -> None:
    for name, value in last.items():
        if name not in now:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(now[name], dict) and isinstance(target.get(name), dict):
            _remove(target[name], value, now[name])


def _merge(target: Json, part: Json) -> None:
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = copy.deepcopy(value)
