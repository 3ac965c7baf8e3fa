"""Status, conditions and Events, against any API server."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ncgd.model import event as ev
from ncgd.model.role import Part, Role
from tests.kube.cluster import Place, until
from tests.kube.conftest import Places
from tests.kube.home import Running
from tests.unit.resources.manifests import changed, secret, tunnel

Json = dict[str, Any]


def _time(number: int) -> str:
    return f"2026-11-{1 + number // 86400:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"


def run(places: Places, folder: Path, scenario: Callable[[Place], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place:
            await scenario(place)

    asyncio.run(main())


def condition(item: Json, name: str) -> Json:
    found: Json = next(each for each in item["status"]["conditions"] if each["type"] == name)
    return found


async def established(place: Place) -> bool:
    items = [*await place.list("OverlayVPNTunnel"), *await place.list("OverlayBGPPeer")]
    return all(item.get("status", {}).get("Status") == "established" for item in items)


async def shown(place: Place) -> tuple[Any, Any]:
    status = (await place.get("NetworkConnectivityGateway", "default")).get("status", {})
    return status.get("CurrNode"), status.get("Status")


def test_the_active_one_alone_tells_and_the_last_one_says_that_there_is_none(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            site = it.comes_up()
            site.tell(ev.RoleChanged(role=Role(part=Part.ACTIVE, holder="node-1", message="holds it")))
            it.shows(site)

            async def is_healthy() -> bool:
                return await shown(place) == ("node-1", "Healthy")

            await until(is_healthy)
            site.tell(ev.RoleChanged(role=Role(part=Part.STANDBY, holder="node-2", message="node-2 holds it")))
            site.after(2)
            it.shows(site)

            async def is_told() -> bool:
                return "StoodDown" in {each["reason"] for each in await place.list("Event")}

            await until(is_told)
            assert await shown(place) == ("node-1", "Healthy"), "that is node-2's to say"
            site.tell(ev.RoleChanged(role=Role(part=Part.ACTIVE, holder="node-1", message="holds it")))
            site.settle()
            it.shows(site)
            site.tell(ev.RoleChanged(role=Role(part=Part.NODE, message="no label")))

            async def is_vacant() -> bool:
                it.shows(site)
                tunnels = {each.get("status", {}).get("Status") for each in await place.list("OverlayVPNTunnel")}
                return await shown(place) == ("", "Down") and tunnels == {"down"}

            await until(is_vacant)

    run(places, tmp_path, scenario)


def test_status_is_as_ncg_spells_it(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            it.comes_up()
            await until(lambda: established(place))

            async def is_healthy() -> bool:
                item = await place.get("NetworkConnectivityGateway", "default")
                return bool(item.get("status", {}).get("Status") == "Healthy")

            await until(is_healthy)
        gateway = await place.get("NetworkConnectivityGateway", "default")
        assert gateway["status"]["CurrNode"] == "node-1"
        assert gateway["status"]["CreatedTime"] == gateway["metadata"]["creationTimestamp"]
        assert gateway["status"]["LastReportTime"] > "2026"
        assert condition(gateway, "Ready")["status"] == "True"
        peer = await place.get("OverlayBGPPeer", "peer-1")
        assert peer["status"]["received"] == [{"prefix": "10.128.0.0/20", "reason": "Accepted"}]
        assert peer["status"]["advertised"] == [{"prefix": "10.10.0.0/24", "med": 100}]
        assert (peer["metadata"]["generation"], peer["status"]["observedGeneration"]) == (1, 1)

    run(places, tmp_path, scenario)


def test_a_refused_edit_says_so_on_its_object(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            it.comes_up()
            await until(lambda: established(place))
            await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.peer.publicIP", "169.254.9.9")

            async def is_told() -> bool:
                item = await place.get("OverlayVPNTunnel", "tunnel-1")
                return bool(condition(item, "Accepted")["status"] == "False")

            await until(is_told)
            item = await place.get("OverlayVPNTunnel", "tunnel-1")
            accepted = condition(item, "Accepted")
            assert accepted["reason"] == "PublicIPNotUnicast"
            assert "spec.peer.publicIP" in accepted["message"]
            assert accepted["observedGeneration"] == item["metadata"]["generation"] == 2
            assert item["status"]["Status"] == "established", "the last good form carries on"

            async def is_event() -> bool:
                return any(each["reason"] == "Refused" for each in await place.list("Event"))

            await until(is_event)

    run(places, tmp_path, scenario)


def test_an_object_never_in_force_says_why(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create(secret(), changed(tunnel(1), "spec.peer.publicIP", "169.254.9.9"))
        async with Running(place) as it:
            await until(lambda: "PublicIPNotUnicast" in it.reasons)
            it.comes_up()

            async def is_told() -> bool:
                return "status" in await place.get("OverlayVPNTunnel", "tunnel-1")

            await until(is_told)
            item = await place.get("OverlayVPNTunnel", "tunnel-1")
            assert item["status"]["Status"] == "refused"
            assert condition(item, "Ready")["reason"] == "NotAccepted"
            assert condition(item, "Accepted")["reason"] == "PublicIPNotUnicast"

    run(places, tmp_path, scenario)


def test_transition_times_outlive_a_restart_and_tell_of_a_change(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create_ha_vpn()

        async def ready() -> Json:
            return condition(await place.get("OverlayVPNTunnel", "tunnel-1"), "Ready")

        wall = iter(range(10_000))
        async with Running(place, wall=lambda: _time(next(wall))) as it:
            await it.until_whole()
            it.comes_up()
            await until(lambda: established(place))
            first = await ready()
        async with Running(place, wall=lambda: _time(next(wall))) as it:
            await it.until_whole()
            before = (await place.get("OverlayVPNTunnel", "tunnel-1"))["status"]["LastReportTime"]
            site = it.comes_up()

            async def is_written_again() -> bool:
                item = await place.get("OverlayVPNTunnel", "tunnel-1")
                return bool(item["status"]["LastReportTime"] != before)

            await until(is_written_again)
            assert (await ready())["lastTransitionTime"] == first["lastTransitionTime"]
            site.lose_sa("tunnel-1")
            it.shows(site)

            async def is_down() -> bool:
                return bool((await ready())["status"] == "False")

            await until(is_down)
            assert (await ready())["lastTransitionTime"] > first["lastTransitionTime"]

            async def is_event() -> bool:
                return any(
                    each["reason"] == "TunnelDown" and each["involvedObject"]["name"] == "tunnel-1"
                    for each in await place.list("Event")
                )

            await until(is_event)

    run(places, tmp_path, scenario)


def test_a_status_write_is_no_edit(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.create_ha_vpn()
        async with Running(place) as it:
            await it.until_whole()
            posted = len(it.intents)
            it.comes_up()
            await until(lambda: established(place))
            await place.edit("OverlayVPNTunnel", "tunnel-2", "spec.mtu", 1300)
            await until(lambda: it.intent.tunnels["tunnel-2"].mtu == 1300)
            assert len(it.intents) == posted + 1
            item = await place.get("OverlayVPNTunnel", "tunnel-1")
            assert item["metadata"]["generation"] == 1

    run(places, tmp_path, scenario)
