"""The manifests' copy is changed by the options and by nothing else; the cloud follows the manifests."""

import pytest

from ncgd.lab import gateway, interface, render
from tests.lab.conftest import Lab, assert_only_ike_and_esp_crosses

pytestmark = pytest.mark.lab

TWO = """\
# a comment
apiVersion: networking.gke.io/v1alpha1
kind: OverlayBGPPeer
spec:
  localASN: 1
---
kind: NetworkConnectivityGateway
spec:   # ours
  dataplane: auto
  mode: ActiveActive
"""


def test_a_field_is_set_in_every_resource_of_the_kind_and_comments_stay() -> None:
    text, changed = gateway.with_field(TWO, "NetworkConnectivityGateway", "dataplane", "userspace")
    assert changed == 1
    assert text.count("dataplane") == 1
    assert "  dataplane: userspace\n  mode: ActiveActive" in text
    assert text.startswith("# a comment")
    assert gateway.with_field(TWO, "Secret", "x", "y") == (TWO, 0)


def test_the_cloud_reads_addresses_and_keys_from_the_example() -> None:
    zero, one = interface.interfaces(gateway.EXAMPLE)
    assert (zero.address, one.address) == ("198.51.100.11", "198.51.100.12")
    assert zero.psk
    assert zero.router_ip != one.router_ip
    assert zero.psk.decode() not in repr(zero)


@pytest.mark.parametrize(
    ("count", "last"), [(1, "10.192.0.0/24"), (16384, "10.255.255.0/24"), (20000, "10.196.225.240/28")]
)
def test_extra_prefixes_are_always_the_same(count: int, last: str) -> None:
    prefixes = render.extra_prefixes(count)
    assert len(set(prefixes)) == count
    assert prefixes[-1] == last


@pytest.mark.root
def test_up_with_userspace_esp_and_more_prefixes_than_a_peer_accepts_by_default() -> None:
    lab = Lab()
    lab.command("down")
    try:
        lab.up("--dataplane", "userspace", "--prefixes", "6000")
        status = lab.status()
        assert status["dataplane"]["mode"] == "userspace"
        assert status["routes"]["installed"] == 6001
        assert lab.run("pod", "ping", "-c", "2", "-i", "0.1", "10.192.1.1").returncode == 0
        assert_only_ike_and_esp_crosses(lab)
    finally:
        assert lab.command("down").returncode == 0
