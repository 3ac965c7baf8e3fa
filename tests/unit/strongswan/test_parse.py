"""Messages as charon 5.9.8 sends them; addresses and SPIs replaced."""

from typing import Any

import pytest

from ncgd.drivers.strongswan import parse
from ncgd.model.ike import SaState, Traffic

Answer = dict[str, dict[str, Any]]


def child(number: int, digest: str = "d1", state: str = "INSTALLED", age: int = 10) -> Answer:
    name = f"esp-{digest}"
    fields = {
        "name": name.encode(),
        "uniqueid": b"%d" % number,
        "reqid": b"1",
        "state": state.encode(),
        "mode": b"TUNNEL",
        "protocol": b"ESP",
        "encap": b"yes",
        "spi-in": b"2dc49003",
        "spi-out": b"6bdafcbd",
        "encr-alg": b"AES_GCM_16",
        "encr-keysize": b"256",
        "bytes-in": b"420",
        "packets-in": b"5",
        "bytes-out": b"84",
        "packets-out": b"1",
        "rekey-time": b"3405",
        "life-time": b"3958",
        "install-time": b"%d" % age,
        "local-ts": [b"0.0.0.0/0", b"::/0"],
        "remote-ts": [b"0.0.0.0/0", b"::/0"],
    }
    return {f"{name}-{number}": fields}


def ike(number: int, *children: Answer, name: str = "ncg-t1", state: str = "ESTABLISHED", age: int = 10) -> Answer:
    fields: dict[str, object] = {
        "uniqueid": b"%d" % number,
        "version": b"2",
        "state": state.encode(),
        "local-host": b"10.0.0.2",
        "remote-host": b"203.0.113.1",
        "nat-any": b"yes",
        "child-sas": {key: value for one in children for key, value in one.items()},
    }
    if state == "ESTABLISHED":
        fields |= {
            "encr-alg": b"AES_GCM_16",
            "encr-keysize": b"256",
            "prf-alg": b"PRF_HMAC_SHA2_256",
            "dh-group": b"ECP_256",
            "established": b"%d" % age,
        }
    return {name: fields}


def test_what_a_peer_has_narrowed_and_whether_it_has_answered_at_all() -> None:
    narrowed = {"remote-ts": [b"10.128.0.0/9"]}
    (sa,) = parse.tunnel_sas([ike(3, child(7) | {"esp-d1-7": child(7)["esp-d1-7"] | narrowed})], {"t1": "d1"}).values()
    assert sa.selectors == ("0.0.0.0/0", "::/0", "10.128.0.0/9")
    for spi, is_answered in ((b"0000000000000000", False), (b"00a1b2c3d4e5f607", True)):
        connecting = ike(3, state="CONNECTING")
        connecting["ncg-t1"] |= {"responder-spi": spi}
        (sa,) = parse.tunnel_sas([connecting], {"t1": "d1"}).values()
        assert sa.answered_ike_ids == (("3",) if is_answered else ())


def test_one_tunnel_in_full() -> None:
    (sa,) = parse.tunnel_sas([ike(3, child(7))], {"t1": "d1"}).values()
    assert sa.local_address == "10.0.0.2"
    assert (sa.tunnel, sa.state, sa.digest, sa.ike_id, sa.child_id) == ("t1", SaState.INSTALLED, "d1", "3", "7")
    assert (sa.bytes_in, sa.bytes_out, sa.packets_in, sa.packets_out) == (420, 84, 5, 1)
    assert (sa.cipher, sa.encap, sa.established_seconds, sa.stale_ike_ids) == ("AES_GCM_16-256", True, 10, ())
    assert sa.ike_text == "ESTABLISHED AES_GCM_16-256/PRF_HMAC_SHA2_256/ECP_256"
    assert sa.child_text == "INSTALLED AES_GCM_16-256 0.0.0.0/0 ::/0 === 0.0.0.0/0 ::/0"


def test_a_cipher_without_aead_names_its_integrity_too() -> None:
    row = child(1)
    row["esp-d1-1"] |= {"encr-alg": b"AES_CBC", "encr-keysize": b"128", "integ-alg": b"HMAC_SHA1_96"}
    assert parse.tunnel_sas([ike(1, row)], {})["t1"].cipher == "AES_CBC-128/HMAC_SHA1_96"


def test_what_is_not_ours_is_not_seen() -> None:
    assert parse.tunnel_sas([ike(1, child(1), name="office"), {}], {}) == {}


def test_during_a_rekey_the_new_child_counts_and_both_counters() -> None:
    (sa,) = parse.tunnel_sas([ike(1, child(1, state="REKEYED", age=0), child(2, age=0))], {"t1": "d1"}).values()
    assert (sa.child_id, sa.packets_in, sa.stale_ike_ids) == ("2", 10, ())
    assert sa.children == {number: Traffic(420, 84, 5, 1) for number in ("1", "2")}
    (sa,) = parse.tunnel_sas([ike(1, child(1, state="DELETED"), child(2, age=0))], {"t1": "d1"}).values()
    assert (sa.child_id, sa.packets_in) == ("2", 5)


def test_the_loaded_configuration_wins_then_the_newest() -> None:
    old, new = ike(1, child(1, "d1", age=100)), ike(2, child(2, "d2", age=5))
    for loaded, expected in (("d2", ("2", ("1",))), ("d1", ("1", ("2",))), ("", ("2", ("1",)))):
        (sa,) = parse.tunnel_sas([old, new], {"t1": loaded}).values()
        assert (sa.ike_id, sa.stale_ike_ids) == expected
    (sa,) = parse.tunnel_sas([ike(1, child(1, age=5)), ike(2, child(2, age=5))], {"t1": "d1"}).values()
    assert sa.ike_id == "2"


def test_of_two_that_came_up_at_once_the_one_authenticated_last_counts() -> None:
    """A peer that keeps one of them drops the one before it. Our IKE SA may be older and yet be authenticated later."""
    ours, theirs = ike(1, child(4, age=0)), ike(2, child(3, age=0))
    (sa,) = parse.tunnel_sas([ours, theirs], {"t1": "d1"}).values()
    assert (sa.ike_id, sa.stale_ike_ids) == ("1", ("2",))


def test_a_younger_attempt_is_not_stale_an_older_one_is() -> None:
    (sa,) = parse.tunnel_sas([ike(1, child(1)), ike(2, state="CONNECTING")], {"t1": "d1"}).values()
    assert (sa.ike_id, sa.stale_ike_ids, sa.pending_ike_id) == ("1", (), "2")
    (sa,) = parse.tunnel_sas([ike(1, state="CONNECTING"), ike(2, child(1))], {"t1": "d1"}).values()
    assert (sa.ike_id, sa.stale_ike_ids, sa.pending_ike_id) == ("2", ("1",), "")


def test_of_several_attempts_the_youngest_counts_and_those_that_are_answered_are_known() -> None:
    attempts = [ike(number, state="CONNECTING") for number in (2, 3, 4)]
    attempts[1]["ncg-t1"]["responder-spi"] = b"00a1b2c3d4e5f607"
    (sa,) = parse.tunnel_sas(attempts, {}).values()
    assert (sa.state, sa.ike_id, sa.stale_ike_ids, sa.pending_ike_id) == (SaState.CONNECTING, "4", ("2", "3"), "")
    assert sa.answered_ike_ids == ("3",)
    (sa,) = parse.tunnel_sas([ike(1, child(1)), *attempts], {}).values()
    assert (sa.ike_id, sa.stale_ike_ids, sa.pending_ike_id) == ("1", ("2", "3"), "4")
    assert sa.answered_ike_ids == ("3",)


@pytest.mark.parametrize("state", ["CONNECTING", "CREATED", "ESTABLISHED"])
def test_without_a_child_it_is_connecting(state: str) -> None:
    (sa,) = parse.tunnel_sas([ike(4, state=state)], {}).values()
    assert (sa.state, sa.ike_id, sa.child_id) == (SaState.CONNECTING, "4", "")


@pytest.mark.parametrize("state", ["DELETING", "DESTROYING", "REKEYED"])
def test_what_goes_by_itself_is_down(state: str) -> None:
    assert parse.tunnel_sas([ike(4, child(1), state=state)], {}) == {}


def test_loaded_digests_and_keys() -> None:
    conns: list[Answer] = [
        {"ncg-t1": {"version": b"IKEv2", "children": {"esp-d1": {}}}},
        {"office": {"children": {"x": {}}}},
    ]
    assert parse.loaded_digests(conns) == {"t1": "d1"}
    assert parse.loaded_keys({"keys": [b"ncg-t1", b"other"]}) == {"t1"}
    assert parse.loaded_keys({}) == frozenset()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("received AUTHENTICATION_FAILED notify error", "AuthenticationFailed"),
        ("tried 1 shared key for '198.51.100.1' - '203.0.113.1', but MAC mismatched", "PskMismatch"),
        ("tried 2 shared keys for 'a' - 'b', but MAC mismatched", "PskMismatch"),
        ("no shared key found for '198.51.100.1' - '203.0.113.1'", "AuthenticationFailed"),
        ("ignore malformed INFORMATIONAL request", "AuthenticationFailed"),
        ("received NO_PROPOSAL_CHOSEN notify error", "NoProposalChosen"),
        ("received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", "NoProposalChosen"),
        ("received NO_PROPOSAL_CHOSEN error notify", "NoProposalChosen"),
        ("received proposals unacceptable", "NoProposalChosen"),
        ("no acceptable proposal found", "NoProposalChosen"),
        ("peer's proposal selection invalid", "NoProposalChosen"),
        ("received TS_UNACCEPTABLE notify, no CHILD_SA built", "TsUnacceptable"),
        ("no acceptable traffic selectors found", "TsUnacceptable"),
        ("IDir '192.0.2.77' does not match to '203.0.113.1'", "IdentityMismatch"),
        ("constraint check failed: identity '203.0.113.1' required, not matched by '192.0.2.1'", "IdentityMismatch"),
        ("unable to install inbound and outbound IPsec SA (SAD) in kernel", "InstallFailed"),
        ("unable to install IPsec policies (SPD) in kernel", "InstallFailed"),
        ("giving up after 4 retransmits", "PeerUnreachable"),
        ("peer not responding, trying again (2/0)", "PeerUnreachable"),
    ],
)
def test_failures_by_charons_words(text: str, reason: str) -> None:
    failure = parse.failure({"group": b"IKE", "level": b"1", "ikesa-name": b"ncg-t1", "msg": text.encode()})
    assert failure is not None
    assert (failure.tunnel, failure.reason) == ("t1", reason)
    assert text in failure.message


@pytest.mark.parametrize(
    "text",
    [
        "authentication of '203.0.113.1' with pre-shared key successful",
        "selected proposal: ESP:AES_GCM_16_256/NO_EXT_SEQ",
        "retransmit 1 of request with message ID 0",
        "received TS_UNACCEPTABLE payload dump",
        "CHILD_SA esp-d1{1} established with SPIs 2dc49003_i 6bdafcbd_o and TS 0.0.0.0/0 ::/0 === 0.0.0.0/0 ::/0",
    ],
)
def test_other_words_are_no_failure(text: str) -> None:
    assert parse.failure({"ikesa-name": b"ncg-t1", "msg": text.encode()}) is None


def test_failures_of_other_connections_are_not_ours() -> None:
    assert parse.failure({"ikesa-name": b"office", "msg": b"giving up after 4 retransmits"}) is None
    assert parse.failure({"msg": b"giving up after 4 retransmits"}) is None
