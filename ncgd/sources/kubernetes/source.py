"""The Kubernetes API as the source: three kinds in one namespace, and by name the Secrets that tunnels refer to."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ncgd.errors import DriverError
from ncgd.model.secret import Vault
from ncgd.model.spec import Finding, ObjectRef
from ncgd.resources import crd, v1, v1alpha1
from ncgd.resources.decode import Document
from ncgd.resources.load import Loaded, Reading, load
from ncgd.sources.announce import Announcer
from ncgd.sources.kubernetes import explain
from ncgd.sources.kubernetes.client import Cluster, Json
from ncgd.sources.kubernetes.reflector import Reflector
from ncgd.sources.port import Post

QUIET_SECONDS = 0.05
"""What belongs together often arrives together (kubectl apply -f FOLDER)."""
DEFINITIONS_SECONDS = 600.0
"""How often the cluster's definitions are compared with ours."""
WHERE = "Kubernetes"
GATEWAY = "NetworkConnectivityGateway"

_METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp")


class KubernetesSource:
    """Posts the Intent of a namespace's objects, now and when they change. An outage of the API changes nothing."""

    def __init__(self, cluster: Cluster, namespace: str, vault: Vault, post: Post, *, follows_all: bool = True) -> None:
        """``namespace``: the only one that is read. With ``follows_all`` False, the gateway alone to begin with."""
        self._cluster = cluster
        self._namespace = namespace
        self._vault = vault
        self._announcer = Announcer(vault, post)
        self._loaded = Loaded()
        self._changed = asyncio.Event()
        self._conditions: dict[ObjectRef, tuple[str, list[Json]]] = {}
        self._notes: dict[str, Finding] = {}
        self._kinds = {kind: self._collection(kind) for kind in v1alpha1.KINDS}
        self._secrets: dict[str, tuple[Reflector, asyncio.Task[None]]] = {}
        self._follows_all = follows_all
        self._followed: set[str] = set()

    def follow_all(self) -> None:
        """From now on also what only a gateway needs: tunnels, peers, and the Secrets that they name."""
        if not self._follows_all:
            self._follows_all = True
            self._changed.set()

    async def run(self) -> None:
        """Follow the API until cancelled. Nothing wrong with it, or with the objects, ends this."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._compare_definitions(), name="definitions")
                self._follow_kinds(group)
                while True:
                    await self._changed.wait()
                    await asyncio.sleep(QUIET_SECONDS)
                    self._changed.clear()
                    self._follow_kinds(group)
                    self._follow_secrets(group)
                    if all(each.has_answered for each in self._reflectors()):
                        readings = [*self._read_kinds(), *self._read_secrets()]
                        self._loaded = await asyncio.to_thread(load, readings, self._loaded, self._vault)
                        self._announcer.offer(self._loaded)
        finally:
            self._secrets.clear()

    def uid(self, ref: ObjectRef) -> str | None:
        """The identity of an object in the API now; None when there is no such object."""
        found = self._kinds[ref.kind].objects.get((ref.namespace, ref.name)) if ref.kind in self._kinds else None
        return str(found["metadata"].get("uid", "")) if found else None

    def conditions(self, ref: ObjectRef) -> list[Json]:
        """The conditions of an object as they were when ncgd first saw it: what an earlier ncgd has written."""
        return self._conditions.get(ref, ("", []))[1]

    def note(self, key: str, finding: Finding | None) -> None:
        """Tell of something that concerns the API, or that it is over."""
        if self._notes.get(key) == finding:
            return
        self._notes.pop(key, None)
        if finding is not None:
            self._notes[key] = finding
        self._changed.set()

    def _collection(self, kind: str) -> Reflector:
        path = f"/apis/{v1alpha1.API_VERSION}/namespaces/{self._namespace}/{crd.plural(kind)}"
        return Reflector(self._cluster, path, lambda item: self._kept(kind, item), self._changed.set)

    def _kept(self, kind: str, item: Json) -> Json:
        metadata = item.get("metadata") or {}
        ref = ObjectRef(kind=kind, namespace=str(metadata.get("namespace")), name=str(metadata.get("name")))
        uid = str(metadata.get("uid", ""))
        if self._conditions.get(ref, ("", []))[0] != uid:
            told = _mapping(item.get("status")).get("conditions") or ()
            self._conditions[ref] = (uid, [each for each in told if isinstance(each, dict)])
        return {
            "apiVersion": v1alpha1.API_VERSION,
            "kind": kind,
            "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
            "spec": item.get("spec"),
        }

    def _follow_kinds(self, group: asyncio.TaskGroup) -> None:
        """What is not followed is not known: the Intent is not complete before."""
        for kind in [kind for kind in self._kinds if self._follows_all or kind == GATEWAY]:
            if kind not in self._followed:
                self._followed.add(kind)
                group.create_task(self._kinds[kind].run(), name=f"follow {kind}")

    def _reflectors(self) -> list[Reflector]:
        secrets = (reflector for reflector, _ in self._secrets.values())
        return [*(self._kinds[kind] for kind in self._followed), *secrets]

    def _follow_secrets(self, group: asyncio.TaskGroup) -> None:
        wanted = self._named_secrets()
        path = f"/api/v1/namespaces/{self._namespace}/secrets"
        for name in wanted - self._secrets.keys():
            # A watch of one name: it is all that a Role with resourceNames allows.
            selector = {"fieldSelector": f"metadata.name={name}"}
            reflector = Reflector(self._cluster, path, _kept_secret, self._changed.set, **selector)
            self._secrets[name] = reflector, group.create_task(reflector.run(), name="follow a Secret")
        for name in self._secrets.keys() - wanted:
            _, task = self._secrets.pop(name)
            task.cancel()

    def _named_secrets(self) -> set[str]:
        """The Secrets that tunnels name now, and those that the tunnels in force were last understood with."""
        names = {tunnel.psk.name for tunnel in self._loaded.intent.tunnels.values()}
        for resource in self._loaded.resources.values():
            if isinstance(resource.shape, v1alpha1.OverlayVPNTunnel):
                names.add(resource.shape.spec.ike_key.name)
        for item in self._kinds["OverlayVPNTunnel"].objects.values():
            key = _mapping(_mapping(item["spec"]).get("ikeKey")).get("name")
            if isinstance(key, str) and v1.is_name(key):
                names.add(key)
        return names

    def _read_kinds(self) -> list[Reading]:
        problems = {kind: each.problem for kind, each in self._kinds.items() if each.problem}
        told = [self._problem(kind, problem) for kind, problem in problems.items()]
        general = {(finding.reason, finding.where): finding for finding in reversed([*told, *self._notes.values()])}
        readings = [Reading(origin=WHERE, findings=tuple(reversed(general.values())))]
        for kind, each in self._kinds.items():
            documents = tuple(Document(origin=kind, where=WHERE, content=item) for item in each.objects.values())
            readings.append(Reading(origin=kind, documents=documents, is_whole=each.is_listed))
        return readings

    def _problem(self, kind: str, error: DriverError) -> Finding:
        return explain.collection_problem(error, kind, self._cluster.url, is_known=self._kinds[kind].is_listed)

    def _read_secrets(self) -> list[Reading]:
        readings = []
        for name, (each, _) in self._secrets.items():
            ref = ObjectRef(kind="Secret", namespace=self._namespace, name=name)
            findings: tuple[Finding, ...] = ()
            if each.problem is not None:
                is_known = each.is_listed
                findings = (explain.secret_problem(each.problem, ref, self._cluster.url, is_known=is_known),)
            documents = tuple(Document(origin=str(ref), where=WHERE, content=item) for item in each.objects.values())
            readings.append(Reading(origin=str(ref), documents=documents, findings=findings, is_whole=each.is_listed))
        return readings

    async def _compare_definitions(self) -> None:
        """Tell when the cluster's definitions are older than ours. Without the right to read them nothing is told."""
        while True:
            for kind in crd.DEFINED:
                name = f"{crd.plural(kind)}.{v1alpha1.GROUP}"
                with suppress(DriverError):
                    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
                    missing = crd.lacking(kind, await self._cluster.get(path))
                    self.note(name, explain.definition_problem(kind, missing) if missing else None)
            await asyncio.sleep(DEFINITIONS_SECONDS)


def _kept_secret(item: Json) -> Json:
    metadata = item.get("metadata") or {}
    data = item.get("data") or {}
    return {
        "apiVersion": v1.API_VERSION,
        "kind": "Secret",
        "metadata": {name: metadata[name] for name in ("name", "namespace") if name in metadata},
        "data": {"psk": data["psk"]} if "psk" in data else {},
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
