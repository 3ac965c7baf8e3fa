"""What ncgd relies on in an API server, held against the double and, where there is one, the real thing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ncgd.errors import DriverError
from ncgd.sources.kubernetes.client import ApiRejected, Cluster
from ncgd.sources.kubernetes.reflector import Reflector
from tests.kube.cluster import Place, path_of, until
from tests.kube.conftest import Places
from tests.unit.resources.manifests import gateway, secret, tunnel

Json = dict[str, Any]
KIND = "OverlayVPNTunnel"


def run(places: Places, folder: Path, scenario: Callable[[Place, Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place:
            cluster = place.connect()
            try:
                await scenario(place, cluster)
            finally:
                await cluster.close()

    asyncio.run(main())


def status_of(place: Place, name: str, **status: Any) -> tuple[str, Json]:
    return path_of(KIND, place.namespace, name) + "/status", {
        "apiVersion": "networking.gke.io/v1alpha1",
        "kind": KIND,
        "metadata": {"name": name, "namespace": place.namespace},
        "status": status,
    }


def test_applying_status_changes_status_alone(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        await place.create(tunnel(1))
        before = await place.get(KIND, "tunnel-1")
        await cluster.apply(*status_of(place, "tunnel-1", Status="down", gone="soon", ours={"a": 1, "b": 2}))
        await cluster.apply(*status_of(place, "tunnel-1", Status="established", ours={"a": 1}))
        after = await place.get(KIND, "tunnel-1")
        assert after["status"] == {"Status": "established", "ours": {"a": 1}}
        assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], 1)
        assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]

    run(places, tmp_path, scenario)


def test_status_of_what_is_gone_is_refused_and_makes_nothing(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        with pytest.raises(ApiRejected) as gone:
            await cluster.apply(*status_of(place, "tunnel-1", Status="down"))
        assert gone.value.code == 404
        assert await place.list(KIND) == []

    run(places, tmp_path, scenario)


def test_applying_takes_fields_from_other_managers(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        await place.create(tunnel(1))
        path, body = status_of(place, "tunnel-1", Status="theirs")
        apply = {"Content-Type": "application/apply-patch+yaml"}
        await place.request("PATCH", f"{path}?fieldManager=another", body, **apply)
        await cluster.apply(*status_of(place, "tunnel-1", Status="ours"))
        assert (await place.get(KIND, "tunnel-1"))["status"] == {"Status": "ours"}

    run(places, tmp_path, scenario)


def test_an_object_without_a_spec_is_as_ncg_has_it(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, _: Cluster) -> None:
        await place.create(gateway())
        item = await place.get("NetworkConnectivityGateway", "default")
        assert item.get("spec") is None

    run(places, tmp_path, scenario)


def test_a_watch_from_before_the_history_is_told_so(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        await place.create(tunnel(1))
        await place.edit(KIND, "tunnel-1", "spec.mtu", 1300)
        if place.double:
            place.double.store.compact()
        with pytest.raises(ApiRejected) as old:
            await cluster.watch(path_of(KIND, place.namespace), 5, lambda: None, lambda *_: None, resourceVersion="1")
        assert old.value.code == 410

    run(places, tmp_path, scenario)


@asynccontextmanager
async def reflecting(cluster: Cluster, path: str, **selector: str) -> AsyncIterator[Reflector]:
    reflector = Reflector(cluster, path, lambda item: item, lambda: None, **selector)
    task = asyncio.create_task(reflector.run())
    try:
        await until(lambda: reflector.has_answered)
        yield reflector
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_a_reflector_follows_what_changes(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        await place.create(tunnel(1))
        async with reflecting(cluster, path_of(KIND, place.namespace)) as reflector:
            one, two = (place.namespace, "tunnel-1"), (place.namespace, "tunnel-2")
            assert set(reflector.objects) == {one}
            await place.create(tunnel(2))
            await until(lambda: two in reflector.objects)
            await place.edit(KIND, "tunnel-2", "spec.mtu", 1300)
            await until(lambda: reflector.objects[two]["spec"].get("mtu") == 1300)
            await place.delete(KIND, "tunnel-1")
            await until(lambda: set(reflector.objects) == {two})

    run(places, tmp_path, scenario)


def test_one_secret_is_followed_by_name_and_no_other_is_seen(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        await place.create(secret("ours"), secret("theirs"))
        path = path_of("Secret", place.namespace)
        async with reflecting(cluster, path, fieldSelector="metadata.name=ours") as reflector:
            await place.edit("Secret", "theirs", "data.psk", "bmV3")
            await place.edit("Secret", "ours", "data.psk", "bmV3")
            await until(lambda: reflector.objects[place.namespace, "ours"]["data"]["psk"] == "bmV3")
            assert set(reflector.objects) == {(place.namespace, "ours")}
            assert "psk" not in repr(reflector)

    run(places, tmp_path, scenario)


def test_what_the_server_does_not_know_is_an_error_with_its_words(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, cluster: Cluster) -> None:
        with pytest.raises(ApiRejected, match="says 404"):
            await cluster.get(f"/apis/nowhere.example/v1/namespaces/{place.namespace}/things")
        with pytest.raises(DriverError, match="not found"):
            await cluster.get(path_of(KIND, place.namespace, "missing"))

    run(places, tmp_path, scenario)
