"""Is the data path of a tunnel alive? From echoes sent and answered, and from packets that arrived.

Pure: the prober (``drivers.probe``) takes one ``step`` per interval and tells what changed. A tunnel whose peer has
never answered an echo is *unproven*: the probe says nothing of it, and its SA and session alone are judged.
"""

from dataclasses import replace

from ncgd.model.probe import Beat, Pulse, Vitality
from ncgd.model.spec import Liveness

PATIENCE_FACTOR = 5
"""While packets still arrive it takes this many times more lost echoes to call a tunnel dead: echoes may be limited or
crowded out. When all of them are lost for so long, our own direction is broken."""


def step(before: Vitality, beat: Beat, settings: Liveness, now: float) -> Vitality:
    """The vitality after one interval; ``now`` in seconds of a monotonic clock.

    An answer ends all doubt, but a tunnel that was dead must answer for ``recovery_seconds`` without a loss before it
    is alive. ``misses`` echoes in a row without any packet from the tunnel mean death. While packets arrive, they mean
    suspicion, and PATIENCE_FACTOR times as many mean death.
    """
    if beat.is_answered:
        return _after_answer(before, settings, now)
    if before.pulse == Pulse.UNPROVEN:
        return before
    if before.pulse in {Pulse.DEAD, Pulse.RECOVERING}:
        return _turned(replace(before, good_since=None), Pulse.DEAD, now)
    lost = before.lost + 1
    silent = 0 if beat.is_received else before.silent + 1
    after = replace(before, lost=lost, silent=silent)
    if silent >= settings.misses or lost >= settings.misses * PATIENCE_FACTOR:
        return _turned(after, Pulse.DEAD, now)
    return _turned(after, Pulse.SUSPECT, now) if lost >= settings.misses else after


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
