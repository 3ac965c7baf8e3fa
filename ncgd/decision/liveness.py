"""Is the data path of a tunnel alive? From echoes sent and answered, and from the load that it carries.

Pure: the prober (``drivers.probe``) takes one ``step`` per interval and tells what changed. A tunnel whose peer has
never answered an echo is *unproven*: the probe says nothing of it, and its SA and session alone are judged.
"""

from dataclasses import replace

from ncgd.model.probe import Beat, Pulse, Vitality
from ncgd.model.spec import Liveness

PATIENCE_FACTOR = 5
"""In a busy tunnel it takes this many times more lost echoes to call it dead: they may have been crowded out. When all
of them are lost for so long, our own direction is broken."""
BUSY_RECEIVED = 10.0
"""Packets a second. Fewer out of a tunnel are a peer that asks (keepalives, lone pings), not a load that crowds."""
BUSY_SENT = 125_000.0
"""Bytes a second (1 Mbit/s) into a tunnel. Packets may well be queued or dropped where this goes."""


def resumed(before: Pulse | None, now: float) -> Vitality:
    """Where to begin with a path of which an earlier ncgd has last known this much: it need not be proven again."""
    return Vitality() if before is None else Vitality(pulse=before, since=now)


def step(before: Vitality, beat: Beat, settings: Liveness, now: float) -> Vitality:
    """The vitality after one interval; ``now`` in seconds of a monotonic clock.

    An answer ends all doubt, but a tunnel that was dead must answer for ``recovery_seconds`` without a loss before it
    is alive. ``misses`` echoes in a row, lost while the tunnel was not busy, mean death. While it is busy, they mean
    suspicion, and PATIENCE_FACTOR times as many mean death.
    """
    if beat.is_answered:
        return _after_answer(before, settings, now)
    if before.pulse == Pulse.UNPROVEN:
        return before
    if before.pulse in {Pulse.DEAD, Pulse.RECOVERING}:
        return _turned(replace(before, good_since=None), Pulse.DEAD, now)
    lost = before.lost + 1
    silent = 0 if _is_busy(beat, settings) else before.silent + 1
    after = replace(before, lost=lost, silent=silent)
    if silent >= settings.misses or lost >= settings.misses * PATIENCE_FACTOR:
        return _turned(after, Pulse.DEAD, now)
    return _turned(after, Pulse.SUSPECT, now) if lost >= settings.misses else after


def _is_busy(beat: Beat, settings: Liveness) -> bool:
    seconds = settings.interval_seconds
    return beat.received > BUSY_RECEIVED * seconds or beat.sent_bytes > BUSY_SENT * seconds


def _after_answer(before: Vitality, settings: Liveness, now: float) -> Vitality:
    if before.pulse not in {Pulse.DEAD, Pulse.RECOVERING}:
        return _turned(replace(before, lost=0, silent=0), Pulse.ALIVE, now)
    good_since = now if before.good_since is None else before.good_since
    after = replace(before, lost=0, silent=0, good_since=good_since)
    if now - good_since >= settings.recovery_seconds:
        return _turned(replace(after, good_since=None), Pulse.ALIVE, now)
    return _turned(after, Pulse.RECOVERING, now)


def _turned(vitality: Vitality, pulse: Pulse, now: float) -> Vitality:
    return vitality if vitality.pulse == pulse else replace(vitality, pulse=pulse, since=now)
