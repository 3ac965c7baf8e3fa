"""When a tunnel is called dead, and when it is trusted again."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncgd.decision.liveness import PATIENCE_FACTOR, resumed, step
from ncgd.model.probe import Beat, Pulse, Vitality
from ncgd.model.spec import Liveness

SETTINGS = Liveness(interval_seconds=0.1, misses=3, recovery_seconds=2.0)
ANSWER = Beat(is_answered=True)
SILENCE = Beat(is_answered=False)
TRICKLE = Beat(is_answered=False, received=1, sent_bytes=1400)
"""A keepalive that the peer repeats, pings of ours that find no way."""
TRAFFIC = Beat(is_answered=False, received=40)
UPLOAD = Beat(is_answered=False, sent_bytes=100_000)


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


def test_the_little_that_comes_out_of_an_idle_tunnel_does_not_delay_its_death() -> None:
    assert after([ANSWER, TRICKLE, TRICKLE]).pulse == Pulse.ALIVE
    assert after([ANSWER, TRICKLE, TRICKLE, TRICKLE]).pulse == Pulse.DEAD


@pytest.mark.parametrize("load", [TRAFFIC, UPLOAD], ids=["out of it", "into it"])
def test_a_load_that_the_path_bore_a_moment_ago_does_not_delay_its_death(load: Beat) -> None:
    borne = replace(load, is_answered=True)
    assert after([borne] * 60 + [load] * 2).pulse == Pulse.ALIVE
    assert after([borne] * 60 + [load] * 3).pulse == Pulse.DEAD
    assert after([ANSWER] * 60 + [borne] * 15 + [load] * 3).pulse == Pulse.SUSPECT, "a few answers may be luck"


@pytest.mark.parametrize("load", [TRAFFIC, UPLOAD], ids=["out of it", "into it"])
def test_a_path_that_lost_echoes_before_under_its_load_may_be_full(load: Beat) -> None:
    full = [load, replace(load, is_answered=True)] * 20
    assert after(full + [load] * 10).pulse == Pulse.SUSPECT
    assert after(full + [SILENCE] * 10).pulse == Pulse.SUSPECT, "a load that pauses is none that is gone"
    assert after(full + [SILENCE] * 15).pulse == Pulse.DEAD
    eased = full + [replace(load, is_answered=True)] * 100
    assert after(eased + [load] * 3).pulse == Pulse.DEAD


@pytest.mark.parametrize("load", [TRAFFIC, UPLOAD], ids=["out of it", "into it"])
def test_a_load_that_has_grown_makes_a_tunnel_suspect_until_patience_ends(load: Beat) -> None:
    patience = SETTINGS.misses * PATIENCE_FACTOR
    suspect = after([ANSWER] + [load] * (patience - 1))
    assert suspect.pulse == Pulse.SUSPECT
    assert suspect.may_carry
    assert after([ANSWER] + [load] * (patience - 1) + [ANSWER]).pulse == Pulse.ALIVE
    assert after([ANSWER] + [load] * patience).pulse == Pulse.DEAD


def test_an_upload_that_stalls_delays_death_by_what_was_under_way() -> None:
    assert after([ANSWER, UPLOAD, SILENCE, SILENCE]).pulse == Pulse.SUSPECT
    assert after([ANSWER, UPLOAD, SILENCE, SILENCE, SILENCE]).pulse == Pulse.DEAD


def test_a_path_goes_on_as_an_earlier_ncgd_has_left_it() -> None:
    assert resumed(None, 0.0).pulse == Pulse.UNPROVEN
    assert after([SILENCE] * 3, resumed(Pulse.ALIVE, 0.0)).pulse == Pulse.DEAD
    dead = resumed(Pulse.DEAD, 0.0)
    assert not dead.may_carry
    assert after([ANSWER] * 19, dead).pulse == Pulse.RECOVERING
    assert after([ANSWER] * 21, dead).pulse == Pulse.ALIVE


def test_recovery_is_damped_and_starts_over_at_each_loss() -> None:
    dead = after([ANSWER, SILENCE, SILENCE, SILENCE])
    almost = after([ANSWER] * 20, dead, now=0.4)
    assert almost.pulse == Pulse.RECOVERING
    assert not almost.may_carry
    relapsed = after([SILENCE], almost, now=2.4)
    assert relapsed.pulse == Pulse.DEAD
    assert after([ANSWER] * 20, relapsed, now=2.5).pulse == Pulse.RECOVERING
    assert after([ANSWER] * 22, relapsed, now=2.5).pulse == Pulse.ALIVE


@given(st.lists(st.sampled_from([ANSWER, SILENCE, TRICKLE, TRAFFIC, UPLOAD]), max_size=200))
def test_death_needs_a_run_of_misses_and_trust_a_run_of_answers(beats: list[Beat]) -> None:
    vitality, now = Vitality(), 0.0
    for count, beat in enumerate(beats, 1):
        before, now = vitality, now + SETTINGS.interval_seconds
        vitality = step(before, beat, SETTINGS, now)
        if vitality.pulse == Pulse.DEAD and before.may_carry:
            assert all(not missed.is_answered for missed in beats[count - SETTINGS.misses : count])
        if vitality.pulse == Pulse.ALIVE and before.pulse == Pulse.RECOVERING:
            assert all(good.is_answered for good in beats[count - 20 : count])
