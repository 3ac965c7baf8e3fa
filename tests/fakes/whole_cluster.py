"""The API double with what an installation meets: nodes, definitions that come and go, controllers, kubelets.

Controllers and kubelets do their work at once, as the test says they should.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ncgd.lab.api_objects import Json, Refused
from ncgd.lab.api_server import ApiServer, Request
from ncgd.resources import crd
from ncgd.resources.v1alpha1 import GROUP

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)
_KINDS = {
    f"{kind.lower()}s": kind
    for kind in ("Node", "Pod", "Service", "ServiceAccount", "ConfigMap", "DaemonSet", "Role", "RoleBinding", "Lease")
} | {"clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding", "clusters": "Cluster"}
DEFINITIONS = "customresourcedefinitions"
SERVICES = "10.96.0.0/16"


@dataclass
class Outcome:
    """What becomes of a pod."""

    phase: str = "Succeeded"
    log: str = ""
    message: str = ""
    waiting: str = ""


@dataclass
class WholeCluster(ApiServer):
    """``async with WholeCluster() as server``: an API server, its controllers, and nodes."""

    minor: str = "29"
    definitions: dict[str, Json] = field(default_factory=dict)
    pod: Callable[[Json], Outcome] = lambda _: Outcome()
    """What the kubelet of a node makes of a pod."""
    rollout: Callable[[int], Json] = lambda nodes: {
        "desiredNumberScheduled": nodes,
        "updatedNumberScheduled": nodes,
        "numberAvailable": nodes,
    }
    """Status of a DaemonSet for so many nodes."""
    denied: set[str] = field(default_factory=set)
    """Verb and resource that reviews refuse: ``patch nodes``, ``list secrets/NAME``."""
    has_cluster_objects: bool = False
    logs: dict[str, str] = field(default_factory=dict)

    def add_node(self, name: str, *, is_ready: bool = True, **metadata: object) -> None:
        number = len(self.listed("/v1/nodes")) + 1
        made = self.store.create(
            "/v1/nodes", "", {"metadata": {"name": name, **metadata}, "spec": {"podCIDRs": [f"10.244.{number}.0/24"]}}
        )
        ready = {"type": "Ready", "status": "True" if is_ready else "Unknown"}
        made["status"] = {
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{10 + number}"}],
        }

    def listed(self, collection: str) -> list[Json]:
        return list(self.store.objects.get(collection, {}).values())

    def names(self) -> set[str]:
        """Every object there is, as ``plural/name``; nodes, and what the user has made, apart."""
        found = {
            f"{collection.rpartition('/')[2]}/{name}"
            for collection, objects in self.store.objects.items()
            for _, name in objects
        }
        return found | {f"{DEFINITIONS}/{kind}" for kind in self.definitions}

    def _handle(self, request: Request) -> Json:
        match = _PATH.fullmatch(request.path)
        if request.path == "/version":
            return {"major": "1", "minor": self.minor, "gitVersion": f"v1.{self.minor}.0"}
        if match is None:
            return super()._handle(request)
        plural = match["plural"]
        if plural.endswith("accessreviews"):
            return self._review(request.body["spec"]["resourceAttributes"])
        if plural == DEFINITIONS:
            return self._define(request, match["name"])
        if plural == "services" and request.query.get("dryRun") == "All":
            raise Refused(
                422, "Invalid", f"provided IP is not in the valid range. The range of valid IPs is {SERVICES}"
            )
        if plural not in _KINDS or (plural == "clusters" and not self.has_cluster_objects):
            return super()._handle(request)
        collection = f"{match['group'] or ''}/{match['version']}/{plural}"
        answer = self._of(collection, request, match)
        self._control(collection, request.method, answer)
        return answer

    def _of(self, collection: str, request: Request, match: re.Match[str]) -> Json:
        namespace, name = match["ns"] or "", match["name"] or ""
        if match["log"]:
            return {"log": self.logs[name]}
        match request.method, request.headers.get("content-type", ""):
            case "GET", _ if name:
                return self.store.get(collection, namespace, name)
            case "GET", _:
                selector = request.query.get("labelSelector", "")
                objects = self.store.objects.get(collection, {}).items()
                items = [
                    item for (where, _), item in objects if namespace in {"", where} and _has_labels(item, selector)
                ]
                return {"kind": "List", "metadata": {"resourceVersion": str(self.store.version)}, "items": items}
            case "POST", _:
                return self.store.create(collection, namespace, request.body)
            case "DELETE", _:
                return self.store.delete(collection, namespace, name)
            case "PATCH", "application/merge-patch+json":
                return self.store.merge(collection, namespace, name, request.body)
            case "PATCH", _:
                manager = request.query["fieldManager"]
                return self.store.apply(collection, namespace, request.body, manager, is_status=False, force=True)
        raise Refused(405, "MethodNotAllowed", request.method)

    def _define(self, request: Request, name: str | None) -> Json:
        kinds = {f"{crd.plural(kind)}.{GROUP}": kind for kind in crd.DEFINED}
        kind = kinds[name or ""]
        if request.method == "PATCH":
            established = {"conditions": [{"type": "Established", "status": "True"}]}
            self.definitions[kind] = {**request.body, "status": established}
        if kind not in self.definitions:
            raise Refused(404, "NotFound", f'{DEFINITIONS} "{name}" not found')
        if request.method == "DELETE":
            self.store.objects.pop(f"{GROUP}/v1alpha1/{crd.plural(kind)}", None)
            return self.definitions.pop(kind)
        return self.definitions[kind]

    def _control(self, collection: str, method: str, made: Json) -> None:
        """What controllers and kubelets do about it."""
        if collection == "apps/v1/daemonsets" and method == "PATCH":
            generation = made["metadata"]["generation"]
            made["status"] = {"observedGeneration": generation, **self.rollout(len(self.listed("/v1/nodes")))}
        if collection == "/v1/pods" and method == "POST":
            outcome = self.pod(made)
            state: Json = {"terminated": {"message": outcome.message}}
            if outcome.waiting:
                state = {"waiting": {"reason": outcome.waiting, "message": outcome.message}}
            made["status"] = {"phase": outcome.phase, "containerStatuses": [{"name": "ncgd", "state": state}]}
            self.logs[made["metadata"]["name"]] = outcome.log

    def _review(self, attributes: Json) -> Json:
        asked = f"{attributes['verb']} {attributes['resource']}"
        asked += f"/{attributes['name']}" if "name" in attributes else ""
        return {"status": {"allowed": asked not in self.denied}}

    def _encoded(self, request: Request, body: Json) -> bytes:
        is_log = request.path.endswith("/log")
        return str(body["log"]).encode() if is_log and "log" in body else json.dumps(body).encode()


def _has_labels(item: Json, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    if "!=" in selector:
        name, _, value = selector.partition("!=")
        return bool(labels.get(name) != value)
    name, has_value, value = selector.partition("=")
    return not name or (labels.get(name) == value if has_value else name in labels)
