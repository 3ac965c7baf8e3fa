"""The last minutes of each tunnel, in equal slots: what passed through it, how long an answer took. Bounded."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ncgd.decision.world import World
from ncgd.model.ike import Traffic
from ncgd.model.meter import Mark, Meter
from ncgd.model.reason import TunnelReason
from ncgd.model.report import Report

SLOT_SECONDS = 5.0
SLOTS = 60
"""Five minutes."""


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
    _meter: Meter | None = None
    """None while nobody can read what passes."""
    _slot: Mark | None = None
    _rtt: float | None = None
    _is_usable: bool = True

    def observe(self, now: float, carried: Traffic | None, rtt: float | None, *, is_usable: bool) -> None:
        """Take note. ``carried`` only ever grows; None while nobody can read it."""
        mark = self._measured(now, carried)
        self._rtt = max((each for each in (self._rtt, rtt) if each is not None), default=None)
        self._is_usable = self._is_usable and is_usable
        if self._slot is None:
            self._slot = mark
        elif now - self._slot.seconds >= SLOT_SECONDS:
            rate_in, rate_out = self._slot.rates_until(mark)
            self.samples.append(
                Sample(rate_in=rate_in, rate_out=rate_out, rtt_seconds=self._rtt, is_usable=self._is_usable)
            )
            self._slot, self._rtt, self._is_usable = mark, None, True

    def _measured(self, now: float, carried: Traffic | None) -> Mark:
        if carried is None:
            self._meter = self.rate_in = self.rate_out = None
            return replace(self._slot, seconds=now) if self._slot else Mark(now, 0, 0)
        mark = Mark(now, carried.bytes_in, carried.bytes_out)
        if self._meter is None:
            self._meter = Meter()
            if self._slot is not None:  # what passed since it was last read did so at no known rate
                self._slot = replace(mark, seconds=self._slot.seconds)
        self.rate_in, self.rate_out = self._meter.take(mark)
        return mark


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
