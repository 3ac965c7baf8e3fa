"""Negotiations that fail say why, in our words; keys stay out of everything that is written.

Over one dataplane only: what fails here fails before any packet.
"""

import asyncio
from pathlib import Path

import pytest

from ncgd.drivers.strongswan.charon import log_path
from ncgd.model.delta import Delta
from ncgd.model.event import CharonUp, IkeFailed
from tests.integration.strongswan.site import Site, Watch, bring_up, running

pytestmark = [pytest.mark.root, pytest.mark.parametrize("gateway", ["userspace"], indirect=True)]
LEGACY = ("aes128-sha1-modp1024",)
AWKWARD = b"quote\" brace} 0xfe 0sAA== \n\r\t\\ '#; \x00\x01\xff end\n"


def failure(gateway: Site, reason: str, psk: bytes = b"", **changes: object) -> str:
    """Initiate tunnel 0 with what must fail; returns the message that came with ``reason``."""

    async def scenario() -> str:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        row = gateway.connection(0, **changes)
        async with running(driver):
            await watch.until(lambda: watch.of(CharonUp), "CharonUp")
            await driver.credentials.write(Delta(set={"t0": gateway.credential(0, psk or None)}))
            await driver.connections.write(Delta(set={"t0": row}))
            await driver.sas.write(Delta(set={"t0": row}))

            def told() -> list[str]:
                failures = [event.failure for event in watch.of(IkeFailed)]
                return [one.message for one in failures if (one.tunnel, one.reason) == ("t0", reason)]

            return (await watch.until(told, reason))[0]

    return asyncio.run(scenario())


@pytest.mark.parametrize("version", [1, 2])
def test_different_keys(gateway: Site, version: int) -> None:
    gateway.peers[0].load(gateway.psks[0], is_kernel=gateway.is_kernel, version=str(version))
    legacy = {"ike_proposals": LEGACY, "esp_proposals": LEGACY} if version == 1 else {}
    message = failure(gateway, "AuthenticationFailed", b"quite another key", version=version, **legacy)
    assert "pre-shared key" in message
    assert "another key" not in message


def test_no_common_ike_proposal(gateway: Site) -> None:
    assert "cipher" in failure(gateway, "NoProposalChosen", ike_proposals=("aes192-sha384-modp2048",))


def test_no_common_esp_proposal(gateway: Site) -> None:
    assert "cipher" in failure(gateway, "NoProposalChosen", esp_proposals=("aes192-sha384-ecp256",))


def test_an_identity_that_the_peer_does_not_expect(gateway: Site) -> None:
    assert "identity" in failure(gateway, "AuthenticationFailed", local_id="192.0.2.99")


def test_a_peer_with_another_identity(gateway: Site) -> None:
    # IKEv1 only: an IKEv2 initiator names whom it wants, and such a peer refuses (AuthenticationFailed).
    other = {"auth": "psk", "id": "192.0.2.77"}
    gateway.peers[0].load(gateway.psks[0], is_kernel=gateway.is_kernel, version="1", local=other)
    message = failure(gateway, "IdentityMismatch", version=1, ike_proposals=LEGACY, esp_proposals=LEGACY)
    assert "192.0.2.77" in message


def test_traffic_selectors_that_do_not_meet(gateway: Site) -> None:
    # With IKEv2 everything intersects with 0.0.0.0/0 and ::/0; IKEv1 offers IPv4 only.
    child = {"esp_proposals": list(LEGACY), "local_ts": ["fd00::/64"], "remote_ts": ["fd00:1::/64"]}
    gateway.peers[0].load(gateway.psks[0], is_kernel=gateway.is_kernel, version="1", children={"esp": child})
    message = failure(gateway, "TsUnacceptable", version=1, ike_proposals=LEGACY, esp_proposals=LEGACY)
    assert "0.0.0.0/0" in message


def test_a_silent_peer(gateway: Site) -> None:
    gateway.peers[0].space.ip("link set swv0 down")
    gateway.space.ip("route add 10.91.0.2 dev swv1")
    assert "does not answer" in failure(gateway, "PeerUnreachable")


def test_a_rotated_key_leaves_the_sa_and_serves_the_next_attempt(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0)
            gateway.peers[0].load(b"the new key", is_kernel=gateway.is_kernel)
            await driver.credentials.write(Delta(set={"t0": gateway.credential(0, b"the new key")}))
            reads = len(watch.events)
            await watch.until(lambda: len(watch.events) > reads + 1, "reads after the rotation")
            assert watch.now("t0").ike_id == before.ike_id
            assert watch.now("t0").child_id == before.child_id
            await driver.sas.write(Delta(remove=frozenset({"t0"})))
            await watch.until(lambda: watch.sa("t0") is None, "down")
            await driver.sas.write(Delta(set={"t0": gateway.connection(0)}))
            assert (await watch.installed("t0")).ike_id != before.ike_id
            assert not watch.of(IkeFailed)

    asyncio.run(scenario())


def test_a_key_of_any_bytes_arrives_exact_and_is_written_nowhere(gateway: Site) -> None:
    async def scenario() -> None:
        gateway.psks[0] = AWKWARD
        gateway.peers[0].load(AWKWARD, is_kernel=gateway.is_kernel)
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            await bring_up(gateway, watch, driver, 0)
        charon = gateway.charons[gateway.charon_name(0)]
        files = [path for path in charon.directory.rglob("*") if path.is_file()]
        assert log_path(charon.directory) in files
        process = Path(f"/proc/{charon.process.pid}")
        written = [path.read_bytes() for path in (*files, process / "cmdline", process / "environ")]
        written.append(repr((watch.events, driver.__dict__)).encode())
        for text in written:
            for trace in (b"brace}", AWKWARD.hex().encode(), b"0sAA=="):
                assert trace not in text

    asyncio.run(scenario())


def test_a_row_that_charon_refuses_fails_alone(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0)
        async with running(driver):
            await watch.until(lambda: watch.of(CharonUp), "CharonUp")
            bad = gateway.connection(1, esp_proposals=("no-such-cipher",))
            outcome = await driver.connections.write(Delta(set={"t1": bad, "t0": gateway.connection(0)}))
            assert list(outcome.failed) == ["t1"]
            assert "esp_proposals" in outcome.failed["t1"]
            unknown = await driver.sas.write(Delta(set={"t9": gateway.connection(0, tunnel="t9")}))
            assert "not found" in unknown.failed["t9"]
            gateway.vault.retain(())
            missing = await driver.credentials.write(Delta(set={"t0": gateway.credential(0)}))
            assert not missing.failed
            lost = gateway.credential(0)
            gateway.vault.retain(())
            missing = await driver.credentials.write(Delta(set={"t0": lost}))
            assert "Secret kube-system/psk-0" in missing.failed["t0"]

    asyncio.run(scenario())
