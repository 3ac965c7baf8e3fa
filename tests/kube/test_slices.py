"""Slices on any API server: written by one, read by all, and nothing else asked for by a node that is no candidate."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from ncgd.lab.api_objects import Refused
from ncgd.lab.api_server import Request
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.prefix import Prefix
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role
from ncgd.model.route_slice import RouteSlice
from ncgd.resources.route_slice import KIND, to_object
from ncgd.sources.kubernetes.slices import Slices
from tests.kube.cluster import Place, double, path_of, until
from tests.kube.conftest import Places
from tests.kube.home import Running, Seen
from tests.scenarios.site import Site

ONE, OTHER = px.parse("10.128.0.0/20"), px.parse("10.129.0.0/20")
SLICE = RouteSlice(name="default-0", gateway="default", node="gw-a", epoch=1, prefixes=frozenset({ONE}))


def run(places: Places, folder: Path, scenario: Callable[[Place, Running], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place, Running(place, awaits_role=True) as node:
            await place.create_ha_vpn()
            await scenario(place, node)

    asyncio.run(main())


async def publish(it: Running, *prefixes: Prefix, name: str = "default-0") -> None:
    row = replace(SLICE, name=name, prefixes=frozenset(prefixes))
    assert not (await it.home.slices.write(Delta(set={name: row}))).failed


def test_what_one_writes_the_others_read(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, node: Running) -> None:
        async with Running(place) as gateway:
            await publish(gateway, ONE)
            await until(lambda: node.published == gateway.published == {ONE})
            await publish(gateway, OTHER)
            await publish(gateway, ONE, name="default-1")
            await until(lambda: node.published == {ONE, OTHER})
            for _ in range(2):
                assert not (await gateway.home.slices.write(Delta(remove=frozenset({"default-1"})))).failed
            await until(lambda: node.published == {OTHER})
            (item,) = await place.list(KIND)
            assert item["metadata"]["labels"] == {"ncgd.io/gateway": "default"}
            assert item["spec"] == {"gateway": "default", "node": "gw-a", "epoch": 1, "prefixes": ["10.129.0.0/20"]}

    run(places, tmp_path, scenario)


def test_a_damaged_slice_is_told_by_name_until_it_is_written_anew(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, node: Running) -> None:
        await publish(node, ONE)
        await until(lambda: node.published == {ONE})
        await place.edit(KIND, "default-0", "spec.prefixes", ["10.128.0.0/99"])
        await until(lambda: "SliceDamaged" in node.reasons)
        assert (node.published, node.slices[-1].damaged) == (set[Prefix](), frozenset({"default-0"}))
        await publish(node, OTHER)
        await until(lambda: node.published == {OTHER} and "SliceDamaged" not in node.reasons)
        assert not node.slices[-1].damaged

    run(places, tmp_path, scenario)


def test_what_another_has_written_meanwhile_is_not_written_over(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, gateway: Running) -> None:
        await publish(gateway, ONE)
        await publish(gateway, ONE, name="default-1")
        cluster, told = place.connect(), asyncio.Event()
        cut_off = Slices(cluster, place.namespace, lambda _: told.set(), lambda *_: None)
        following = asyncio.create_task(cut_off.run())
        await told.wait()
        following.cancel()  # what it knows grows old from now on
        rows = {
            name: replace(SLICE, name=name, node="gw-b", epoch=2) for name in ("default-0", "default-1", "default-2")
        }
        assert not (await gateway.home.slices.write(Delta(set=rows))).failed
        old = {name: replace(SLICE, name=name) for name in ("default-0", "default-2")}
        outcome = await cut_off.write(Delta(set=old, remove=frozenset({"default-1"})))
        await cluster.close()
        assert outcome.failed.keys() == rows.keys()
        assert [item["spec"]["epoch"] for item in await place.list(KIND)] == [2, 2, 2]

    run(places, tmp_path, scenario)


def test_a_slice_that_somebody_has_deleted_is_made_again(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, gateway: Running) -> None:
        await publish(gateway, ONE)
        await until(lambda: gateway.published == {ONE})
        await place.delete(KIND, SLICE.name)
        await until(lambda: not gateway.published)
        delta = Delta(set={SLICE.name: SLICE})
        await gateway.home.slices.write(delta)  # may still speak of the version that is gone
        assert not (await gateway.home.slices.write(delta)).failed
        assert len(await place.list(KIND)) == 1

    run(places, tmp_path, scenario)


def test_a_term_that_ends_while_slices_are_written_ends_the_writing(tmp_path: Path) -> None:
    async def scenario(place: Place, node: Running) -> None:
        assert place.double
        server, arrived = place.double, asyncio.Event()
        await publish(node, ONE)
        await until(lambda: node.published == {ONE})
        dead = Refused(503, "ServiceUnavailable", "the connection is dead")

        def refuse(request: Request) -> Refused | None:
            if request.method != "POST":
                return None
            if not arrived.is_set():
                arrived.set()
                server.seed(to_object(replace(SLICE, name="default-9", node="gw-b", epoch=2), place.namespace))
            return dead

        server.faults.refuse = refuse
        server.faults.delay_seconds = 0.2
        rows = {f"default-{n}": replace(SLICE, name=f"default-{n}") for n in range(1, 6)}
        outcome = await node.home.slices.write(Delta(set=rows, remove=frozenset({"default-0"})))
        assert "epoch 2" in outcome.failed["default-5"]
        assert "epoch 2" in outcome.failed["default-0"]
        assert {item["metadata"]["name"] for item in await place.list(KIND)} == {"default-0", "default-9"}

    run(double, tmp_path, scenario)


def test_a_node_asks_for_no_tunnel_and_no_secret_until_it_is_a_candidate(tmp_path: Path) -> None:
    async def scenario(place: Place, node: Running) -> None:
        assert place.double
        await until(lambda: node.slices and node.intents)
        role = Role(part=Part.NODE, reason=RoleReason.NO_LABEL, message="")
        node.home.observe(Seen(Site(node.intent, role=role).world, None))
        await asyncio.sleep(0)
        ours = [each for each in place.double.requests if "ncgd/" in each.headers["user-agent"]]
        asked = {each.path.rpartition("/")[2] for each in ours}
        assert asked & {"overlayvpntunnels", "overlaybgppeers", "secrets"} == set()
        assert not node.intent.is_complete, "what is not read is not known to be gone"
        role = Role(part=Part.STANDBY, reason=RoleReason.OTHER_HOLDS, message="")
        node.home.observe(Seen(Site(node.intent, role=role).world, None))
        await node.until_whole()

    run(double, tmp_path, scenario)


def test_a_server_that_refuses_is_told_by_name_and_tried_again(tmp_path: Path) -> None:
    async def scenario(place: Place, node: Running) -> None:
        assert place.double
        server = place.double
        busy = Refused(429, "TooManyRequests", "slow down")
        server.faults.refuse = lambda request: busy if request.method in {"PATCH", "POST"} else None
        outcome = await node.home.slices.write(Delta(set={"default-0": SLICE}))
        assert "default-0 cannot be written: the API server says 429" in outcome.failed["default-0"]
        server.faults.refuse = lambda _: None
        await publish(node, ONE)
        await until(lambda: node.published == {ONE})
        await server.down()
        outcome = await node.home.slices.write(Delta(remove=frozenset({"default-0"})))
        assert "cannot be deleted" in outcome.failed["default-0"]
        assert node.published == {ONE}, "an outage takes nothing back"
        await server.up()
        await publish(node, OTHER)
        await until(lambda: node.published == {OTHER})

    run(double, tmp_path, scenario)


def test_without_the_definition_a_node_says_so_and_goes_on_looking(tmp_path: Path) -> None:
    async def main() -> None:
        async with double(tmp_path) as place:
            assert place.double
            definition = place.double.definitions.pop(KIND)
            async with Running(place, awaits_role=True) as node:
                await until(lambda: any(each.where.startswith("overlayrouteslices") for each in node.intent.findings))
                place.double.definitions[KIND] = definition
                await place.request("POST", path_of(KIND, place.namespace), to_object(SLICE, "kube-system"))
                await until(lambda: node.published == {ONE})

    asyncio.run(main())
