"""The last minutes of each tunnel, in equal slots: what passed through it, how long an answer took. Bounded."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ncgd.decision.world import World
from ncgd.model.ike import Traffic
from ncgd.model.reason import TunnelReason
from ncgd.model.report import Report

SLOT_SECONDS = 5.0
SLOTS = 60
"""Five minutes."""
RATE_SECONDS = 2.0
"""What passes now is taken over that long at least: counters are read once a second."""


_Mark = tuple[float, int, int]
"""When, and bytes in and out until then."""


class Seen(Protocol):
    """What a pass leaves behind, as far as history goes."""

    world: World
    report: Report | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One slot. Rates in bytes per second, 0 where nobody could read them."""

    rate_in: float
    rate_out: float
    rtt_seconds: float | None
    """The longest of the medians that the probe told; None without an answer."""
    is_usable: bool
    """All the time, or it is another node's to use."""


@dataclass(slots=True)
class Track:
    """One tunnel's samples, oldest first, and the slot that is being filled."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SLOTS))
    rate_in: float | None = None
    """Now, in bytes per second; None while it cannot be known."""
    rate_out: float | None = None
    _marks: deque[_Mark] = field(default_factory=deque)
    _slot: _Mark | None = None
    _rtt: float | None = None
    _is_usable: bool = True

    def observe(self, now: float, carried: Traffic | None, rtt: float | None, *, is_usable: bool) -> None:
        """Take note. ``carried`` only ever grows; None while nobody can read it."""
        mark = self._measured(now, carried) if carried else (now, *(self._slot or (now, 0, 0))[1:])
        if carried is None:
            self._marks.clear()
            self.rate_in = self.rate_out = None
        self._rtt = max((each for each in (self._rtt, rtt) if each is not None), default=None)
        self._is_usable = self._is_usable and is_usable
        if self._slot is None:
            self._slot = mark
        elif now - self._slot[0] >= SLOT_SECONDS:
            rate_in, rate_out = _rates(self._slot, mark)
            self.samples.append(
                Sample(rate_in=rate_in, rate_out=rate_out, rtt_seconds=self._rtt, is_usable=self._is_usable)
            )
            self._slot, self._rtt, self._is_usable = mark, None, True

    def _measured(self, now: float, carried: Traffic) -> _Mark:
        mark = (now, carried.bytes_in, carried.bytes_out)
        if not self._marks and self._slot is not None:  # what passed since it was last read did so at no known rate
            self._slot = (self._slot[0], *mark[1:])
        if not self._marks or now - self._marks[-1][0] >= RATE_SECONDS / 4:
            self._marks.append(mark)
        while len(self._marks) > 1 and now - self._marks[1][0] >= RATE_SECONDS:
            self._marks.popleft()
        self.rate_in, self.rate_out = _rates(self._marks[0], mark)
        return mark


def _rates(first: _Mark, last: _Mark) -> tuple[float, float]:
    seconds = last[0] - first[0]
    return ((last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds) if seconds > 0 else (0.0, 0.0)


class History:
    """A track for each tunnel that there is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: monotonic seconds."""
        self._clock = clock
        self.tracks: dict[str, Track] = {}

    def observe(self, seen: Seen) -> None:
        """After every pass."""
        if seen.report is None:
            return
        now = self._clock()
        tunnels = {tunnel.ref.name: tunnel for tunnel in seen.report.tunnels}
        self.tracks = {name: self.tracks.get(name) or Track() for name in tunnels}
        unread = {name for charon in seen.world.charons.values() if not charon.is_up for name in charon.sas}
        for name, tunnel in tunnels.items():
            tally = seen.report.tally.tunnels.get(name)
            self.tracks[name].observe(
                now,
                None if name in unread else tally.carried if tally else Traffic(),
                tunnel.probe.rtt_seconds if tunnel.probe else None,
                is_usable=tunnel.is_usable or tunnel.reason == TunnelReason.NOT_ACTIVE,
            )
