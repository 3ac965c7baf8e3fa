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
    monkeypatch.setattr(bridge, "REFRESH_SECONDS", 0.0)
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
