import asyncio
from ipaddress import ip_address

import pytest

from ncgd.errors import Unavailable
from ncgd.model import prefix
from ncgd.model.bgp import Origin
from ncgd.model.delta import Delta
from ncgd.model.event import SessionDown
from tests.integration.exabgp.bird import Bird
from tests.integration.exabgp.site import Site, wanted

pytestmark = pytest.mark.root


def test_a_session_comes_up_learns_and_loses_paths(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16", "10.2.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            outcome = await speaker.neighbors.write(wanted(lab.neighbor(1)))
            assert not outcome.failed
            await mailbox.until(lambda: 4 in mailbox.ended.get("peer-1", ()), "End-of-RIB")
            assert mailbox.up["peer-1"].restart_seconds == 120
            assert mailbox.prefixes("peer-1") == ["10.1.0.0/16", "10.2.0.0/16"]

            lab.birds[0].set_routes(["10.2.0.0/16", "10.3.0.0/16"])
            await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.2.0.0/16", "10.3.0.0/16"], "the change")

            lab.birds[0].ask("disable togw")
            await mailbox.until(lambda: mailbox.of(SessionDown), "the session goes down")
            down = mailbox.of(SessionDown)[0]
            assert not down.is_graceful
            assert down.reason == "the peer sent NOTIFICATION 6/2: administrative shutdown"

    asyncio.run(scenario())


def test_attributes_are_read(lab: Site) -> None:
    """Four-byte ASNs in the session and the path, MED, origin, an AS set, plain and large communities."""

    async def scenario() -> None:
        asn, local_asn = 4_200_000_017, 4_200_000_018
        rich = (
            "10.1.0.0/16 { bgp_med = 77; bgp_origin = ORIGIN_EGP; bgp_community.add((65000, 1));"
            " bgp_large_community.add((4200000000, 2, 3)); bgp_path.prepend(4200000099); }"
        )
        lab.birds[0].start([rich, "10.2.0.0/16"], asn=asn, peer_asn=local_asn)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, local_asn=local_asn, peer_asn=asn)))
            await mailbox.until(lambda: len(mailbox.prefixes("peer-1")) == 2, "the paths")
            full = mailbox.paths["peer-1"][prefix.parse("10.1.0.0/16")]
            assert full.as_path == (asn, 4_200_000_099)
            assert (full.as_path_length, full.med, full.origin) == (2, 77, Origin.EGP)
            assert full.communities == ("65000:1", "4200000000:2:3")
            assert full.next_hop == "169.254.1.1"
            plain = mailbox.paths["peer-1"][prefix.parse("10.2.0.0/16")]
            assert (plain.as_path, plain.med, plain.origin) == ((asn,), 0, Origin.IGP)

    asyncio.run(scenario())


def test_ipv6_over_an_ipv6_session(lab: Site) -> None:
    async def scenario() -> None:
        bird = Bird(lab.spaces[0], lab.folder, "fd00:1::1", "fd00:1::2")
        bird.start(["2001:db8:1::/48", "10.1.0.0/16"])
        neighbor = lab.neighbor(
            1,
            advertised=("2001:db8:ffff::/48",),
            med=30,
            local_address=ip_address("fd00:1::2"),
            peer_address=ip_address("fd00:1::1"),
            families=(4, 6),
        )
        async with lab.driver() as (speaker, mailbox):
            assert not (await speaker.neighbors.write(wanted(neighbor))).failed
            await mailbox.until(lambda: mailbox.ended.get("peer-1") == {4, 6}, "End-of-RIB of both families")
            assert mailbox.prefixes("peer-1") == ["10.1.0.0/16", "2001:db8:1::/48"]
            assert mailbox.paths["peer-1"][prefix.parse("2001:db8:1::/48")].next_hop == "fd00:1::1"
            await mailbox.until(lambda: bird.learned() == {"2001:db8:ffff::/48": 30}, "our prefix")

    asyncio.run(scenario())


def test_a_prefix_that_the_session_cannot_carry_is_reported(lab: Site) -> None:
    async def scenario() -> None:
        async with lab.driver() as (speaker, _):
            outcome = await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("2001:db8::/32", "10.0.0.0/8"))))
            assert "2001:db8::/32" in outcome.failed["peer-1"]
            assert "10.0.0.0/8" not in outcome.failed["peer-1"]

    asyncio.run(scenario())


def test_the_peer_is_killed(lab: Site) -> None:
    """TCP ends without a NOTIFICATION: RFC 4724 lets the paths stand; then the session is there again."""

    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
            lab.birds[0].end()
            await mailbox.until(lambda: mailbox.of(SessionDown), "the session goes down")
            assert mailbox.of(SessionDown)[0].is_graceful
            lab.birds[0].start(["10.7.0.0/16"])
            await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.7.0.0/16"], "the session is back")

    asyncio.run(scenario())


def test_a_peer_that_starts_late_is_not_kept_waiting(lab: Site) -> None:
    """ExaBGP's own pause between attempts grows without end; the events show how we wait at most a second."""

    async def scenario() -> None:
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            lab.birds[0].start(is_enabled=False)
            await mailbox.until(lambda: lab.resets(0) >= 4, "the peer refuses several times")
            lab.birds[0].ask("enable togw")
            before = asyncio.get_running_loop().time()
            await mailbox.until(lambda: mailbox.up, "the session")
            print(f"established {asyncio.get_running_loop().time() - before:.2f} s after the peer was enabled")

    asyncio.run(scenario())


def test_wrong_asn_is_explained(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(peer_asn=64999)
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: any("2/2" in event.reason for event in mailbox.of(SessionDown)), "the reason")
            assert not any(event.is_graceful for event in mailbox.of(SessionDown))
            downs = {event.reason for event in mailbox.of(SessionDown)}
            assert "the peer sent NOTIFICATION 2/2: bad peer AS: the ASNs of both sides do not match" in downs

    asyncio.run(scenario())


def test_writing_without_a_speaker_says_so_and_is_not_lost(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            lab.kill_speaker()
            await mailbox.until(lambda: mailbox.speaker is None, "the speaker is lost")
            with pytest.raises(Unavailable, match=r"bridge\.sock"):
                await speaker.neighbors.write(wanted(lab.neighbor(1)))
            lab.start_speaker()
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
            assert mailbox.speaker is not None
            assert mailbox.speaker.neighbors == {"peer-1"}
            assert not (await speaker.neighbors.write(Delta(set={"peer-1": lab.neighbor(1)}))).failed
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())
