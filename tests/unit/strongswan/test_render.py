from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from ncgd.drivers.strongswan import render
from ncgd.model.ike import Connection, Credential
from ncgd.model.spec import SecretRef

ROW = Connection(
    tunnel="tunnel-1",
    charon="charon",
    version=2,
    local_address=IPv4Address("10.0.0.2"),
    remote_address=IPv4Address("203.0.113.1"),
    local_id="198.51.100.1",
    remote_id="203.0.113.1",
    if_id=0x9D000001,
    ike_proposals=("aes256gcm16-prfsha256-ecp256",),
    esp_proposals=("aes256gcm16-ecp256",),
    ike_rekey_seconds=27_000,
    child_rekey_seconds=9_000,
    dpd_delay_seconds=10,
    digest="0a1b",
)


def section(row: Connection) -> Any:
    """What charon is told of the connection."""
    return render.connection(row)["ncg-tunnel-1"]


def test_a_connection_behind_nat_presents_its_public_address() -> None:
    body = section(ROW)
    assert body["local_addrs"] == [IPv4Address("10.0.0.2")]
    assert body["local"] == {"auth": "psk", "id": "198.51.100.1"}
    assert body["remote"] == {"auth": "psk", "id": "203.0.113.1"}


def test_reloading_never_closes_an_sa_and_charon_heals_alone() -> None:
    child = section(ROW)["children"]["esp-0a1b"]
    assert (child["start_action"], child["dpd_action"], child["close_action"]) == ("none", "start", "start")


def test_where_a_lease_decides_charon_brings_nothing_back_by_itself() -> None:
    body = section(replace(ROW, heals=False))
    child = body["children"]["esp-0a1b"]
    assert (child["dpd_action"], child["close_action"], body["keyingtries"]) == ("clear", "none", 1)


def test_we_rekey_before_google_does() -> None:
    """Google's lifetimes: 36 000 s for IKE, 10 800 s for the child (supported-ike-ciphers)."""
    body = section(ROW)
    child = body["children"]["esp-0a1b"]
    assert body["rekey_time"] + body["over_time"] < 36_000
    assert child["rekey_time"] < child["life_time"] < 10_800
    assert body["reauth_time"] == 0


def test_keys_outlive_the_second_and_the_third_attempt_at_a_rekey() -> None:
    """charon tries again 5 to 15 s after one that failed or collided; retransmissions take 9 s."""
    body = section(replace(ROW, ike_rekey_seconds=15, child_rekey_seconds=10))
    child = body["children"]["esp-0a1b"]
    assert (child["rekey_time"], child["life_time"]) == (10, 70)
    assert (body["rekey_time"], body["over_time"]) == (15, 60)


def test_kernel_mode_has_an_interface_id_and_userspace_forces_udp() -> None:
    kernel = section(ROW)
    assert (kernel["if_id_in"], kernel["if_id_out"], kernel["encap"]) == (0x9D000001, 0x9D000001, "no")
    userspace = section(replace(ROW, if_id=None))
    assert userspace["encap"] == "yes"
    assert "if_id_in" not in userspace
    assert section(replace(ROW, force_encap=True))["encap"] == "yes"


def test_selectors_are_everything_and_ikev1_has_one_pair() -> None:
    two = section(ROW)["children"]["esp-0a1b"]
    assert two["local_ts"] == two["remote_ts"] == ["0.0.0.0/0", "::/0"]
    one = section(replace(ROW, version=1))["children"]["esp-0a1b"]
    assert one["local_ts"] == one["remote_ts"] == ["0.0.0.0/0"]


def test_without_an_address_routing_chooses() -> None:
    assert section(replace(ROW, local_address=None))["local_addrs"] == ["%any"]


def test_a_key_belongs_to_the_remote_identity_only() -> None:
    ref = SecretRef(namespace="n", name="s", fingerprint="f")
    row = Credential(tunnel="tunnel-1", charon="charon", owner="203.0.113.1", secret=ref)
    assert render.shared(row, b"k\x00y\n") == {
        "id": "ncg-tunnel-1",
        "type": "IKE",
        "data": b"k\x00y\n",
        "owners": ["203.0.113.1"],
    }


def test_initiating_does_not_wait() -> None:
    assert render.initiate(ROW) == {"ike": "ncg-tunnel-1", "child": "esp-0a1b", "timeout": -1}
