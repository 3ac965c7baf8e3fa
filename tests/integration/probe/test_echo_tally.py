"""Echoes are counted: round trips by duration, and those that were lost."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ncgd.model.delta import Delta
from ncgd.model.probe import Pulse
from ncgd.model.spec import Liveness
from tests.integration.netns import Namespace
from tests.integration.probe.bench import Bench, drop

pytestmark = pytest.mark.root


def test_round_trips_and_losses_are_counted(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        told = await bench.until_told(lambda report: report.tally.round_trips.count >= 100)
        assert told.tally.lost == 0
        trips = told.tally.round_trips
        assert 0 < trips.total / trips.count < 1
        drop(peer, "icmp type echo-request")
        lost = await bench.until_told(lambda report: report.tally.lost >= 20)
        assert lost.vitality.pulse == Pulse.DEAD
        assert lost.tally.round_trips.count >= trips.count

    bench.run_in(gw, scenario)


def test_a_peer_that_never_answers_loses_nothing(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, peer = pair
    drop(peer, "icmp type echo-request")
    bench = Bench(memory)

    async def scenario() -> None:
        told = await bench.until_told(lambda report: report.loss == 1)
        assert told.tally.lost == 0

    bench.run_in(gw, scenario)


@pytest.mark.parametrize("before", [Pulse.UNPROVEN, Pulse.DEAD])
def test_what_was_lost_before_a_path_came_up_is_not_told_of_it(
    pair: tuple[Namespace, Namespace], memory: Path, before: Pulse
) -> None:
    """The first screen after a start said "25% lost" of a tunnel that lost nothing, and so did one after an outage."""
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        if before == Pulse.DEAD:
            await bench.until(Pulse.ALIVE)
        drop(peer, "icmp type echo-request")
        await bench.until(before)
        silent = time.monotonic() + 2  # what was lost before that is out of sight
        await bench.until_told(lambda report: report.loss == 1 and time.monotonic() > silent)
        peer.run("nft", "delete table inet t")
        up = {Pulse.ALIVE, Pulse.RECOVERING}
        told = await bench.until_told(lambda report: report.vitality.pulse in up)
        assert (told.loss, told.tally.lost > 0) == (0, before == Pulse.DEAD)

    bench.run_in(gw, scenario)


def test_other_settings_do_not_begin_anew(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, _ = pair
    bench = Bench(memory)

    async def scenario() -> None:
        before = await bench.until_told(lambda report: report.tally.round_trips.count >= 20)
        slower = replace(bench.probe, settings=Liveness(interval_seconds=0.05, misses=3, recovery_seconds=0.2))
        await bench.prober.write(Delta(set={"t": slower}))
        after = await bench.until_told(lambda _: True)
        while after.tally == before.tally:
            after = await bench.until_told(lambda _: True)
        assert after.tally.round_trips.count > before.tally.round_trips.count

    bench.run_in(gw, scenario)


def test_a_tunnel_that_comes_back_is_counted_from_nothing(pair: tuple[Namespace, Namespace], memory: Path) -> None:
    gw, _ = pair
    bench = Bench(memory)

    async def scenario() -> None:
        before = await bench.until_told(lambda report: report.tally.round_trips.count >= 50)
        await bench.prober.write(Delta(remove=frozenset({"t"})))
        while (await bench.next()).probes:
            await asyncio.sleep(0)
        await bench.prober.write(Delta(set={"t": bench.probe}))
        after = await bench.until_told(lambda report: report.tally.round_trips.count > 0)
        assert after.tally.round_trips.count < before.tally.round_trips.count

    bench.run_in(gw, scenario)
