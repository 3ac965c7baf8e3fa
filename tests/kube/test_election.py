"""Several ncgds take part in one election, over a real Lease."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ncgd.election.contest import Contest, undecided
from ncgd.election.lease import REQUEST_SECONDS, lease_of
from ncgd.lab.api_objects import Refused
from ncgd.lab.api_server import Request
from ncgd.model.event import RoleChanged
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role
from tests.kube.cluster import Place, double, path_of, until
from tests.kube.conftest import Places

Json = dict[str, Any]
LEASE = "ncgd-default"


class Player:
    """One ncgd's part in the election, without the rest of it."""

    def __init__(self, place: Place, node: str, instance: str = "first") -> None:
        self.place, self.node, self.instance = place, node, instance
        self.roles: list[Role] = [undecided("default")]
        self.times: list[float] = [0.0]

    async def __aenter__(self) -> "Player":
        self.cluster = self.place.connect()
        self.contest = Contest(
            self.cluster,
            self.place.namespace,
            "default",
            self._post,
            node=self.node,
            address=ip_address("10.0.0.1"),
            instance=f"{self.node}/{self.instance}",
        )
        self.task = asyncio.create_task(self.contest.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task.cancelled() or not self.task.done(), "nothing that an API server does may end it"
        await self.dies()
        await self.cluster.close()

    async def dies(self) -> None:
        """Without a word."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def role(self) -> Role:
        return self.roles[-1]

    def is_active(self) -> bool:
        return self.role.part == Part.ACTIVE and self.role.may_initiate

    def _post(self, event: RoleChanged) -> None:
        self.roles.append(event.role)
        self.times.append(asyncio.get_running_loop().time())


def run(places: Places, folder: Path, scenario: Callable[[Place], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place:
            await scenario(place)

    asyncio.run(main())


async def lease(place: Place) -> Json:
    return await place.get("Lease", LEASE)


async def renewed(place: Place) -> None:
    """Wait for the next renewal."""
    before = (await lease(place))["spec"]["renewTime"]

    async def is_newer() -> bool:
        return bool((await lease(place))["spec"]["renewTime"] > before)

    await until(is_newer)


def test_one_is_active_and_a_cordon_moves_it_at_once(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        nodes = [await place.create_node(name) for name in ("a", "b")]
        async with Player(place, nodes[0]) as a, Player(place, nodes[1]) as b:
            await until(lambda: a.is_active() or b.is_active())
            first, second = (a, b) if a.is_active() else (b, a)
            await until(lambda: second.role.part == Part.STANDBY and second.role.holder == first.node)
            assert second.role.holder_address == ip_address("10.0.0.1")
            told = await lease(place)
            assert told["spec"]["holderIdentity"] == first.node
            assert told["spec"]["leaseDurationSeconds"] == 10
            assert told["metadata"]["labels"]["ncgd.io/gateway"] == "default"
            await place.cordon(first.node)
            await until(second.is_active)
            await until(lambda: first.role.part == Part.STANDBY)
            assert second.times[-1] - first.times[-2] < 2, "not by a watch"
            assert second.role.epoch == first.role.epoch == 1
            assert "cordoned" in first.role.message
            assert lease_of(await lease(place)).yields == ""

    run(places, tmp_path, scenario)


def test_only_nodes_with_the_label_take_part_and_what_is_missing_is_told(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        labelled, bare = await place.create_node("a"), await place.create_node("b", label=None)
        refused = await place.create_node("c", label="false")
        async with (
            Player(place, labelled) as a,
            Player(place, bare) as b,
            Player(place, refused) as c,
            Player(place, "stranger") as d,
        ):
            await until(a.is_active)
            await until(lambda: "has no label networking.gke.io/ncgd-gateway" in b.role.message)
            await until(lambda: "says false" in c.role.message)
            await until(lambda: "there is no Node stranger" in d.role.message)
            await until(lambda: all(each.role.holder == labelled for each in (b, c, d)))
            assert {each.role.part for each in (b, c, d)} == {Part.NODE}
            await place.edit("Node", bare, "metadata.labels", {"networking.gke.io/ncgd-gateway": "true"})
            await until(lambda: b.role.part == Part.STANDBY)
            await place.edit("Node", labelled, "metadata.labels", {})
            await until(b.is_active)
            await until(lambda: a.role.part == Part.NODE and a.role.holder == bare)

    run(places, tmp_path, scenario)


def test_a_new_ncgd_on_the_same_node_goes_on_and_what_others_wrote_stays(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        nodes = [await place.create_node(name) for name in ("a", "b")]
        async with Player(place, nodes[0]) as a:
            await until(a.is_active)
            await a.dies()
            await place.edit("Lease", LEASE, "metadata.annotations", {"else": "kept"})
            async with Player(place, nodes[1]) as b, Player(place, nodes[0], "second") as again:
                await until(again.is_active)
                assert again.role.epoch == 0
                assert not any(role.part == Part.ACTIVE for role in b.roles)
                assert (await lease(place))["metadata"]["annotations"]["else"] == "kept"
                await renewed(place)
                again.contest.leave("it ends")
                await until(b.is_active)
                await until(lambda: again.role.part == Part.STANDBY)

    run(places, tmp_path, scenario)


def test_death_without_a_word_is_followed_after_the_lease_has_run_out(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        nodes = [await place.create_node(name) for name in ("a", "b")]
        async with Player(place, nodes[0]) as a:
            await until(a.is_active)
            async with Player(place, nodes[1]) as b:
                await until(lambda: b.role.part == Part.STANDBY)
                await a.dies()
                died = asyncio.get_running_loop().time()
                await until(b.is_active)
                assert b.times[-1] - died > 7, "it was not given the time to renew"
                assert b.role.epoch == 1

    run(double, tmp_path, scenario)


def test_an_outage_stops_nobody_and_makes_nobody_active(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        server = place.double
        assert server is not None
        nodes = [await place.create_node(name) for name in ("a", "b")]
        async with Player(place, nodes[0]) as a:
            await until(a.is_active)
            async with Player(place, nodes[1]) as b:
                await until(lambda: b.role.part == Part.STANDBY)
                await server.down()
                await until(lambda: a.role.reason == RoleReason.HELD_OVER)
                assert a.role.part == Part.ACTIVE
                await server.up()
                await until(a.is_active)
                assert not any(role.part == Part.ACTIVE for role in b.roles)
                assert a.role.epoch == 0

    run(double, tmp_path, scenario)


def test_conflicts_throttling_and_a_hanging_server_are_waited_out(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        server = place.double
        assert server is not None
        node = await place.create_node("a")
        answers = [
            Refused(409, "Conflict", "the object has been modified"),
            Refused(409, "Conflict", "the object has been modified"),
            Refused(429, "TooManyRequests", "try later", Retry_After="1"),
            Refused(500, "InternalError", "etcdserver: leader changed"),
        ]

        def refuse(request: Request) -> Refused | None:
            return answers.pop(0) if answers and request.method == "PUT" else None

        async with Player(place, node) as a:
            await until(a.is_active)
            server.faults.refuse = refuse
            await until(lambda: not answers)
            await renewed(place)
            assert all(role.may_initiate for role in a.roles)
            writes = [request.at for request in server.requests if request.method in {"PUT", "POST"}]
            assert len(writes) < 20

    run(double, tmp_path, scenario)


def test_a_slow_server_and_watches_that_are_cut_every_second_cost_time_only(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        server = place.double
        assert server is not None
        server.faults.watch_seconds, server.faults.delay_seconds = 1.0, 0.5
        nodes = [await place.create_node(name) for name in ("a", "b")]
        async with Player(place, nodes[0]) as a:
            await until(a.is_active)
            async with Player(place, nodes[1]) as b:
                await until(lambda: b.role.part == Part.STANDBY)
                await renewed(place)
                await renewed(place)
                assert all(role.may_initiate for role in a.roles)
                assert not any(role.part == Part.ACTIVE for role in b.roles)
                await place.cordon(nodes[0])
                await until(b.is_active)
                await until(lambda: a.role.part == Part.STANDBY)

    run(double, tmp_path, scenario)


def test_while_a_renewal_is_not_answered_another_holder_is_heard_of(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        server = place.double
        assert server is not None
        node = await place.create_node("a")
        async with Player(place, node) as a:
            await until(a.is_active)
            asked = len(server.requests)
            server.faults.is_hanging = True
            await until(lambda: any(request.method == "PUT" for request in server.requests[asked:]))
            collection = "coordination.k8s.io/v1/leases"
            told = server.store.get(collection, place.namespace, LEASE)
            other = {**told, "spec": {**told["spec"], "holderIdentity": "other"}}
            server.store.update(collection, place.namespace, other, is_status=False)
            await until(lambda: a.role.part == Part.STANDBY and a.role.holder == "other")
            assert a.times[-1] - server.requests[-1].at < REQUEST_SECONDS, "told only once the request had failed"
            server.faults.is_hanging = False

    run(double, tmp_path, scenario)


def test_without_the_right_to_see_the_lease_it_begins_nothing_and_says_so(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        server = place.double
        assert server is not None
        node = await place.create_node("a")

        def refuse(request: Request) -> Refused | None:
            return Refused(403, "Forbidden", "no leases for you") if "leases" in request.path else None

        server.faults.refuse = refuse
        async with Player(place, node) as a:
            await until(lambda: "no leases for you" in a.role.message)
            assert a.role.part == Part.UNDECIDED
            server.faults.refuse = lambda _: None
            await until(a.is_active)

    run(double, tmp_path, scenario)


def test_a_lease_that_is_deleted_comes_back(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        node = await place.create_node("a")
        async with Player(place, node) as a:
            await until(a.is_active)
            await place.request("DELETE", path_of("Lease", place.namespace, LEASE))

            async def is_back() -> bool:
                return [each["spec"]["holderIdentity"] for each in await place.list("Lease")] == [node]

            await until(is_back)
            await until(lambda: a.role.epoch == 1)
            assert a.is_active()

    run(places, tmp_path, scenario)


def test_the_double_refuses_a_write_over_a_newer_version(places: Places, tmp_path: Path) -> None:
    """What the guard of every write to the Lease rests on."""

    async def scenario(place: Place) -> None:
        node = await place.create_node("a")
        async with Player(place, node) as a:
            await until(a.is_active)
            await a.dies()
        old = await lease(place)
        old["spec"]["holderIdentity"] = "one"
        path = path_of("Lease", place.namespace, LEASE)
        await place.request("PUT", path, old)
        old["spec"]["holderIdentity"] = "other"
        answer = await place.http.put(path, json=old)
        assert answer.status_code == 409
        assert (await lease(place))["spec"]["holderIdentity"] == "one"

    run(places, tmp_path, scenario)
