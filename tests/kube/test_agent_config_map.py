"""ip-masq-agent's ConfigMap follows what is learned, opt-in; what its user has written stays as it is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ncgd.model import prefix as px
from ncgd.model.event import IntentRead, RoleChanged
from ncgd.model.role import Part, Role
from ncgd.model.spec import Intent
from ncgd.resources.agent_config import CONFIG_MAP, KEY
from ncgd.sources.kubernetes.agent_config_map import ANNOTATION
from tests.kube.agent import agent_config
from tests.kube.cluster import Place, double, until
from tests.kube.conftest import Places
from tests.kube.home import Running
from tests.kube.test_bad_days import forbidding

USERS = """# the data centre
nonMasqueradeCIDRs:
  - 172.16.0.0/12   # since 2019
masqLinkLocal: true
"""
MODE = "spec.masquerade"
MORE = px.parse("192.0.2.0/24")


async def text_of(place: Place) -> str:
    return str((await place.get("ConfigMap", CONFIG_MAP))["data"][KEY])


async def passes(it: Running, condition: Callable[[], Awaitable[object]]) -> None:
    """Let the site make passes until a condition holds."""
    assert it.site
    site = it.site

    async def holds() -> object:
        site.settle()
        it.shows(site)
        return await condition()

    await until(holds)


def run(places: Places, folder: Path, scenario: Callable[[Place, Running], Awaitable[None]], **gateway: Any) -> None:
    async def main() -> None:
        async with places(folder) as place:
            await place.create_ha_vpn()
            if gateway:
                await place.edit("NetworkConnectivityGateway", "default", "spec", gateway)
            async with Running(place) as it:
                await it.until_whole()
                it.comes_up()
                await scenario(place, it)

    asyncio.run(main())


def test_opting_in_adds_and_opting_out_removes_and_the_rest_stays_as_it_was(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await place.create(agent_config(USERS))
        await place.edit("NetworkConnectivityGateway", "default", MODE, "ConfigMap")

        async def is_added() -> bool:
            return "10.128.0.0/20" in await text_of(place)

        await passes(it, is_added)
        assert await text_of(place) == USERS.replace("since 2019\n", "since 2019\n  - 10.128.0.0/20\n")
        made = await place.get("ConfigMap", CONFIG_MAP)
        assert made["metadata"]["annotations"] == {ANNOTATION: '["10.128.0.0/20"]'}
        assert (made["data"]["other"], made["metadata"]["labels"]) == ("stays", {"app": "ip-masq-agent"})

        assert it.site
        it.site.peer_sends("peer-1", MORE)

        async def is_followed() -> bool:
            return "192.0.2.0/24" in await text_of(place)

        await passes(it, is_followed)
        await place.edit("NetworkConnectivityGateway", "default", MODE, "Exempt")

        async def is_removed() -> bool:
            return await text_of(place) == USERS

        await passes(it, is_removed)
        assert ANNOTATION not in (await place.get("ConfigMap", CONFIG_MAP))["metadata"].get("annotations", {})

    run(places, tmp_path, scenario)


def test_without_opting_in_nothing_is_written(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await place.create(agent_config(USERS))
        made = await place.get("ConfigMap", CONFIG_MAP)
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", 1300)
        await until(lambda: it.intent.tunnels["tunnel-1"].mtu == 1300)
        assert await place.get("ConfigMap", CONFIG_MAP) == made

    run(places, tmp_path, scenario)


def test_a_user_who_edits_it_at_the_same_time_loses_nothing(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await place.create(agent_config(USERS))
        text = USERS
        for number in range(10):
            text = (await text_of(place)).replace("- 172.16.0.0/12", f"- 198.51.{number}.0/24\n  - 172.16.0.0/12")
            await _insist(place, text)
            assert it.site
            it.site.peer_sends("peer-1", px.parse(f"203.0.{2 * number}.0/24"))
            it.site.settle()
            it.shows(it.site)

        async def is_whole() -> bool:
            now = await text_of(place)
            return all(f"198.51.{n}.0/24" in now and f"203.0.{2 * n}.0/24" in now for n in range(10))

        await passes(it, is_whole)

    run(places, tmp_path, scenario, masquerade="ConfigMap")


async def _insist(place: Place, text: str) -> None:
    """The user writes what they have in their editor, and again when the server says that it has been modified."""
    while True:
        try:
            await place.edit("ConfigMap", CONFIG_MAP, f"data.{KEY}", text)
        except httpx2.HTTPStatusError as error:
            assert error.response.status_code == 409
        else:
            return


def test_a_missing_or_broken_one_is_named_and_taken_up_when_it_is_mended(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await until(lambda: "AgentConfigMissing" in it.reasons)
        await place.create(agent_config("nonMasqueradeCIDRs: [10.0.0.1/8]\n"))
        await until(lambda: it.reasons == {"AgentConfigInvalid"})
        (finding,) = it.intent.findings
        assert "10.0.0.1/8" in finding.message
        assert not finding.is_error
        assert await text_of(place) == "nonMasqueradeCIDRs: [10.0.0.1/8]\n"
        aliased = "users: &them [172.16.0.0/12]\nnonMasqueradeCIDRs: *them\n"
        await place.edit("ConfigMap", CONFIG_MAP, f"data.{KEY}", aliased)
        await until(lambda: any("no alias" in finding.hint for finding in it.intent.findings))
        assert await text_of(place) == aliased
        await place.edit("ConfigMap", CONFIG_MAP, f"data.{KEY}", "nonMasqueradeCIDRs: [172.16.0.0/12]\n")

        async def is_mended() -> bool:
            return await text_of(place) == "nonMasqueradeCIDRs: [172.16.0.0/12, 10.128.0.0/20]\n"

        await passes(it, is_mended)
        await until(lambda: not it.reasons)

    run(places, tmp_path, scenario, masquerade="ConfigMap")


def test_a_full_list_says_what_is_not_in_it_as_it_was_learned(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await place.create(agent_config("cidrLimit: 2\nnonMasqueradeCIDRs: [172.16.0.0/12]\n"))
        assert it.site
        it.site.peer_sends("peer-1", px.parse("10.130.0.0/24"), MORE)
        it.site.settle()
        it.shows(it.site)
        await until(lambda: it.reasons == {"AgentConfigCrowded"})
        assert "2 learned prefixes are part of wider entries" in it.intent.findings[0].message
        assert "1 have no room" in it.intent.findings[0].message
        assert "10.128.0.0/14" in await text_of(place)

    run(places, tmp_path, scenario, masquerade="ConfigMap")


def test_a_standby_writes_nothing(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        assert it.site
        it.site.tell(RoleChanged(role=Role(part=Part.STANDBY, holder="node-2", message="node-2 is active")))
        it.site.settle()
        it.shows(it.site)
        await place.create(agent_config(USERS))
        made = await place.get("ConfigMap", CONFIG_MAP)
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", 1300)
        await until(lambda: it.intent.tunnels["tunnel-1"].mtu == 1300)
        assert await place.get("ConfigMap", CONFIG_MAP) == made

    run(places, tmp_path, scenario, masquerade="ConfigMap")


def test_a_restart_takes_nothing_out_while_peers_have_not_spoken_yet(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        ours = agent_config("nonMasqueradeCIDRs: [172.16.0.0/12, 203.0.113.0/24]\n")
        ours["metadata"]["annotations"] = {ANNOTATION: '["203.0.113.0/24"]'}
        assert it.site
        it.site.reboot(it.intent)
        it.site.charon_answers()
        it.site.settle()
        it.shows(it.site)
        await place.create(ours)
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", 1300)
        await until(lambda: it.intent.tunnels["tunnel-1"].mtu == 1300)
        assert "203.0.113.0/24" in await text_of(place)
        it.site.speaker_answers()

        async def is_settled() -> bool:
            return await text_of(place) == "nonMasqueradeCIDRs: [172.16.0.0/12, 10.128.0.0/20]\n"

        await passes(it, is_settled)

    run(places, tmp_path, scenario, masquerade="ConfigMap")


def test_what_is_not_wholly_known_takes_nothing_out(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        site = it.site
        assert site
        await place.create(agent_config("nonMasqueradeCIDRs: [172.16.0.0/12, 203.0.113.0/24]\n"))

        async def has(entry: str) -> bool:
            return entry in await text_of(place)

        await passes(it, lambda: has("10.128.0.0/20"))
        await until(lambda: not it.reasons)
        partly = replace(it.intent, is_complete=False)
        site.reboot(partly)
        site.charon_answers()
        site.speaker_answers()
        site.settle()
        it.shows(site)
        ours = {ANNOTATION: '["10.128.0.0/20", "203.0.113.0/24"]'}  # the second is of a peer that is not known yet
        await place.edit("ConfigMap", CONFIG_MAP, "metadata.annotations", ours)
        site.peer_sends("peer-1", MORE)
        await passes(it, lambda: has("192.0.2.0/24"))
        assert await has("203.0.113.0/24")

        site.tell(IntentRead(intent=Intent(is_complete=False)))  # nor does a gateway that is not known opt out
        site.settle()
        it.shows(site)
        for number in range(2):  # when the second is read, the first has been dealt with
            text = f"{await text_of(place)}# {number}\n"
            await place.edit("ConfigMap", CONFIG_MAP, f"data.{KEY}", text)
            await until(lambda text=text: it.agent[0].text == text)
        assert await has("203.0.113.0/24")

    run(places, tmp_path, scenario, masquerade="ConfigMap")


@pytest.mark.parametrize("part", [Part.ACTIVE, Part.STANDBY, Part.NODE])
def test_in_the_agents_place_one_that_may_not_be_read_is_named(part: Part, tmp_path: Path) -> None:
    async def main() -> None:
        async with double(tmp_path) as place:
            assert place.double
            place.double.faults.refuse = forbidding("/configmaps")
            await place.create_ha_vpn()
            await place.edit("NetworkConnectivityGateway", "default", "spec", {"masquerade": "Agent"})
            async with Running(place) as it:
                await it.until_whole()
                site = it.comes_up()
                site.tell(RoleChanged(role=Role(part=part, holder="node-2")))
                it.shows(site)
                await until(lambda: it.reasons == {"AgentConfigUnreadable"})
                place.double.faults.refuse = lambda _: None
                await until(lambda: not it.reasons)

    asyncio.run(main())


def test_in_the_agents_place_ncgd_follows_its_configuration_and_changes_nothing_of_it(
    places: Places, tmp_path: Path
) -> None:
    async def scenario(place: Place, it: Running) -> None:
        def masquerades_but(*texts: str) -> bool:
            assert it.site
            it.site.settle()
            return it.site.agent is not None and {*texts, "fe80::/10"} == {*px.texts(it.site.agent.exempt)}

        await until(lambda: masquerades_but("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))
        await place.create(agent_config(USERS))
        await until(lambda: masquerades_but("172.16.0.0/12"))
        await place.edit("ConfigMap", CONFIG_MAP, f"data.{KEY}", USERS.replace("172.16.0.0", "172.32.0.0"))
        await until(lambda: masquerades_but("172.32.0.0/12"))
        assert await text_of(place) == USERS.replace("172.16.0.0", "172.32.0.0")
        await place.delete("ConfigMap", CONFIG_MAP)
        await until(lambda: masquerades_but("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))

    run(places, tmp_path, scenario, masquerade="Agent")
