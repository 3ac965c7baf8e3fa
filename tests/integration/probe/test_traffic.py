"""What the prober says of the traffic in a tunnel beside its own echoes."""

from pathlib import Path

import pytest

from ncgd.model.probe import Pulse
from tests.integration.netns import Namespace
from tests.integration.probe.bench import Bench

pytestmark = pytest.mark.root


def test_packets_that_come_out_of_the_tunnel_are_told_and_our_own_answers_are_not(
    pair: tuple[Namespace, Namespace], memory: Path
) -> None:
    gw, peer = pair
    bench = Bench(memory)

    async def scenario() -> None:
        await bench.until(Pulse.ALIVE)
        flood = peer.start("ping", "-q", "-i", "0.01", "169.254.1.2")
        try:
            while (await bench.next()).probes["t"].received < 30:
                pass
        finally:
            flood.kill()
            flood.wait()
        while (await bench.next()).probes["t"].received:
            pass

    bench.run_in(gw, scenario)
