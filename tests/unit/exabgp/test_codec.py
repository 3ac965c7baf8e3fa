import json
from base64 import b64encode

import msgspec
import pytest

from ncgd.drivers.exabgp import codec
from ncgd.drivers.exabgp.adj_rib_in import Sessions
from ncgd.model import prefix
from ncgd.model.bgp import Attributes, Origin
from ncgd.model.event import (
    AdjRibInRead,
    EndOfRib,
    Event,
    PathsLearned,
    PathsWithdrawn,
    SessionDown,
    SessionUp,
    SpeakerRead,
)

KEY = "169.254.1.1 169.254.1.2"
PLAIN = {"next-hop": "169.254.1.1", "origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": [64512]}}}


TEN, ELEVEN, BOTH = (b64encode(bytes.fromhex(packed)).decode() for packed in ("080a", "080b", "080a080b"))
"""10.0.0.0/8 and 11.0.0.0/8."""


def line(*fields: object) -> bytes:
    return json.dumps(fields).encode()


def events(*lines: bytes) -> list[Event]:
    """What these lines of the bridge become, for a peer that is known as ``peer-1``."""
    posted: list[Event] = []
    sessions = Sessions(posted.append)
    sessions.start({KEY: "peer-1"})
    for text in lines:
        sessions.take(codec.decode(text))
    return posted


def test_attributes_of_exabgp() -> None:
    assert codec.attributes(
        {
            "next-hop": "169.254.1.1",
            "origin": "egp",
            "as-path": {
                "0": {"element": "as-sequence", "value": [64512, 4200000000]},
                "1": {"element": "as-set", "value": [1, 2, 3]},
            },
            "med": 7,
            "local-preference": 150,
            "community": [[64512, 77]],
            "large-community": [[4200000000, 2, 3]],
            "atomic-aggregate": True,
        }
    ) == Attributes(
        as_path=(64512, 4200000000, 1, 2, 3),
        as_path_length=3,
        origin=Origin.EGP,
        med=7,
        next_hop="169.254.1.1",
        communities=("64512:77", "4200000000:2:3"),
    )


def test_equal_attributes_are_one_object() -> None:
    interner = codec.Interner()
    raw = msgspec.Raw(json.dumps(PLAIN).encode())
    assert interner.attributes(raw) is interner.attributes(raw)


@pytest.mark.parametrize(
    ("family", "packed", "text"),
    [
        ("ipv4 unicast", "080a", "10.0.0.0/8"),
        ("ipv4 unicast", "1c0a000010", "10.0.0.16/28"),
        ("ipv4 unicast", "1c0a00001f", "10.0.0.16/28"),
        ("ipv4 unicast", "00", "0.0.0.0/0"),
        ("ipv4 unicast", "20c0000201", "192.0.2.1/32"),
        ("ipv6 unicast", "2020010db8", "2001:db8::/32"),
        ("ipv6 unicast", "00", "::/0"),
    ],
)
def test_a_packed_prefix(family: codec.Family, packed: str, text: str) -> None:
    """Bits that are no part of it count as zero (RFC 4271 §4.3)."""
    assert codec.prefixes(family, [bytes.fromhex(packed)]) == (prefix.parse(text),)


@pytest.mark.parametrize("packed", ["08", "210a00000000", "1c0a0000", "080a18"])
def test_what_is_no_prefix_is_refused(packed: str) -> None:
    with pytest.raises(ValueError, match="no prefixes of ipv4 unicast"):
        codec.prefixes("ipv4 unicast", [bytes.fromhex(packed)])


def test_a_session_from_its_start_to_its_end() -> None:
    up, learned, ended, withdrawn, down = events(
        line("up", KEY, 0.5, 120),
        line("learn", KEY, "ipv4 unicast", PLAIN, [BOTH]),
        line("eor", KEY, 4),
        line("withdraw", KEY, "ipv4 unicast", [TEN]),
        line("down", KEY, "closing connection", True),
    )
    assert isinstance(up, SessionUp)
    assert up.restart_seconds == 120
    assert isinstance(learned, PathsLearned)
    assert learned.prefixes == (prefix.parse("10.0.0.0/8"), prefix.parse("11.0.0.0/8"))
    assert ended == EndOfRib(peer="peer-1", version=4)
    assert withdrawn == PathsWithdrawn(peer="peer-1", prefixes=(prefix.parse("10.0.0.0/8"),))
    assert isinstance(down, SessionDown)
    assert down.is_graceful


def test_a_table_is_one_event() -> None:
    up, table, _ = events(
        line("begin", KEY, 0.5, False, None, [4]),
        line("learn", KEY, "ipv4 unicast", PLAIN, [TEN]),
        line("learn", KEY, "ipv4 unicast", PLAIN, [ELEVEN]),
        line("end", KEY),
        line("synced"),
    )
    assert isinstance(up, SessionUp)
    assert isinstance(table, AdjRibInRead)
    assert table.families_ended == {4}
    assert prefix.texts(table.paths) == ["10.0.0.0/8", "11.0.0.0/8"]


def test_a_table_that_was_cut_off_starts_again() -> None:
    tables = [
        event
        for event in events(
            line("begin", KEY, 0.5, False, None, []),
            line("learn", KEY, "ipv4 unicast", PLAIN, [TEN]),
            line("begin", KEY, 0.5, False, None, []),
            line("learn", KEY, "ipv4 unicast", PLAIN, [ELEVEN]),
            line("end", KEY),
        )
        if isinstance(event, AdjRibInRead)
    ]
    assert [prefix.texts(table.paths) for table in tables] == [["11.0.0.0/8"]]


def test_the_same_session_is_told_once_and_another_again() -> None:
    def ups(*lines: bytes) -> list[SessionUp]:
        return [event for event in events(*lines) if isinstance(event, SessionUp)]

    assert len(ups(line("up", KEY, 7.0, 90), line("begin", KEY, 7.0, False, 90, []))) == 1
    assert len(ups(line("up", KEY, 7.0, 90), line("begin", KEY, 7.5, False, 90, []))) == 2
    assert len(ups(line("up", KEY, 7.0, 90), line("begin", KEY, 7.5, True, -1, []))) == 1
    again = ups(line("up", KEY, 7.0, 90), line("begin", KEY, 99.0, True, -1, []))
    assert [up.restart_seconds for up in again] == [90, 90]
    assert [up.restart_seconds for up in ups(line("begin", KEY, 99.0, True, -1, []))] == [120]


def test_a_session_that_a_new_speaker_does_not_have_is_down() -> None:
    posted: list[Event] = []
    sessions = Sessions(posted.append)
    sessions.start({KEY: "peer-1"})
    sessions.take(codec.decode(line("up", KEY, 1.0, 120)))
    sessions.start({KEY: "peer-1"})
    sessions.take(codec.decode(line("synced")))
    down = SessionDown(peer="peer-1", reason="the speaker was started again", is_graceful=True)
    assert posted[1:] == [down, SpeakerRead()]


@pytest.mark.parametrize(
    "change",
    [{"origin": "invalid"}, {"origin": None}, {"next-hop": "null"}, {"as-path": {"0": {}}}, {"med": "much"}],
    ids=str,
)
def test_senseless_attributes_are_treated_as_withdraw(change: dict[str, object]) -> None:
    """RFC 7606 §2."""
    (withdrawn,) = events(line("learn", KEY, "ipv4 unicast", {**PLAIN, **change}, [TEN]))
    assert withdrawn == PathsWithdrawn(peer="peer-1", prefixes=(prefix.parse("10.0.0.0/8"),))


def test_a_session_that_nobody_named_is_left_out() -> None:
    stranger = "192.0.2.1 192.0.2.2"
    assert events(line("up", stranger, 1.0, None), line("learn", stranger, "ipv4 unicast", PLAIN, [])) == []


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'["what"]', b'["up","a"]', b'["learn",1,{},[]]', b"\xff"])
def test_other_lines_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        codec.decode(text)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("notification received (6,2)", "the peer sent NOTIFICATION 6/2: administrative shutdown"),
        ("notification sent (4,0)", "we sent NOTIFICATION 4/0: hold timer expired"),
        ("notification sent (3,10)", "we sent NOTIFICATION 3/10: malformed UPDATE"),
        ("notification received (9,9)", "the peer sent NOTIFICATION 9/9: unknown"),
        ("closing connection", "the TCP connection failed or was closed"),
        ("process problem", "process problem"),
    ],
)
def test_reasons_are_for_people(said: str, meant: str) -> None:
    assert codec.reason(said) == meant
