"""Whether a peer answers IKE: asked of a real charon, which keeps nothing of it."""

import asyncio
from pathlib import Path

import pytest

from ncgd.cli.facts.machine import read
from ncgd.drivers.strongswan.reach import reach
from ncgd.model.ike import DataplaneMode
from tests.integration.netns import until
from tests.integration.strongswan.site import site

pytestmark = pytest.mark.root

THERE, DEAF, GONE = "10.91.0.2", "10.91.1.9", "203.0.113.77"


def test_a_peer_answers_and_keeps_no_state(tmp_path: Path) -> None:
    with site(DataplaneMode.USERSPACE, tmp_path) as gateway:
        gateway.space.ip("neigh add 10.91.1.9 lladdr 02:00:00:00:00:09 dev swv1")

        def ask() -> dict[tuple[str, int], str]:
            found = asyncio.run(reach([THERE, DEAF, GONE]))
            return {(each.peer, each.port): each.outcome for each in found}

        until(lambda: gateway.space.call(ask)[THERE, 500] == "answered", what="the peer's charon listens")
        answers = gateway.space.call(ask)
        assert (answers[THERE, 500], answers[THERE, 4500]) == ("answered", "answered")
        assert (answers[DEAF, 500], answers[DEAF, 4500]) == ("silent", "silent")
        assert answers[GONE, 500] == "Network is unreachable"
        assert list(gateway.peers[0].session.list_sas()) == []


def test_a_machine_is_read_as_it_is(tmp_path: Path) -> None:
    with site(DataplaneMode.USERSPACE, tmp_path) as gateway:
        gateway.space.ip("route add default via 10.91.0.2")
        gateway.space.run("sysctl", "-qw", "net.ipv4.conf.swv0.rp_filter=1", "net.ipv4.ip_forward=1")
        until(lambda: gateway.space.run("ss", "-Hlun", "sport = :4500"), what="our charon listens")
        facts = gateway.space.call(lambda: asyncio.run(read("gw", [])))
        assert facts.name == "gw"
        assert facts.uplinks == ("swv0",)
        assert facts.rp_filter["swv0"] == 1
        assert facts.ip_forward
        assert facts.addresses["swv0"][0] == "10.91.0.1/24"
        assert set(facts.udp_ports.items()) == {(500, "charon"), (4500, "charon")}
        assert facts.nft.startswith("nftables")
