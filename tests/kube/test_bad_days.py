"""Days on which the API server is slow, gone, strict or confused. It is the double's: a real one cannot be told to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from ncgd.lab.api_objects import Refused
from ncgd.lab.api_server import ApiServer, Request
from ncgd.resources import crd
from tests.kube.cluster import Place, double, until
from tests.kube.home import Running
from tests.unit.resources.manifests import KEY, secret, tunnel


def run(folder: Path, scenario: Callable[[Place, ApiServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with double(folder) as place:
            assert place.double
            await scenario(place, place.double)

    asyncio.run(main())


async def status_of(place: Place, name: str = "tunnel-1") -> str | None:
    return (await place.get("OverlayVPNTunnel", name)).get("status", {}).get("Status")  # type: ignore[no-any-return]


async def is_up(place: Place) -> bool:
    return await status_of(place) == "established"


def forbidding(*paths: str) -> Callable[[Request], Refused | None]:
    def refuse(request: Request) -> Refused | None:
        if any(path in request.path for path in paths):
            return Refused(403, "Forbidden", "User cannot do that")
        return None

    return refuse


def test_an_outage_changes_nothing_and_is_told_and_ends(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            good = await it.until_whole()
            it.comes_up()
            await until(lambda: is_up(place))
            await server.down()
            await until(lambda: "ApiUnreachable" in it.reasons)
            assert (it.intent.tunnels, it.intent.peers, it.intent.is_complete) == (good.tunnels, good.peers, True)
            assert not any(finding.is_error for finding in it.intent.findings)
            assert it.vault.get(good.tunnels["tunnel-1"].psk) == KEY
            assert it.site is not None
            it.site.lose_sa("tunnel-1")  # what happens meanwhile is not lost, only late
            it.shows(it.site)
            await server.up()
            await it.until_whole()

            async def is_told() -> bool:
                return not await is_up(place)

            await until(is_told)

    run(tmp_path, scenario)


def test_a_start_without_an_api_server_removes_nothing(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        await server.down()
        async with Running(place) as it:
            await until(lambda: "ApiUnreachable" in it.reasons)
            assert not it.intent.is_complete
            await server.up()
            await it.until_whole()

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", ["is_garbled", "is_hanging"])
def test_a_server_that_answers_nonsense_or_nothing_is_as_good_as_gone(tmp_path: Path, fault: str) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            good = await it.until_whole()
            setattr(server.faults, fault, True)
            await server.cut()
            await until(lambda: "ApiUnreachable" in it.reasons)
            assert it.intent.tunnels == good.tunnels
            setattr(server.faults, fault, False)
            await it.until_whole()

    run(tmp_path, scenario)


def test_too_old_a_version_means_reading_all_again(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            await server.down()
            server.store.delete("networking.gke.io/v1alpha1/overlaybgppeers", place.namespace, "peer-2")
            server.store.compact()
            await server.up()
            await until(lambda: set(it.intent.peers) == {"peer-1"})
            assert it.intent.is_complete

    run(tmp_path, scenario)


def test_watches_cut_at_once_lose_nothing_and_cost_little(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        server.faults.watch_seconds = 0.1
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            for mtu in (1301, 1302, 1303):
                await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", mtu)
                await until(lambda mtu=mtu: it.intent.tunnels["tunnel-1"].mtu == mtu)
            assert it.intent.findings == ()
        watches = [request for request in server.requests if request.is_watch]
        lists = [request for request in server.requests if request.method == "GET" and "limit" in request.query]
        assert len(lists) == 7
        for path in {watch.path for watch in watches}:
            times = [watch.at for watch in watches if watch.path == path]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert all(gap >= 0.3 for gap in gaps), "opened again without waiting"
            assert gaps == [] or max(gaps) <= 10

    run(tmp_path, scenario)


def test_conflicts_and_429_delay_a_status_and_do_not_lose_it(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        answers = [
            Refused(409, "Conflict", "the object has been modified"),
            Refused(429, "TooManyRequests", "try later", Retry_After="1"),
            Refused(500, "InternalError", "etcdserver: leader changed"),
        ]

        def refuse(request: Request) -> Refused | None:
            return answers.pop(0) if answers and request.method == "PATCH" else None

        async with Running(place) as it:
            await it.until_whole()
            server.faults.refuse = refuse
            it.comes_up()
            await until(lambda: is_up(place))
        writes = [request.at for request in server.requests if request.method == "PATCH"]
        assert writes[2] - writes[1] >= 1.0, "Retry-After is obeyed"

    run(tmp_path, scenario)


def test_a_flapping_tunnel_costs_the_api_server_little(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        async def is_told() -> bool:
            told = [
                each
                for each in await place.list("Event")
                if each["reason"] == "TunnelDown" and each["involvedObject"]["name"] == "tunnel-1"
            ]
            assert len(told) <= 1, "the same is counted, not told again"
            return bool(told) and told[0]["count"] >= 1

        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            site = it.comes_up()
            await until(lambda: is_up(place))
            began = asyncio.get_running_loop().time()
            for _ in range(200):
                site.lose_sa("tunnel-1")
                it.shows(site)
                site.unreachable.clear()
                site.now += 60
                site.settle()
                it.shows(site)
                await asyncio.sleep(0.02)
            await until(is_told)  # statuses go first
            seconds = asyncio.get_running_loop().time() - began
        writes = [request for request in server.requests if request.method == "PATCH" and request.at >= began]
        assert len(writes) <= 10 + 0.4 * seconds + 1

    run(tmp_path, scenario)


def test_missing_definitions_are_told_and_waited_for(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        installed, server.definitions = server.definitions, {}
        async with Running(place) as it:
            await until(lambda: it.reasons == {"CrdMissing"})
            assert not it.intent.is_complete
            assert {finding.where for finding in it.intent.findings} == {
                f"{crd.plural(kind)}.networking.gke.io" for kind in crd.DEFINED
            }
            assert "config/crd" in it.intent.findings[0].hint
            server.definitions = installed
            await place.create_ha_vpn()
            await it.until_whole()

    run(tmp_path, scenario)


def test_definitions_older_than_ncgd_are_told(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        schema = server.definitions["OverlayVPNTunnel"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        del schema["properties"]["spec"]["properties"]["mtu"]
        del schema["properties"]["spec"]["properties"]["ike"]["properties"]["version"]
        await place.create_ha_vpn()
        async with Running(place) as it:
            await until(lambda: it.reasons == {"CrdOutdated"})
            (finding,) = it.intent.findings
            assert "spec.ike.version, spec.mtu" in finding.message
            assert it.intent.is_complete
            assert len(it.intent.tunnels) == 2

    run(tmp_path, scenario)


def test_a_secret_that_may_not_be_read_any_more_keeps_its_key(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            good = await it.until_whole()
            server.faults.refuse = forbidding("/secrets")
            await server.cut()
            await until(lambda: it.reasons == {"SecretForbidden"})
            assert it.intent.tunnels == good.tunnels
            assert it.vault.get(good.tunnels["tunnel-1"].psk) == KEY
            (finding,) = it.intent.findings
            assert "resourceNames of Role ncgd-keys" in finding.hint

    run(tmp_path, scenario)


def test_a_secret_that_may_not_be_read_is_told_on_the_tunnel(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        server.faults.refuse = forbidding("/secrets")
        server.store.create("/v1/secrets", place.namespace, place.here(secret()))
        await place.create(tunnel(1))
        async with Running(place) as it:
            await until(lambda: "SecretForbidden" in it.reasons)
            assert not it.intent.is_complete
            it.comes_up()

            async def is_refused() -> bool:
                return await status_of(place) == "refused"

            await until(is_refused)
        item = await place.get("OverlayVPNTunnel", "tunnel-1")
        accepted = next(each for each in item["status"]["conditions"] if each["type"] == "Accepted")
        assert accepted["reason"] == "SecretForbidden"
        assert "ncgd-keys" in accepted["message"]

    run(tmp_path, scenario)


def test_status_that_may_not_be_written_is_told_and_stops_nothing(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        server.faults.refuse = forbidding("/status")
        async with Running(place) as it:
            await it.until_whole()
            it.comes_up()
            await until(lambda: "StatusForbidden" in it.reasons)
            server.faults.refuse = lambda _: None
            with suppress(KeyError):
                await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", 1300)
            await until(lambda: is_up(place))

    run(tmp_path, scenario)


def test_no_token_and_no_key_is_ever_shown(tmp_path: Path) -> None:
    async def scenario(place: Place, server: ApiServer) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            it.comes_up()
            await until(lambda: is_up(place))
            await server.down()
            await until(lambda: "ApiUnreachable" in it.reasons)
            shown = repr(it.intents) + repr(it.home.__dict__) + repr(it.vault)
            assert "a-token" not in shown
            assert KEY.decode() not in shown
        sent = [request for request in server.requests if request.method == "PATCH"]
        assert sent
        assert all(KEY.decode() not in repr(request.body) for request in sent)

    run(tmp_path, scenario)
