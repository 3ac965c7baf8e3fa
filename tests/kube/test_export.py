"""Ranges of Nodes and Services, read from any API server, on their way to the peers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncgd.lab.api_objects import Refused
from ncgd.model import prefix as px
from tests.kube.cluster import Place, double, path_of, until
from tests.kube.conftest import Places
from tests.kube.home import Running
from tests.unit.resources.manifests import gateway, peer, secret, tunnel

Json = dict[str, Any]
OURS = px.parse("10.250.0.0/16")
"""Out of this the tests' nodes have their ranges: a real cluster has nodes of its own."""


@dataclass
class Nodes:
    """The user's hands on Nodes, which have no namespace: names are this test's own, and all go at its end."""

    place: Place
    prefix: str

    async def add(self, name: str, *ranges: str) -> None:
        spec = {"podCIDR": ranges[0], "podCIDRs": list(ranges)} if ranges else {}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.prefix + name}, "spec": spec}
        await self.place.request("POST", path_of("Node", ""), node)

    async def remove(self, name: str) -> None:
        await self.place.request("DELETE", path_of("Node", "", self.prefix + name))


@asynccontextmanager
async def nodes_of(place: Place) -> AsyncIterator[Nodes]:
    nodes = Nodes(place, f"test-{uuid.uuid4().hex[:8]}-")
    try:
        yield nodes
    finally:
        for item in (await place.request("GET", path_of("Node", "")))["items"]:
            if item["metadata"]["name"].startswith(nodes.prefix):
                await place.request("DELETE", path_of("Node", "", item["metadata"]["name"]))


def run(places: Places, folder: Path, scenario: Callable[[Place, Nodes, Running], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place, nodes_of(place) as nodes:
            await place.create(secret(), tunnel(1), tunnel(2), peer(1), peer(2), gateway())
            await nodes.add("one", "10.250.0.0/24")
            async with Running(place) as it:
                await it.until_whole()
                await until(lambda: it.ranges and it.ranges[-1].ranges is not None)
                await scenario(place, nodes, it)

    asyncio.run(main())


def told(it: Running) -> list[str]:
    """What a peer is told of this test's nodes and Services."""
    assert it.site is not None
    it.site.settle()
    rows = it.site.neighbors["peer-1"].advertisements
    return px.texts(row.prefix for row in rows if px.covers(OURS, row.prefix))


def test_nodes_that_join_are_told_and_those_that_go_are_withdrawn(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, nodes: Nodes, it: Running) -> None:
        site = it.comes_up()
        assert told(it) == ["10.250.0.0/24"]
        await nodes.add("two", "10.250.1.0/24", "fd00:250::/64")
        await nodes.add("three", "10.250.5.0/24")
        await until(lambda: {"10.250.0.0/23", "10.250.5.0/24"} <= set(told(it)))
        await nodes.remove("two")
        await until(lambda: not any(each.owner.endswith("two") for each in it.ranges[-1].ranges or ()))
        told(it)
        site.after(61)
        assert told(it) == ["10.250.0.0/24", "10.250.5.0/24"]
        it.shows(site)

        async def is_shown() -> bool:
            status = (await place.get("NetworkConnectivityGateway", "default")).get("status", {})
            rows = {each["prefix"]: each for each in status.get("export", {}).get("prefixes", ())}
            return "10.250.5.0/24" in rows and rows["10.250.5.0/24"]["reason"] == "PodCIDR"

        await until(is_shown)

    run(places, tmp_path, scenario)


def test_a_node_without_a_range_is_told_of(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, nodes: Nodes, it: Running) -> None:
        if place.double is None:
            return  # a real cluster may give it a range
        await nodes.add("two")
        await until(lambda: it.ranges[-1].bare_nodes == (nodes.prefix + "two",))

    run(places, tmp_path, scenario)


def test_addresses_of_services_are_read_only_when_asked_for(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, _: Nodes, it: Running) -> None:
        it.comes_up()
        for name, kind, address in (("web", "LoadBalancer", "10.250.9.1"), ("db", "ClusterIP", "10.250.9.2")):
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": place.namespace},
                "spec": {"type": kind, "ports": [{"port": 80}]},
            }
            made = await place.request("POST", path_of("Service", place.namespace), service)
            made["status"] = {"loadBalancer": {"ingress": [{"ip": address}, {"hostname": "a.name.example"}]}}
            with_status = path_of("Service", place.namespace, name) + "/status"
            if kind == "LoadBalancer" or place.double:  # newer servers clear it of other types
                await place.request("PUT", with_status, made)
        await place.edit("NetworkConnectivityGateway", "default", "spec", {"export": {"services": "LoadBalancer"}})
        await until(lambda: told(it) == ["10.250.0.0/24", "10.250.9.1/32"])
        await place.edit("NetworkConnectivityGateway", "default", "spec", {"export": {"podCIDRs": "None"}})
        await until(lambda: told(it) == [])
        if place.double:
            assert not any(each.path.endswith("/services") for each in place.double.requests[:8])

    run(places, tmp_path, scenario)


def test_an_outage_takes_nothing_back(tmp_path: Path) -> None:
    async def scenario(place: Place, nodes: Nodes, it: Running) -> None:
        assert place.double
        site = it.comes_up()
        await place.double.down()
        await until(lambda: any(finding.reason == "ApiUnreachable" for finding in it.intent.findings))
        site.after(120)
        assert told(it) == ["10.250.0.0/24"]
        await place.double.up()
        await it.until_whole()
        await nodes.add("two", "10.250.1.0/24")
        await until(lambda: "10.250.0.0/23" in told(it))

    run(double, tmp_path, scenario)


def test_a_version_too_old_is_listed_again_and_takes_nothing_back(tmp_path: Path) -> None:
    async def scenario(place: Place, nodes: Nodes, it: Running) -> None:
        assert place.double
        it.comes_up()
        place.double.store.compact()
        await place.double.cut()
        await nodes.add("two", "10.250.1.0/24")
        await until(lambda: "10.250.0.0/23" in told(it))
        assert {str(event.ranges and [px.text(each.prefix) for each in event.ranges]) for event in it.ranges} == {
            "None",
            "['10.250.0.0/24']",
            "['10.250.0.0/24', '10.250.1.0/24']",
        }

    run(double, tmp_path, scenario)


def test_without_the_right_to_read_nodes_everything_else_works_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with double(tmp_path) as place:
            assert place.double
            forbidden = Refused(403, "Forbidden", 'nodes is forbidden: User "ncgd" cannot list resource "nodes"')
            place.double.faults.refuse = lambda each: forbidden if each.path.endswith("/nodes") else None
            await place.create_ha_vpn()
            async with Running(place) as it:
                await until(lambda: "NodesForbidden" in it.reasons and len(it.intent.peers) == 2)
                site = it.comes_up()
                assert [px.text(row.prefix) for row in site.neighbors["peer-1"].advertisements] == ["10.10.0.0/24"]
                place.double.faults.refuse = lambda _: None
                await it.until_whole()

    asyncio.run(main())


def test_many_nodes_are_listed_in_small_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with double(tmp_path) as place, nodes_of(place) as nodes:
            assert place.double
            await place.create(gateway())
            for number in range(120):
                await nodes.add(f"n{number}", f"10.250.{number}.0/24")
            async with Running(place) as it:
                await until(lambda: it.ranges and it.ranges[-1].ranges is not None and len(it.ranges[-1].ranges) == 120)
            lists = [each for each in place.double.requests if each.path.endswith("/nodes") and not each.is_watch]
            ours = [each for each in lists if each.headers["user-agent"].startswith("ncgd/")]
            assert [each.query.get("limit") for each in ours] == ["50", "50", "50"]

    asyncio.run(main())
