"""Sends the echoes, counts the answers, and tells when a tunnel's pulse changes."""

import asyncio
import math
from collections.abc import Mapping
from io import FileIO

from ncgd.decision.liveness import resumed
from ncgd.drivers.port import Post
from ncgd.drivers.probe.memory import Memory
from ncgd.drivers.probe.track import Counters, Track
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import ProbesRead
from ncgd.model.probe import Probe, ProbeReport, Pulse

ECHOES_IN_DOUBT = 4
"""To the interval, spread over it, after a lost one: a full queue drops some of them, a dead path all of them."""
REPORT_SECONDS = 1.0
"""How often round trips and loss are told though no pulse has changed."""


class Prober:
    """Table ``probes``: Probe by tunnel. Posts ProbesRead at each change and every second."""

    def __init__(self, post: Post, memory: Memory) -> None:
        """Nothing is probed until the table is written."""
        self._post = post
        self._memory = memory
        self._inherited = memory.recall()
        self._tracks: dict[str, Track] = {}
        self._told: dict[str, ProbeReport] = {}
        self._changed = asyncio.Event()
        self._net_dev: FileIO | None = None

    async def write(self, delta: Delta[str, Probe]) -> Outcome[str]:
        """Take over what to probe. A tunnel whose path is the same keeps its pulse, whatever its settings.

        A path that is probed for the first time begins as an earlier ncgd has left it.
        """
        failed: dict[str, str] = {}
        now = asyncio.get_running_loop().time()
        for tunnel in delta.remove:
            if track := self._tracks.pop(tunnel, None):
                track.close()
        for tunnel, probe in delta.set.items():
            old = self._tracks.pop(tunnel, None)
            try:
                track = self._tracks[tunnel] = Track(probe)
            except OSError as error:
                hint = "; grant CAP_NET_RAW" if isinstance(error, PermissionError) else ""
                failed[tunnel] = f"cannot probe {probe.remote} through {probe.interface}: {error.strerror}{hint}"
            else:
                is_same = old is not None and old.path == track.path
                track.vitality = (
                    old.vitality if old and is_same else resumed(self._inherited.pop(track.path, None), now)
                )
                track.tally = old.tally if old else track.tally
            if old:
                old.close()
        self._changed.set()
        return Outcome(failed=failed)

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        report_due = 0.0
        try:
            while True:
                now = loop.time()
                self._beat(now)
                is_routine = not self._pulses_changed()
                if not is_routine or now >= report_due:
                    report_due = now + REPORT_SECONDS
                    self._tell(is_routine=is_routine)
                self._changed.clear()
                due = min((track.due for track in self._tracks.values()), default=None)
                timer = loop.call_at(due, self._changed.set) if due is not None else None
                await self._changed.wait()
                if timer:
                    timer.cancel()
        finally:
            for track in self._tracks.values():
                track.close()
            if self._net_dev:
                self._net_dev.close()

    def _beat(self, now: float) -> None:
        tracks = [track for track in self._tracks.values() if track.due <= now]
        if not tracks:
            return
        counters = self._read_counters()
        for track in tracks:
            track.judge(now, counters.get(track.probe.interface, Counters()))
        for track in tracks:
            interval = track.probe.settings.interval_seconds
            track.due = next_beat(now, interval)
            track.send()
            if track.vitality.is_doubted:
                for part in range(1, ECHOES_IN_DOUBT):
                    asyncio.get_running_loop().call_at(now + part * interval / ECHOES_IN_DOUBT, track.insist)

    def _pulses_changed(self) -> bool:
        return self._told.keys() != self._tracks.keys() or any(
            self._told[tunnel].vitality.pulse != track.vitality.pulse for tunnel, track in self._tracks.items()
        )

    def _tell(self, *, is_routine: bool) -> None:
        self._told = {tunnel: track.report() for tunnel, track in self._tracks.items()}
        self._post(ProbesRead(probes=dict(self._told), is_routine=is_routine))
        proven = {track.path: track.vitality for track in self._tracks.values()}
        now = {path: Pulse.ALIVE if it.may_carry else Pulse.DEAD for path, it in proven.items() if it.is_proven}
        self._memory.keep(self._inherited | now)

    def _read_counters(self) -> Mapping[str, Counters]:
        """Of all interfaces, by name (proc(5), /proc/net/dev); unlike netlink it never waits for the kernel's lock."""
        if self._net_dev is None:
            self._net_dev = FileIO("/proc/thread-self/net/dev")
        self._net_dev.seek(0)
        counters = {}
        for line in self._net_dev.readall().decode().splitlines()[2:]:
            name, _, fields = line.partition(":")
            numbers = fields.split()
            counters[name.strip()] = Counters(int(numbers[1]), int(numbers[8]))
        return counters


def next_beat(now: float, interval: float) -> float:
    """When a tunnel is probed next: on a grid that all tunnels with this interval share, so that we wake up once.

    Never much sooner than ``interval`` after ``now``, or an answer would not have its time: after a stall of ours one
    interval counts as one, however long it was.
    """
    return (math.floor(now / interval + 0.9) + 1) * interval
