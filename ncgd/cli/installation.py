"""Install or upgrade: definitions, rights, gateway, DaemonSet; by server-side apply, so doing it again is the same."""

from collections.abc import Sequence
from typing import Any

from ncgd.cli.facts.kube import DEFINITIONS, is_linux, is_ready
from ncgd.cli.manifests import (
    DAEMON_SET,
    KEYS,
    PODS,
    has_userspace,
    image_of,
    is_default,
    manifests,
    path_of,
    with_image,
    with_keys,
    with_userspace,
)
from ncgd.cli.ownership import refuse_foreign
from ncgd.cli.patience import Say, if_there, patiently, until
from ncgd.decision.preflight.cluster import GATEWAY_LABEL
from ncgd.errors import UserError
from ncgd.resources import crd
from ncgd.resources.v1 import DEFAULT_NAMESPACE
from ncgd.resources.v1alpha1 import API_VERSION, GROUP
from ncgd.sources.kubernetes.client import Cluster

Json = dict[str, Any]

MANAGER = "ncgctl"
"""Field manager: what a later version does not set any more goes, what others set stays."""
ESTABLISHED_SECONDS = 30.0
CRASHES = "CrashLoopBackOff"
_GATEWAY = {"apiVersion": API_VERSION, "kind": "NetworkConnectivityGateway"}


class Installation:
    """Of one cluster, in NCG's own namespace."""

    def __init__(self, cluster: Cluster, say: Say) -> None:
        self._cluster = cluster
        self._say = say

    async def install(self, image: str | None, nodes: Sequence[str], seconds: float, *, may_downgrade: bool) -> None:
        """Everything, in the order in which one part needs another.

        ``nodes`` become gateway candidates beside those that are. Raises UserError, DriverError, and TimedOut when
        the DaemonSet has not come up everywhere within ``seconds``.
        """
        version = await patiently(lambda: self._cluster.get("/version"))
        minor = int("".join(filter(str.isdigit, str(version["minor"]))))
        items = manifests(minor)
        await refuse_foreign(self._cluster, items)
        if not may_downgrade:
            await self._refuse_newer()
        for name in nodes:
            await self._label(name)
        definitions = [item for item in items if item["kind"] == "CustomResourceDefinition"]
        for item in definitions:
            await self._apply(item)
        await until(lambda: self._not_established(definitions), ESTABLISHED_SECONDS, self._say)
        self._say(f"{len(definitions)} definitions are in force")
        rights = [item for item in items if item["kind"] not in {"CustomResourceDefinition", DAEMON_SET}]
        for item in rights:
            is_keys = (item["kind"], item["metadata"]["name"]) == ("Role", KEYS)
            await self._apply(await self._with_known_keys(item) if is_keys else item)
        self._say("rights are granted")
        await self._create_gateway()
        for item in items:
            if item["kind"] == DAEMON_SET:
                wanted = await self._as_it_runs(item, image)
                await self._apply(wanted)
                await until(lambda item=item: self._not_rolled_out(item), seconds, self._say)  # type: ignore[misc]

    async def candidates(self) -> list[str]:
        """The nodes that may hold the gateway."""
        listed = await patiently(lambda: self._cluster.get("/api/v1/nodes", labelSelector=f"{GATEWAY_LABEL}!=false"))
        return [
            item["metadata"]["name"]
            for item in listed["items"]
            if GATEWAY_LABEL in (item["metadata"].get("labels") or {})
        ]

    async def _apply(self, item: Json) -> None:
        await patiently(lambda: self._cluster.apply(path_of(item), item, manager=MANAGER))

    async def _as_it_runs(self, packaged: Json, image: str | None) -> Json:
        """Our DaemonSet, with what its user has chosen for the one that runs: the image, and ESP in userspace."""
        there = await if_there(lambda: self._cluster.get(path_of(packaged)))
        if there and has_userspace(there):
            packaged = with_userspace(packaged)
            self._say("ESP stays in userspace, as config/userspace/patch.yaml has it")
        if image or not there or is_default(image_of(there)):
            wanted = with_image(packaged, image)
            self._say(f"image {image_of(wanted)}")
        else:
            wanted = with_image(packaged, image_of(there))
            self._say(f"image {image_of(wanted)}, as before; --image IMAGE takes another")
        return wanted

    async def _refuse_newer(self) -> None:
        for kind in crd.DEFINED:
            path = f"{DEFINITIONS}/{crd.plural(kind)}.{GROUP}"
            installed = await if_there(lambda path=path: self._cluster.get(path))  # type: ignore[misc]
            beyond = crd.exceeding(kind, installed) if installed else []
            if beyond:
                raise UserError(
                    f"the cluster's definition of {kind} is newer than this ncgctl: it has {', '.join(beyond)}; "
                    "use an ncgctl of that version, or take these fields from all objects with --downgrade"
                )

    async def _not_established(self, definitions: list[Json]) -> str:
        for item in definitions:
            found = await patiently(lambda item=item: self._cluster.get(path_of(item)))  # type: ignore[misc]
            told = {each["type"]: each for each in (found.get("status") or {}).get("conditions") or ()}
            if (told.get("Established") or {}).get("status") != "True":
                why = (told.get("NamesAccepted") or {}).get("message") or "the API server works on it"
                return f"definition {item['metadata']['name']}: {why}"
        return ""

    async def _with_known_keys(self, role: Json) -> Json:
        """With the Secrets that tunnels name now, and those that somebody has added to the Role."""
        there = await if_there(lambda: self._cluster.get(path_of(role))) or {}
        names = {name for rule in there.get("rules") or () for name in rule.get("resourceNames") or ()}
        path = f"/apis/{API_VERSION}/namespaces/{DEFAULT_NAMESPACE}/{crd.plural('OverlayVPNTunnel')}"
        for item in (await patiently(lambda: self._cluster.get(path)))["items"]:
            key = (item.get("spec") or {}).get("ikeKey")
            if isinstance(key, dict) and isinstance(key.get("name"), str):
                names.add(key["name"])
        return with_keys(role, names)

    async def _label(self, name: str) -> None:
        body = {"metadata": {"labels": {GATEWAY_LABEL: ""}}}
        found = await if_there(lambda: self._cluster.merge(f"/api/v1/nodes/{name}", body))
        if found is None:
            raise UserError(f"--gateway-node {name}: there is no such node")
        self._say(f"node {name} may hold the gateway")

    async def _not_rolled_out(self, item: Json) -> str:
        found = await patiently(lambda: self._cluster.get(path_of(item)))
        status, generation = found.get("status") or {}, found["metadata"].get("generation", 0)
        if status.get("observedGeneration", 0) < generation:
            return "DaemonSet ncgd: waiting for kube-controller-manager to take note"
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        ready = min(updated, status.get("numberAvailable", 0))
        away = await self._away()
        if ready >= wanted - len(away):
            later = f"; {', '.join(away)} will follow once ready" if away else ""
            self._say(f"DaemonSet ncgd: ready on {ready} of {wanted} nodes{later}")
            return ""
        return f"DaemonSet ncgd: ready on {ready} of {wanted} nodes{await self._why_not()}"

    async def _away(self) -> list[str]:
        """The nodes that are not ready: nothing starts there, and nobody can wait for it."""
        listed = await patiently(lambda: self._cluster.get("/api/v1/nodes"))
        return [item["metadata"]["name"] for item in listed["items"] if is_linux(item) and not is_ready(item)]

    async def _why_not(self) -> str:
        """What the first container that cannot start waits for."""
        path = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/pods"
        listed = await patiently(lambda: self._cluster.get(path, labelSelector=PODS))
        for pod in listed["items"]:
            for each in (pod.get("status") or {}).get("containerStatuses") or ():
                waiting = (each.get("state") or {}).get("waiting") or {}
                where = f"{each['name']} on {pod['spec'].get('nodeName', '?')}"
                if waiting.get("reason") == CRASHES:
                    logs = f"kubectl logs -n {DEFAULT_NAMESPACE} {pod['metadata']['name']} -c {each['name']} --previous"
                    return f"; {where} ends as soon as it starts: {logs}"
                if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
                    return f"; {where}: {waiting['reason']} {waiting.get('message', '')}".rstrip()
        return ""

    async def _create_gateway(self) -> None:
        """``default``, unless there is one: what its user has written is never touched."""
        path = f"/apis/{API_VERSION}/namespaces/{DEFAULT_NAMESPACE}/{crd.plural('NetworkConnectivityGateway')}"
        if (await patiently(lambda: self._cluster.get(path)))["items"]:
            return
        body = {**_GATEWAY, "metadata": {"name": "default", "namespace": DEFAULT_NAMESPACE}, "spec": {}}
        await patiently(lambda: self._cluster.create(path, body))
        self._say("NetworkConnectivityGateway default is created")
