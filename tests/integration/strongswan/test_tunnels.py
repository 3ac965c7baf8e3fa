"""Tunnels come up, carry packets, are adopted, changed and healed, each without touching the other."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ncgd.model.delta import Delta
from ncgd.model.event import CharonUp, SasRead, TunFound
from ncgd.model.ike import SaState, StaleSa
from tests.integration.netns import until
from tests.integration.strongswan.site import Site, Watch, bring_up, running

pytestmark = pytest.mark.root


def test_two_tunnels_from_one_address_carry_packets_side_by_side(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        drivers = [gateway.driver(watch, number) for number in (0, 1)][: 1 if gateway.is_kernel else 2]
        async with running(*drivers):
            sas = [await bring_up(gateway, watch, drivers[number % len(drivers)], number) for number in (0, 1)]
            devices = [gateway.address(number) for number in (0, 1)]
            assert len(set(devices)) == 2
            if not gateway.is_kernel:
                assert {found.interface for found in watch.of(TunFound)} == set(devices)
            for number in (0, 1):
                assert await asyncio.to_thread(gateway.ping, number)
            assert [sa.digest for sa in sas] == ["d1", "d1"]
            assert sas[0].cipher == "AES_GCM_16-256"
            assert sas[0].encap is not gateway.is_kernel
            for tunnel in ("t0", "t1"):
                await watch.until(
                    lambda name=tunnel: (sa := watch.sa(name)) and sa.packets_in >= 2, "packets counted in"
                )
                await watch.until(
                    lambda name=tunnel: (sa := watch.sa(name)) and sa.packets_out >= 2, "packets counted out"
                )

    gateway.space.call(lambda: asyncio.run(scenario()))  # where the TUN devices have their indexes


def test_nothing_but_marked_packets_follows_the_route_that_libipsec_installs(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        before = gateway.space.run("ip", "route", "show", "table", "main")
        async with running(driver):
            await bring_up(gateway, watch, driver, 0)
            assert gateway.space.run("ip", "route", "show", "table", "main") == before
            assert not gateway.space.succeeds("ip", "route", "get", "203.0.113.77")
            assert not gateway.space.succeeds("ip", "route", "get", "2001:db8::77")

    asyncio.run(scenario())


def test_a_new_driver_adopts_what_is_up(gateway: Site) -> None:
    async def scenario() -> None:
        first = Watch()
        driver = gateway.driver(first, 0)
        async with running(driver):
            before = await bring_up(gateway, first, driver, 0)
        second = Watch()
        driver = gateway.driver(second, 0)
        async with running(driver):
            adopted = await second.installed("t0")
            (up,) = second.of(CharonUp)
            assert up.tunnels == {"t0"}
            assert up.version.startswith(("5.", "6."))
            # Loading the same rows again, as a new ncgd does, changes nothing.
            await driver.credentials.write(Delta(set={"t0": gateway.credential(0)}))
            await driver.connections.write(Delta(set={"t0": gateway.connection(0)}))
            count = len(second.events)
            await second.until(lambda: len(second.events) > count + 2, "more reads")
            after = second.sa("t0")
            assert after is not None
            same = {(sa.ike_id, sa.child_id, sa.digest, sa.stale_ike_ids) for sa in (before, adopted, after)}
            assert same == {(before.ike_id, before.child_id, "d1", ())}

    asyncio.run(scenario())


def test_a_changed_connection_is_made_before_the_old_one_breaks(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        drivers = [gateway.driver(watch, number) for number in (0, 1)][: 1 if gateway.is_kernel else 2]
        async with running(*drivers):
            old = await bring_up(gateway, watch, drivers[0], 0)
            other = await bring_up(gateway, watch, drivers[-1], 1)
            gateway.address(0)
            pinging = asyncio.create_task(asyncio.to_thread(gateway.ping, 0, 25))
            changed = gateway.connection(0, digest="d2", esp_proposals=("aes128gcm16-ecp256",))
            await drivers[0].connections.write(Delta(set={"t0": changed}))
            await drivers[0].sas.write(Delta(set={"t0": changed}))
            new = await watch.installed("t0", digest="d2")
            assert new.cipher == "AES_GCM_16-128"
            assert new.stale_ike_ids == (old.ike_id,)
            stale = StaleSa(charon=changed.charon, ike_id=old.ike_id)
            assert not (await drivers[0].sas.write(Delta(remove=frozenset({stale})))).failed
            await watch.until(lambda: (sa := watch.sa("t0")) and sa.stale_ike_ids == (), "the old SA is gone")
            assert await pinging, "a packet was lost on the way"
            assert watch.now("t0").ike_id == new.ike_id
            assert watch.now("t1").ike_id == other.ike_id
            assert watch.now("t1").child_id == other.child_id
            until(lambda: len(gateway.peers[0].ike_ids()) == 1, what="one IKE SA at the peer")

    asyncio.run(scenario())


def test_a_child_rekeys_with_a_fresh_key_exchange(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0)
            gateway.address(0)
            session = gateway.charons[gateway.charon_name(0)].session()
            session.rekey({"child": "esp-d1"})
            after = await watch.until(
                lambda: (sa := watch.sa("t0")) and sa.child_id != before.child_id and sa, "another child"
            )
            assert (after.ike_id, after.state, after.digest) == (before.ike_id, SaState.INSTALLED, "d1")
            (sa,) = session.list_sas()
            children = sa["ncg-t0"]["child-sas"].values()
            (fresh,) = [child for child in children if child["state"] == b"INSTALLED"]
            assert fresh["dh-group"] == b"ECP_256"
            session.rekey({"ike": "ncg-t0"})
            renewed = await watch.installed("t0", besides=before.ike_id)
            assert renewed.stale_ike_ids == ()
            assert await asyncio.to_thread(gateway.ping, 0)

    asyncio.run(scenario())


def test_a_tunnel_that_the_peer_deletes_comes_back_without_us(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0)
        await asyncio.to_thread(lambda: list(gateway.peers[0].session.terminate({"ike": "peer"})))
        later = Watch()
        async with running(gateway.driver(later, 0)):
            healed = await later.installed("t0", besides=before.ike_id)
            assert healed.digest == "d1"
            assert healed.stale_ike_ids == ()

    asyncio.run(scenario())


def test_a_tunnel_whose_peer_is_replaced_comes_back_without_us(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0)
            # The new charon knows nothing of the SA and says nothing to it: dead peer detection must notice.
            await asyncio.to_thread(gateway.replace_peer, 0)
            healed = await watch.installed("t0", besides=before.ike_id)
            assert healed.digest == "d1"

    asyncio.run(scenario())


def test_where_a_lease_decides_what_the_peer_takes_away_stays_away(gateway: Site) -> None:
    """Another node may have the tunnel by now, and charon would fight it for it."""

    def gone_for_good(watch: Watch) -> bool:
        return sum("t0" not in read.sas for read in watch.of(SasRead)[-3:]) == 3

    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            await bring_up(gateway, watch, driver, 0, heals=False)
            await asyncio.to_thread(lambda: list(gateway.peers[0].session.terminate({"ike": "peer"})))
            await watch.until(lambda: gone_for_good(watch), "the peer's DELETE is the end")
            await driver.sas.write(Delta(set={"t0": gateway.connection(0, heals=False)}))
            await watch.installed("t0")
            await asyncio.to_thread(gateway.replace_peer, 0)
            await watch.until(lambda: gone_for_good(watch), "a silent peer is the end", seconds=60)
            assert gateway.peers[0].ike_ids() == []

    asyncio.run(scenario())


def test_a_removed_connection_takes_its_sas_along_and_no_others(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        drivers = [gateway.driver(watch, number) for number in (0, 1)][: 1 if gateway.is_kernel else 2]
        async with running(*drivers):
            await bring_up(gateway, watch, drivers[0], 0)
            other = await bring_up(gateway, watch, drivers[-1], 1)
            gone: Delta[Any, Any] = Delta(remove=frozenset({"t0"}))
            for table in (drivers[0].connections, drivers[0].credentials, drivers[0].sas):
                assert not (await table.write(gone)).failed
                assert not (await table.write(gone)).failed, "removing twice is removing"
            await watch.until(lambda: watch.sa("t0") is None, "no SA of t0")
            assert watch.now("t1").ike_id == other.ike_id
            until(lambda: gateway.peers[0].ike_ids() == [], what="the peer heard the DELETE")
            session = gateway.charons[gateway.charon_name(0)].session()
            assert b"ncg-t0" not in session.get_conns()["conns"]
            assert b"ncg-t0" not in session.get_shared()["keys"]

    asyncio.run(scenario())


def test_ikev1_with_one_pair_of_selectors(gateway: Site) -> None:
    async def scenario() -> None:
        gateway.peers[0].load(gateway.psks[0], is_kernel=gateway.is_kernel, version="1")
        watch = Watch()
        driver = gateway.driver(watch, 0)
        legacy = ("aes128-sha1-modp1024",)
        async with running(driver):
            sa = await bring_up(gateway, watch, driver, 0, version=1, ike_proposals=legacy, esp_proposals=legacy)
            assert sa.cipher == "AES_CBC-128/HMAC_SHA1_96"
            gateway.address(0)
            assert await asyncio.to_thread(gateway.ping, 0)

    asyncio.run(scenario())


def answers(log: Path) -> list[int]:
    """Sequence numbers of the answers that ping has printed."""
    return [int(each) for each in re.findall(r"icmp_seq=(\d+) ttl=", log.read_text())]


@asynccontextmanager
async def flooded(gateway: Site, name: str) -> AsyncIterator[list[int]]:
    """Pings, a hundred a second, that pass before the block begins; afterwards the list has the runs that are missing.

    What is under way when the flood is ended does not count.
    """
    log, missing = gateway.directory / name, list[int]()
    flood = gateway.space.start("ping", "-i", "0.01", "-n", "169.254.0.2", log=log)
    await asyncio.to_thread(until, lambda: log.exists() and len(answers(log)) > 10, what="packets pass")
    yield missing
    flood.send_signal(signal.SIGINT)
    await asyncio.to_thread(flood.wait)
    came = sorted(answers(log))
    missing += [after - before - 1 for before, after in pairwise(came) if after - before > 1]


def test_ikev1_rekeys_and_authenticates_anew(gateway: Site) -> None:
    """IKEv1 has no rekey of its IKE SA: it authenticates anew, takes its children along, and no packet is lost.

    A child is rekeyed in three messages (RFC 2409 §5.5): what its initiator sends on the new one before the responder
    has taken in the third is lost.
    """

    async def scenario() -> None:
        gateway.peers[0].load(gateway.psks[0], is_kernel=gateway.is_kernel, version="1")
        watch = Watch()
        driver = gateway.driver(watch, 0)
        legacy = ("aes128-sha1-modp1024",)
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0, version=1, ike_proposals=legacy, esp_proposals=legacy)
            gateway.address(0)
            session = gateway.charons[gateway.charon_name(0)].session()
            async with flooded(gateway, "child") as missing:
                session.rekey({"child": "esp-d1"})
                child = await watch.until(
                    lambda: (sa := watch.sa("t0")) and sa.child_id != before.child_id and sa, "another child"
                )
                assert await asyncio.to_thread(gateway.ping, 0, 10)
            assert len(missing) <= 1, "packets are lost in one moment only"
            async with flooded(gateway, "ike") as missing:
                session.rekey({"ike": "ncg-t0"})
                await watch.until(lambda: (sa := watch.sa("t0")) and sa.ike_id != child.ike_id and sa, "another IKE SA")
                assert await asyncio.to_thread(gateway.ping, 0, 10)
            assert missing == []

    asyncio.run(scenario())
