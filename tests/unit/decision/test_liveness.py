"""When a tunnel is called dead, and when it is trusted again."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncgd.decision.liveness import PATIENCE_FACTOR, step
from ncgd.model.probe import Beat, Pulse, Vitality
from ncgd.model.spec import Liveness

SETTINGS = Liveness(interval_seconds=0.1, misses=3, recovery_seconds=2.0)
ANSWER = Beat(is_answered=True, is_received=False)
SILENCE = Beat(is_answered=False, is_received=False)
TRAFFIC = Beat(is_answered=False, is_received=True)


def after(beats: Iterable[Beat], start: Vitality | None = None, now: float = 0.0) -> Vitality:
    vitality = start or Vitality()
    for beat in beats:
        now += SETTINGS.interval_seconds
        vitality = step(vitality, beat, SETTINGS, now)
    return vitality


def test_a_peer_that_never_answers_is_never_called_dead() -> None:
    assert after([SILENCE, TRAFFIC] * 500).pulse == Pulse.UNPROVEN
    assert after([SILENCE] * 500).may_carry


def test_three_misses_in_silence_are_death() -> None:
    assert after([ANSWER, SILENCE, SILENCE]).pulse == Pulse.ALIVE
    dead = after([ANSWER, SILENCE, SILENCE, SILENCE])
    assert dead.pulse == Pulse.DEAD
    assert dead.since == pytest.approx(0.4)


def test_a_lost_echo_now_and_then_is_nothing() -> None:
    assert after([ANSWER, SILENCE, SILENCE] * 100 + [ANSWER]).pulse == Pulse.ALIVE


def test_a_loaded_tunnel_is_suspect_at_most_until_patience_ends() -> None:
    patience = SETTINGS.misses * PATIENCE_FACTOR
    suspect = after([ANSWER] + [TRAFFIC] * (patience - 1))
    assert suspect.pulse == Pulse.SUSPECT
    assert suspect.may_carry
    assert after([ANSWER] + [TRAFFIC] * (patience - 1) + [ANSWER]).pulse == Pulse.ALIVE
    assert after([ANSWER] + [TRAFFIC] * patience).pulse == Pulse.DEAD


def test_recovery_is_damped_and_starts_over_at_each_loss() -> None:
    dead = after([ANSWER, SILENCE, SILENCE, SILENCE])
    almost = after([ANSWER] * 20, dead, now=0.4)
    assert almost.pulse == Pulse.RECOVERING
    assert not almost.may_carry
    relapsed = after([SILENCE], almost, now=2.4)
    assert relapsed.pulse == Pulse.DEAD
    assert after([ANSWER] * 20, relapsed, now=2.5).pulse == Pulse.RECOVERING
    assert after([ANSWER] * 22, relapsed, now=2.5).pulse == Pulse.ALIVE


@given(st.lists(st.sampled_from([ANSWER, SILENCE, TRAFFIC]), max_size=200))
def test_death_needs_a_run_of_misses_and_trust_a_run_of_answers(beats: list[Beat]) -> None:
    vitality, now = Vitality(), 0.0
    for count, beat in enumerate(beats, 1):
        before, now = vitality, now + SETTINGS.interval_seconds
        vitality = step(before, beat, SETTINGS, now)
        if vitality.pulse == Pulse.DEAD and before.may_carry:
            assert all(not missed.is_answered for missed in beats[count - SETTINGS.misses : count])
        if vitality.pulse == Pulse.ALIVE and before.pulse == Pulse.RECOVERING:
            assert all(good.is_answered for good in beats[count - 20 : count])
