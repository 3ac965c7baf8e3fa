"""Keys change under traffic, by either side or by both at once: no packet is lost and no session ends."""

import base64
import os
import signal

import pytest

from ncgd.lab import gateway
from ncgd.lab.topology import STATE
from tests.integration.netns import until
from tests.lab import cloud_side, scraped, site_side
from tests.lab.conftest import Lab
from tests.lab.rekeys import NODE, TUNNEL, authenticate_anew, rekey, spis
from tests.lab.site_side import SECRET, TUNNELS, edited
from tests.lab.steadily import undisturbed

pytestmark = [pytest.mark.lab, pytest.mark.root]

EVERYBODY = (("us",), ("cloud",), ("us", "cloud"), ("cloud", "us"))
NEW_KEY = b"rotated, for this test only"


@pytest.mark.parametrize("what", ["child", "ike"])
def test_a_rekey_by_either_side_or_both_at_once(lab: Lab, what: str) -> None:
    with undisturbed():
        for who in EVERYBODY:
            rekey(what, who)


def test_rekeys_are_counted_and_traffic_is_counted_on(lab: Lab) -> None:
    def negotiated() -> dict[str, float]:
        kinds = ("new", "esp_rekey", "ike_rekey")
        return {kind: scraped.value("ncgd_tunnel_negotiations_total", tunnel=TUNNEL, kind=kind) for kind in kinds}

    def received() -> float:
        return scraped.value("ncgd_tunnel_esp_packets_total", tunnel=TUNNEL, direction="in")

    before = negotiated()
    for what in ("child", "ike"):
        packets = until(received, 10, "its echoes are answered")
        rekey(what, ("us",))
        until(lambda least=packets: received() > least, 10, "more, not begun anew")
    expected = {**before, "esp_rekey": before["esp_rekey"] + 1, "ike_rekey": before["ike_rekey"] + 1}
    until(lambda: negotiated() == expected, 10, str(expected))
    assert scraped.value("ncgd_tunnel_esp_sa_age_seconds", tunnel=TUNNEL) < 60


@pytest.mark.parametrize("who", ["us", "cloud"])
def test_an_authentication_anew_ends_no_session_and_the_other_tunnel_notices_nothing(lab: Lab, who: str) -> None:
    """We never ask for one; a peer may. Its second IKE SA can lose what is under way in its own tunnel."""
    age = site_side.peer("peer-1")["uptimeSeconds"]
    with site_side.vm_with_many_addresses():
        other = site_side.address_through("tunnel-2")
        with site_side.flowing(other) as lost:
            authenticate_anew(who)
            site_side.healthy()
        assert lost == {other: 0}
    assert site_side.peer("peer-1")["uptimeSeconds"] >= age


def test_what_the_cloud_ends_comes_back_once(lab: Lab) -> None:
    """Negotiated twice at a time, one broken off, the cloud kept an SA that the gateway did not have."""
    for _ in range(20):
        old = until(lambda: spis(ike=True), 20, "one IKE SA on both sides")
        cloud_side.terminate(NODE)
        until(lambda old=old: (now := spis(ike=True)) and not now & old, 20, "another one, on both sides")
    site_side.healthy()


def test_lifetimes_of_seconds_on_both_sides(lab: Lab) -> None:
    """Both sides rekey a CHILD_SA when it is 9 or 10 s old, and collide as it comes."""
    conf, manifest = STATE / NODE / "swanctl.conf", gateway.RESOURCES / TUNNELS
    saved = {path: path.read_bytes() for path in (conf, manifest)}
    old = site_side.sa_ids(TUNNEL)
    cloud_side.reconfigure(NODE, "rekey_time = 10800s", "rekey_time = 10s\nrand_time = 1s\nlife_time = 20s")
    with edited(TUNNELS) as documents:
        documents[0]["spec"]["ike"] = {"childRekeySeconds": 10, "ikeRekeySeconds": 15}
    try:
        until(lambda: (now := site_side.sa_ids(TUNNEL)) and not now & old, 30, "an IKE SA of seconds")
        with undisturbed():
            ike = until(lambda: spis(ike=True), 30, "one IKE SA on both sides")
            for _ in range(2):
                child = until(spis, 30, "one CHILD_SA on both sides")
                until(lambda old=child: (now := spis()) and now != old, 40, "another CHILD_SA")
            until(lambda: (now := spis(ike=True)) and now != ike, 60, "another IKE SA")
    finally:
        for path, text in saved.items():
            path.write_bytes(text)
        cloud_side.reload(NODE)
    until(lambda: gateway.ncgctl("get", "overlayvpntunnel", TUNNEL, "-o", "json").stdout.count("ikeRekey") == 0, 20)
    site_side.healthy()


@pytest.mark.parametrize("order", [("us", "cloud"), ("cloud", "us")], ids=["we first", "the cloud first"])
def test_a_rotated_key_takes_nothing_down_and_serves_the_next_authentication(lab: Lab, order: tuple[str, str]) -> None:
    old = site_side.sa_ids(TUNNEL)
    secret, swanctl = gateway.RESOURCES / SECRET, STATE / NODE / "swanctl.conf"
    saved = {secret: secret.read_bytes(), swanctl: swanctl.read_bytes()}
    try:
        with undisturbed():
            for who in order:
                if who == "us":
                    with edited(SECRET) as documents:
                        documents[0]["data"]["psk"] = base64.b64encode(NEW_KEY).decode()
                else:
                    cloud_side.rotate(NODE, NEW_KEY)
                rekey("child", ("us",))
                rekey("ike", ("cloud",))
        cloud_side.terminate(NODE)
        until(lambda: (now := site_side.sa_ids(TUNNEL)) and not now & old, 30, "authenticated with the new key")
        site_side.healthy()
    finally:
        for path, text in saved.items():
            path.write_bytes(text)
        cloud_side.reload(NODE)
        site_side.healthy()


def test_ncgd_dies_while_keys_change_and_adopts_what_has_become_of_them(lab: Lab) -> None:
    with undisturbed():
        for who in EVERYBODY[:2]:
            (daemon,) = lab.processes("ncgd")
            os.kill(daemon, signal.SIGKILL)
            rekey("child", who)
            rekey("ike", who)
            renewed = until(lambda: spis(ike=True), 30, "one IKE SA on both sides")
            until(lambda: gateway.status().get("status") == "Healthy", 40, "ncgd is back")
            site_side.healthy()
            assert until(lambda: spis(ike=True), 30) == renewed, "adopted, not made anew"
