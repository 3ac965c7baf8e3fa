"""Kill -9 of ncgd, which its keeper starts again: packets lost, sessions that are not the same any more."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from ncgd.lab import topology
from tests.bench import idle, throughput
from tests.bench.outage import pinging, rest
from tests.bench.sites import Site, is_healthy, node
from tests.integration.netns import until

_FLOOD_SECONDS = 0.001
_STREAM_SECONDS, _BEFORE_SECONDS = 12, 3


def under_pings() -> Iterator[tuple[str, float]]:
    """A ping every ms."""
    before = _sessions()
    with pinging(node("pod"), topology.VM, interval=_FLOOD_SECONDS) as outage:
        _kill_ncgd()
    yield "restart-lost", outage.lost
    yield "restart-flaps", len(before - _sessions())


def under_load(lab: Site) -> Iterator[tuple[str, float]]:
    """The same beside a smooth TCP stream, a quarter of what the tunnel carries: with more, queues overflow anyway."""
    rate = throughput.mbit(lab) / 4
    with (
        throughput.streaming(lab, _STREAM_SECONDS, "--fq-rate", f"{rate:.0f}M", "--interval", "0.5") as report,
        pinging(node("pod"), topology.VM, interval=_FLOOD_SECONDS) as outage,
    ):
        began = time.monotonic()
        rest(_BEFORE_SECONDS)
        _kill_ncgd()
        until(lambda: time.monotonic() > began + _STREAM_SECONDS - 1, _STREAM_SECONDS)
    speeds = [(each["sum"]["start"], each["sum"]["bits_per_second"]) for each in report["intervals"]]
    before = mean(speed for start, speed in speeds if start < _BEFORE_SECONDS - 1)
    after = mean(speed for start, speed in speeds if start >= _BEFORE_SECONDS)
    yield "restart-loaded-lost", outage.lost
    yield "restart-stream", after / before


def _kill_ncgd() -> None:
    ncgd = idle.programs()[0][0]
    os.kill(ncgd, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{ncgd}").exists(), what="ncgd is gone")
    until(is_healthy, 30, "Healthy after a restart of ncgd")
    rest(1)


def _sessions() -> set[str]:
    """When each session came up, as the Cloud Router sees it."""
    return {
        far + node(far).run("birdc", "-s", str(topology.STATE / far / "bird.ctl"), "show", "protocols", "site")
        for far in topology.PINNED_VM
    }
