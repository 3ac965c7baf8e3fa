"""Kill -9 of ncgd, which its keeper starts again: packets lost, sessions that are not the same any more."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from ncgd.lab import topology
from tests.bench import idle, throughput
from tests.bench.outage import pinging, rest
from tests.bench.sites import Site, is_healthy, node
from tests.integration.netns import until

_FLOOD_SECONDS = 0.001
_STREAM_SECONDS, _CALM_SECONDS = 8, 4


def under_pings() -> Iterator[tuple[str, float]]:
    """A ping every ms."""
    before = _sessions()
    with pinging(node("pod"), topology.VM, interval=_FLOOD_SECONDS) as outage:
        _kill_ncgd()
    yield "restart-lost", outage.lost
    after = _sessions()
    yield "restart-flaps", sum(abs(after[far] - since) > 1 for far, since in before.items())


def under_load(lab: Site) -> Iterator[tuple[str, float]]:
    """The same beside a smooth TCP stream, and the stream with nobody killed: queues may overflow by themselves."""
    rate = throughput.mbit(lab) / 4
    lost, speeds = [], []
    for disturb in (lambda: rest(_CALM_SECONDS), _kill_ncgd):
        with (
            throughput.streaming(lab, _STREAM_SECONDS, "--fq-rate", f"{rate:.0f}M") as report,
            pinging(node("pod"), topology.VM, interval=_FLOOD_SECONDS) as outage,
        ):
            rest(1)
            disturb()
        lost.append(outage.lost)
        speeds.append(report["end"]["sum_received"]["bits_per_second"])
    yield "calm-loaded-lost", lost[0]
    yield "restart-loaded-lost", lost[1]
    yield "restart-stream", speeds[1] / speeds[0]


def _kill_ncgd() -> None:
    ncgd = idle.programs()[0][0]
    os.kill(ncgd, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{ncgd}").exists(), what="ncgd is gone")
    until(is_healthy, 30, "Healthy after a restart of ncgd")
    rest(1)


def _sessions() -> dict[str, float]:
    """Since when each session is as it is, as the Cloud Router sees it, in s; BIRD's own clock drifts by some ms."""
    found = {}
    for far in topology.PINNED_VM:
        shown = node(far).run("birdc", "-s", str(topology.STATE / far / "bird.ctl"), "show", "protocols", "site")
        hours, minutes, seconds = shown.splitlines()[-1].split()[4].split(":")
        found[far] = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return found
