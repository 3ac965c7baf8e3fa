"""The source, against any API server: what is read, and what stays in force when something goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.kube.cluster import Place, until
from tests.kube.conftest import Places
from tests.kube.home import Running
from tests.unit.resources.manifests import KEY, peer, secret


def run(places: Places, folder: Path, scenario: Callable[[Place, Running], Awaitable[None]]) -> None:
    async def main() -> None:
        async with places(folder) as place:
            await place.create_ha_vpn()
            async with Running(place) as it:
                await scenario(place, it)

    asyncio.run(main())


def test_all_that_is_there_is_read_with_its_key(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        intent = await it.until_whole()
        assert set(intent.tunnels) == {"tunnel-1", "tunnel-2"}
        assert it.vault.get(intent.tunnels["tunnel-1"].psk) == KEY
        assert intent.gateway.created is not None
        assert set(intent.generations.values()) <= {0, 1}

    run(places, tmp_path, scenario)


def test_edits_deletions_and_new_objects_are_followed(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        await it.until_whole()
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.mtu", 1300)
        await until(lambda: it.intent.tunnels["tunnel-1"].mtu == 1300)
        assert it.intent.tunnels["tunnel-1"].generation == 2
        await place.delete("OverlayBGPPeer", "peer-2")
        await until(lambda: set(it.intent.peers) == {"peer-1"})
        await place.create(peer(2))
        await it.until_whole()

    run(places, tmp_path, scenario)


def test_a_refused_edit_leaves_the_last_good_form(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        good = await it.until_whole()
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.peer.publicIP", "169.254.9.9")
        await until(lambda: "PublicIPNotUnicast" in it.reasons)
        assert it.intent.tunnels == good.tunnels
        assert it.intent.is_complete
        (finding,) = it.intent.findings
        assert (finding.ref, finding.field) == (good.tunnels["tunnel-1"].ref, "spec.peer.publicIP")

    run(places, tmp_path, scenario)


def test_a_secret_is_rotated_and_a_deleted_one_leaves_its_last_key(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        first = (await it.until_whole()).tunnels["tunnel-1"].psk
        await place.edit("Secret", "ike-key", "data.psk", "bmV3")
        await until(lambda: it.intent.tunnels["tunnel-1"].psk != first)
        second = it.intent.tunnels["tunnel-1"].psk
        assert it.vault.get(second) == b"new"
        await place.delete("Secret", "ike-key")
        await until(lambda: "SecretMissing" in it.reasons)
        assert it.intent.tunnels["tunnel-1"].psk == second
        assert it.vault.get(second) == b"new"
        await place.create(secret())
        await it.until_whole()
        assert it.vault.get(it.intent.tunnels["tunnel-1"].psk) == KEY

    run(places, tmp_path, scenario)


def test_another_secret_is_followed_once_a_tunnel_names_it(places: Places, tmp_path: Path) -> None:
    async def scenario(place: Place, it: Running) -> None:
        first = (await it.until_whole()).tunnels["tunnel-1"].psk
        await place.edit("OverlayVPNTunnel", "tunnel-1", "spec.ikeKey.name", "other-key")
        await until(lambda: "SecretMissing" in it.reasons)
        assert it.intent.tunnels["tunnel-1"].psk == first
        await place.create(secret("other-key", b"other"))
        await until(lambda: it.intent.tunnels["tunnel-1"].psk.name == "other-key")
        assert it.vault.get(it.intent.tunnels["tunnel-1"].psk) == b"other"

    run(places, tmp_path, scenario)
