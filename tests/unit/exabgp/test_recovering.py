"""A bridge that was started later than the sessions: when it takes a table that it has asked for to be whole."""

import json

import pytest

from ncgd.drivers.exabgp import bridge

KEY = "169.254.1.1 169.254.1.2"
NEIGHBOR = {
    "fsm": "ESTABLISHED",
    "duration": 60,
    "local": {"address": "169.254.1.2"},
    "peer": {"address": "169.254.1.1", "capabilities": {"graceful-restart": True, "route-refresh": True}},
    "families": ["ipv4 unicast", "ipv6 unicast"],
}


def test_silence_counts_from_when_the_peer_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "BEGIN_SECONDS", 0.0)
    told: list[object] = []
    speaker = bridge.Speaker(lambda *change: told.append(change))
    speaker.recover()
    speaker.hear(json.dumps([NEIGHBOR]).encode())
    speaker.hear(b"done")
    assert speaker.unwritten.endswith(b"announce route-refresh ipv4 unicast\n")
    speaker.tick()
    assert told == [], "an empty table was taken for the peer's, which nobody had asked for it yet"
    speaker.hear(b"done")
    assert speaker.unwritten.endswith(b"announce route-refresh ipv6 unicast\n")
    speaker.tick()
    assert told == []
    speaker.hear(b"done")
    speaker.tick()
    assert told == [(KEY, None)]


def test_a_peer_that_is_slow_to_begin_has_not_sent_an_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its routes were withdrawn until its answer came."""
    monkeypatch.setattr(bridge, "REFRESH_SECONDS", 0.0)
    told: list[object] = []
    speaker = bridge.Speaker(lambda *change: told.append(change))
    speaker.recover()
    speaker.hear(json.dumps([{**NEIGHBOR, "families": ["ipv4 unicast"]}]).encode())
    for _ in range(2):
        speaker.hear(b"done")
    speaker.tick()
    assert told == []
    update: dict[str, object] = {"update": {"withdraw": {"ipv4 unicast": []}}}
    event = {"address": {"local": "169.254.1.2", "peer": "169.254.1.1"}, "message": update}
    speaker.hear(b'{ "exabgp": 1, "type": "update", "neighbor": ' + json.dumps(event).encode() + b"}")
    speaker.tick()
    assert told[-1] == (KEY, None), "it has begun, and is silent"
