"""Is the data path of a tunnel alive? From echoes sent and answered, and from the load that it carries.

Pure: the prober (``drivers.probe``) takes one ``step`` per interval and tells what changed. A tunnel whose peer has
never answered an echo is *unproven*: the probe says nothing of it, and its SA and session alone are judged.
"""

from dataclasses import replace

from ncgd.model.probe import Beat, Pulse, Vitality
from ncgd.model.spec import Liveness

PATIENCE_FACTOR = 5
"""Under a load that may crowd echoes out it takes this many times more lost ones to call a tunnel dead. When all of
them are lost for so long, our own direction is broken."""
BUSY_RECEIVED = 100.0
"""Packets a second (1 Mbit/s of large ones). Fewer out of a tunnel are a peer that asks, not a load that crowds."""
BUSY_SENT = 125_000.0
"""Bytes a second (1 Mbit/s). Fewer into a tunnel crowd nothing out either."""
GROWTH = 1.5
"""A load that is this many times what echoes were answered under a moment ago may be too much for the path."""
BORNE_WEIGHT = 1 / 32
"""Of one answered echo: a load counts as borne after some 35 of them."""
FADE = 0.99
"""What was borne counts for less with each interval: it halves in 70."""
STRAINED = 0.05
"""Share of echoes lost of late above which the path may be full already."""
STRAIN_WEIGHT = 1 / 32
"""Of one echo in that share."""


def resumed(before: Pulse | None, now: float) -> Vitality:
    """Where to begin with a path of which an earlier ncgd has last known this much: it need not be proven again."""
    return Vitality() if before is None else Vitality(pulse=before, since=now)


def step(before: Vitality, beat: Beat, settings: Liveness, now: float) -> Vitality:
    """The vitality after one interval; ``now`` in seconds of a monotonic clock.

    An answer ends all doubt, but a tunnel that was dead must answer for ``recovery_seconds`` without a loss before it
    is alive. ``misses`` echoes in a row mean death. When the load may have crowded them out, they mean suspicion, and
    PATIENCE_FACTOR times as many mean death.
    """
    if beat.is_answered:
        return _after_answer(_weighed(before, beat), settings, now)
    if before.pulse == Pulse.UNPROVEN:
        return before
    if before.pulse in {Pulse.DEAD, Pulse.RECOVERING}:
        return _turned(replace(before, good_since=None), Pulse.DEAD, now)
    lost = before.lost + 1
    silent = 0 if _may_be_crowded(before, beat, settings.interval_seconds) else before.silent + 1
    after = replace(before, lost=lost, silent=silent)
    if silent >= settings.misses or lost >= settings.misses * PATIENCE_FACTOR:
        return _turned(after, Pulse.DEAD, now)
    return _turned(after, Pulse.SUSPECT, now) if lost >= settings.misses else after


def _may_be_crowded(before: Vitality, beat: Beat, seconds: float) -> bool:
    """Whether the load may be why an echo was lost: it has just grown, or some were lost under it of late."""
    is_strained = before.strain > STRAINED
    return any(
        max(load, borne) > busy * seconds if is_strained else load > max(busy * seconds, GROWTH * borne)
        for load, busy, borne in (
            (beat.received, BUSY_RECEIVED, before.borne_received),
            (beat.sent_bytes, BUSY_SENT, before.borne_sent),
        )
    )


def _weighed(before: Vitality, beat: Beat) -> Vitality:
    """With what an answer says of the load: one answer may be luck, some in a row say that the path bears it."""
    kept = (1 - STRAIN_WEIGHT) ** before.lost
    return replace(
        before,
        strain=(1 - (1 - before.strain) * kept) * (1 - STRAIN_WEIGHT),
        borne_received=_moved(before.borne_received, beat.received),
        borne_sent=_moved(before.borne_sent, beat.sent_bytes),
    )


def _moved(borne: float, load: float) -> float:
    return borne + (load - borne) * BORNE_WEIGHT if load > borne else max(load, borne * FADE)


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
