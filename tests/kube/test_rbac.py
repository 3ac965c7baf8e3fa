"""config/rbac: everything that ncgd does is allowed, nothing is allowed that it does not do."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd.errors import DriverError
from ncgd.lab.api_server import Request
from ncgd.model.delta import Delta
from ncgd.sources.kubernetes.client import ApiRejected, connect
from tests.kube.agent import agent_config
from tests.kube.cluster import REAL, Place, double, path_of, real, until
from tests.kube.home import Running
from tests.kube.test_election import Player, renewed
from tests.kube.test_slices import SLICE
from tests.unit.resources.manifests import secret

Json = dict[str, Any]
Grant = tuple[str, str, str, str]
"""Verb, API group, resource, and the one name it is for (or nothing)."""

FOLDER = Path(__file__).parents[2] / "config" / "rbac"


def manifests() -> list[Json]:
    return [item for path in sorted(FOLDER.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]


def grants() -> set[Grant]:
    return {
        (verb, group, resource, name)
        for item in manifests()
        for rule in item.get("rules", ())
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def uses(request: Request) -> Iterator[Grant]:
    """What a request needs, as an API server works it out."""
    parts = request.path.strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    if "customresourcedefinitions" in parts:
        yield ("get", group, parts[-2], parts[-1])
        return
    rest = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
    resource = f"{rest[0]}/status" if rest[-1] == "status" else rest[0]
    name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    if request.method == "PATCH":
        yield ("patch", group, resource, rest[1] if resource == "configmaps" else "")
        if resource == "events":
            yield ("create", group, resource, "")
        return
    if request.method == "DELETE":
        yield ("delete", group, resource, "")
    elif request.method in {"POST", "PUT"}:
        yield ({"POST": "create", "PUT": "update"}[request.method], group, resource, "".join(rest[1:]))
    elif rest[1:]:
        yield ("get", group, resource, rest[1])
    else:
        # A node may list all Nodes, though it asks for its own.
        is_named = resource in {"configmaps", "secrets", "leases"}
        yield ("watch" if request.is_watch else "list", group, resource, name if is_named else "")


async def live(place: Place, kubeconfig: Path) -> None:
    """Everything that ncgd ever asks for."""
    ours = Place(kubeconfig, place.namespace, place.http, place.double)
    node = await place.create_node("a")
    async with Running(ours) as it, Player(ours, node) as player:
        await until(player.is_active)
        await renewed(place)
        await it.until_whole()
        site = it.comes_up()

        async def is_told() -> bool:
            items = [await place.get("OverlayVPNTunnel", "tunnel-1"), await place.get("OverlayBGPPeer", "peer-2")]
            items.append(await place.get("NetworkConnectivityGateway", "default"))
            return all("status" in item for item in items)

        await until(is_told)
        site.lose_sa("tunnel-1")
        it.shows(site)

        async def is_event() -> bool:
            return any(each["reason"] == "TunnelDown" for each in await place.list("Event"))

        await until(is_event)
        rows = {f"default-{number}": replace(SLICE, name=f"default-{number}") for number in range(2)}
        assert not (await it.home.slices.write(Delta(set=rows))).failed
        rows = {name: replace(row, epoch=2) for name, row in rows.items()}
        assert not (await it.home.slices.write(Delta(set=rows))).failed
        assert not (await it.home.slices.write(Delta(remove=frozenset({"default-1"})))).failed
        await until(lambda: it.slices and it.slices[-1].slices.keys() == {"default-0"})
        await place.edit("NetworkConnectivityGateway", "default", "spec", {"export": {"services": "LoadBalancer"}})
        await until(lambda: it.ranges[-1].ranges is None and it.intent.generations[it.intent.gateway.ref] == 2)
        await until(lambda: it.ranges[-1].ranges is not None)
        await place.create(agent_config("nonMasqueradeCIDRs: []\n"))
        await place.edit("NetworkConnectivityGateway", "default", "spec", {"masquerade": "ConfigMap"})

        async def is_shared() -> bool:
            site.settle()
            it.shows(site)
            return "10.128.0.0/20" in (await place.get("ConfigMap", "ip-masq-agent"))["data"]["config"]

        await until(is_shared)
        await until(lambda: not it.intent.findings)


def test_what_is_granted_is_what_is_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with double(tmp_path) as place:
            assert place.double
            await place.create_ha_vpn()
            await live(place, place.kubeconfig)
            ours = [each for each in place.double.requests if each.headers["user-agent"].startswith("ncgd/")]
            assert {use for request in ours for use in uses(request)} == grants()

    asyncio.run(main())


@pytest.mark.skipif(REAL is None, reason="only a real API server enforces RBAC")
def test_a_real_server_lets_the_service_account_do_that_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with real(tmp_path) as place:
            await install(place)
            kubeconfig = await as_service_account(place, tmp_path)
            await place.create_ha_vpn()
            await place.create(secret("not-ours"))
            try:
                await live(place, kubeconfig)
                await refused(place, kubeconfig)
            finally:
                await uninstall(place)

    asyncio.run(main())


async def refused(place: Place, kubeconfig: Path) -> None:
    cluster = connect(kubeconfig)
    tunnel = path_of("OverlayVPNTunnel", place.namespace, "tunnel-1")
    secrets = path_of("Secret", place.namespace)
    body = {"apiVersion": "networking.gke.io/v1alpha1", "kind": "OverlayVPNTunnel", "metadata": {"name": "tunnel-1"}}
    attempts = [
        cluster.get(secrets),
        cluster.get(secrets, fieldSelector="metadata.name=not-ours"),
        cluster.get(f"{secrets}/not-ours"),
        cluster.get(path_of("OverlayVPNTunnel", "default")),
        cluster.get("/api/v1/pods"),
        cluster.get("/api/v1/nodes/some-node"),
        cluster.get(path_of("Lease", place.namespace)),
        cluster.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
        cluster.apply(tunnel, {**body, "spec": {"mtu": 1300}}),
    ]
    try:
        for attempt in attempts:
            with pytest.raises(DriverError) as answer:
                await attempt
            assert isinstance(answer.value, ApiRejected)
            assert answer.value.code == 403
    finally:
        await cluster.close()


def moved(item: Json, namespace: str) -> tuple[str, Json]:
    """A manifest of config/rbac in a test's namespace, and the path to create it at."""
    text = json.dumps(item).replace('"ncgd-', f'"{namespace}-').replace("kube-system", namespace)
    text = text.replace(f'"{namespace}-default"', '"ncgd-default"')  # the Lease keeps its name
    made: Json = json.loads(text)
    plural = f"{made['kind'].lower()}s"
    if made["kind"] == "ServiceAccount":
        return f"/api/v1/namespaces/{namespace}/{plural}", made
    scope = "" if made["kind"].startswith("Cluster") else f"namespaces/{namespace}/"
    return f"/apis/rbac.authorization.k8s.io/v1/{scope}{plural}", made


async def install(place: Place) -> None:
    for item in manifests():
        await place.request("POST", *moved(item, place.namespace))


async def uninstall(place: Place) -> None:
    for item in manifests():
        path, made = moved(item, place.namespace)
        await place.request("DELETE", f"{path}/{made['metadata']['name']}")


async def as_service_account(place: Place, folder: Path) -> Path:
    """A kubeconfig with a token of service account ncgd."""
    path = f"/api/v1/namespaces/{place.namespace}/serviceaccounts/ncgd/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    token = (await place.request("POST", path, body))["status"]["token"]
    config = yaml.safe_load(place.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    target = folder / "ncgd.kubeconfig"
    target.write_text(yaml.safe_dump(config))
    return target
