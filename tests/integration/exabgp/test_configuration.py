"""What a write changes in a running speaker, and what it leaves alone."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ncgd.model.delta import Delta
from ncgd.model.event import SessionDown, SessionUp
from tests.integration.exabgp.site import Site, wanted

pytestmark = pytest.mark.root


def test_a_new_neighbour_dials_at_once_and_the_others_do_not_notice(lab: Site) -> None:
    """The peer itself waits 5 s before it dials, so the session that is there earlier is ours."""

    async def scenario() -> None:
        one, two = lab.birds
        one.start(["10.1.0.0/16"])
        two.start(["10.2.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the first session")
            before = one.session()

            clock = asyncio.get_running_loop().time
            start = clock()
            assert not (await speaker.neighbors.write(wanted(lab.neighbor(2)))).failed
            loaded = clock()
            await mailbox.until(lambda: mailbox.prefixes("peer-2"), "the second session")
            print(f"written after {loaded - start:.3f} s, first path after {clock() - start:.3f} s")
            assert one.session() == before
            assert len(mailbox.of(SessionUp)) == 2

            await speaker.neighbors.write(Delta(remove=frozenset({"peer-2"})))
            await mailbox.until(lambda: "peer-2" not in mailbox.up, "the second is gone")
            assert one.session() == before
            assert [down.peer for down in mailbox.of(SessionDown)] == ["peer-2"]

    asyncio.run(scenario())


def test_a_silent_peer_does_not_freeze_the_configuration(lab: Site) -> None:
    """ExaBGP by itself drops every reload while a configured neighbour has never connected."""

    async def scenario() -> None:
        lab.spaces[0].run("nft", "add table ip silence")
        lab.spaces[0].run("nft", "add chain ip silence input { type filter hook input priority 0; policy drop; }")
        lab.birds[1].start(["10.2.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            assert not (await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("10.0.0.0/8",))))).failed
            assert not (await speaker.neighbors.write(wanted(lab.neighbor(2)))).failed
            await mailbox.until(lambda: mailbox.prefixes("peer-2"), "the second session")

            lab.birds[0].start(["10.1.0.0/16"])
            lab.spaces[0].run("nft", "delete table ip silence")
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the first session, silent no more", seconds=20)

    asyncio.run(scenario())


def test_advertisements_and_med_change_without_a_flap(lab: Site) -> None:
    """The deadlines are below the keepalive time: ExaBGP by itself withdraws when the peer's next message comes."""

    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start()
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("10.8.0.0/16", "10.9.0.0/16"))))
            await mailbox.until(lambda: bird.learned() == {"10.8.0.0/16": 100, "10.9.0.0/16": 100}, "both prefixes")
            before = bird.session()

            for neighbor, learned in (
                (
                    lab.neighbor(1, advertised=("10.8.0.0/16", "10.9.0.0/16"), med=50),
                    {"10.8.0.0/16": 50, "10.9.0.0/16": 50},
                ),
                (
                    lab.neighbor(1, advertised=("10.9.0.0/16", "10.7.0.0/16"), med=50),
                    {"10.7.0.0/16": 50, "10.9.0.0/16": 50},
                ),
                (lab.neighbor(1), {}),
                (lab.neighbor(1, advertised=("10.9.0.0/16",), med=200), {"10.9.0.0/16": 200}),
            ):
                assert not (await speaker.neighbors.write(wanted(neighbor))).failed
                await mailbox.until(lambda learned=learned: bird.learned() == learned, f"{learned}", seconds=10)
            assert bird.session() == before
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


def test_a_removed_neighbour_drops_our_routes_at_once(lab: Site) -> None:
    """By graceful restart it would keep them for the 120 s that we announce."""

    async def scenario() -> None:
        bird = lab.birds[0]
        bird.start()
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1, advertised=("10.9.0.0/16",))))
            await mailbox.until(bird.learned, "our prefix")
            await speaker.neighbors.write(Delta(remove=frozenset({"peer-1"})))
            await mailbox.until(lambda: not bird.learned(), "our prefix is gone", seconds=20)
            assert mailbox.of(SessionDown)[0].reason.startswith("closed by us")
            assert not mailbox.of(SessionDown)[0].is_graceful

            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.up, "the session is back")
            await asyncio.sleep(0)
            assert bird.learned() == {}

    asyncio.run(scenario())


def test_a_neighbour_that_is_removed_while_it_dials_leaves_no_connection_behind(lab: Site) -> None:
    """It would come to be after all: the peer ends the session that the next neighbour has, and waits for this one."""

    async def scenario() -> None:
        one, two = lab.birds
        two.start(["10.2.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            lab.gateway.ip("addr del 169.254.1.2/30 dev xb1")
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await speaker.neighbors.write(wanted(lab.neighbor(2)))
            await mailbox.until(lambda: mailbox.prefixes("peer-2"), "the other one; the first had many turns to fail")

            lab.spaces[0].run("nft", "add table ip silence")
            lab.spaces[0].run("nft", "add chain ip silence input { type filter hook input priority 0; policy drop; }")
            lab.gateway.ip("addr add 169.254.1.2/30 dev xb1")
            await mailbox.until(lambda: lab.gateway.run("ss", "-Htn", "state", "syn-sent"), "it dials")
            await speaker.neighbors.write(Delta(remove=frozenset({"peer-1"})))
            await mailbox.until(lambda: lab.sockets() == 1, "the other session's is the only socket", seconds=10)

            one.start(["10.1.0.0/16"])
            lab.spaces[0].run("nft", "delete table ip silence")
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the new one talks")

    asyncio.run(scenario())


def test_what_belongs_to_the_session_restarts_it(lab: Site) -> None:
    """A new hold time, and a new interface, which ExaBGP by itself does not notice."""

    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            free = lab.neighbor(1, interface=None)
            for count, neighbor in enumerate(
                (free, replace(free, hold_seconds=30), lab.neighbor(1, hold_seconds=30)), 1
            ):
                assert not (await speaker.neighbors.write(wanted(neighbor))).failed
                await mailbox.until(lambda count=count: len(mailbox.of(SessionUp)) == count, "a new session")
            assert "%xb1" in lab.gateway.run("ss", "-Htn", "dport", "=", ":179")
            await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.1.0.0/16"], "the path")

    asyncio.run(scenario())


def test_a_new_name_touches_no_session_and_takes_its_paths_along(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
            before = lab.birds[0].session()
            await speaker.neighbors.write(
                Delta(set={"other": lab.neighbor(1, peer="other")}, remove=frozenset({"peer-1"}))
            )
            await mailbox.until(lambda: mailbox.prefixes("other") == ["10.1.0.0/16"], "the path under the new name")
            assert mailbox.prefixes("peer-1") == []
            assert lab.birds[0].session() == before
        async with lab.driver() as (_, mailbox):
            await mailbox.until(lambda: mailbox.prefixes("other"), "the path under the new name")
            assert mailbox.speaker is not None
            assert mailbox.speaker.neighbors == {"other"}

    asyncio.run(scenario())


def test_the_same_again_does_nothing(lab: Site) -> None:
    async def scenario() -> None:
        async with lab.driver() as (speaker, _):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            written = lab.configuration.stat()
            assert written.st_mode & 0o777 == 0o640
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            assert lab.configuration.stat().st_ino == written.st_ino

    asyncio.run(scenario())


def test_what_cannot_be_configured_fails_alone(lab: Site) -> None:
    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
            outcome = await speaker.neighbors.write(
                wanted(
                    lab.neighbor(1, advertised=("10.9.0.0/16",)),
                    lab.neighbor(2, peer="peer; 2"),
                    lab.neighbor(2, peer="impatient", hold_seconds=1),
                    lab.neighbor(1, peer="twin"),
                )
            )
            assert outcome.failed.keys() == {"peer; 2", "impatient", "twin"}
            await mailbox.until(lambda: lab.birds[0].learned() == {"10.9.0.0/16": 100}, "the good row")
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


def test_a_file_that_exabgp_does_not_take_does_no_lasting_harm(lab: Site) -> None:
    """By itself it would take no file ever after. A family that we cannot foresee to be refused stands for all."""

    async def scenario() -> None:
        lab.birds[0].start(["10.1.0.0/16"])
        async with lab.driver() as (speaker, mailbox):
            await speaker.neighbors.write(wanted(lab.neighbor(1)))
            await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
            before, bridge = lab.birds[0].session(), lab.bridge_pid()
            refused = lab.neighbor(2, peer_address=ip_address("fe80::1%xb2"), local_address=ip_address("fe80::2%xb2"))
            outcome = await speaker.neighbors.write(wanted(refused))
            assert outcome.failed.keys() == {"peer-2"}
            assert "fe80" not in lab.configuration.read_text()
            assert not (await speaker.neighbors.write(wanted(lab.neighbor(2)))).failed
            assert (lab.birds[0].session(), lab.bridge_pid()) == (before, bridge)
            assert not mailbox.of(SessionDown)

    asyncio.run(scenario())
