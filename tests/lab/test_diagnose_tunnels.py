"""``ncgctl diagnose`` of a tunnel and its session, on the real thing: each cause is made, named, and undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from ncgd.lab import gateway, topology
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.diagnosing import Fault, assert_named, diagnosed, dropped_at
from tests.lab.rekeys import NODE, TUNNEL, ask_for_new_keys

pytestmark = [pytest.mark.lab, pytest.mark.root]
CLOUD0, CLOUD1 = "198.51.100.11", "198.51.100.12"


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[None]:
    site_side.healthy()
    yield
    site_side.healthy()
    until(lambda: diagnosed()["first"] is None, 30, "nothing is wrong any more")


@contextmanager
def answered_otherwise(pattern: str, replacement: str, *, comes_up: bool = False) -> Iterator[None]:
    """The cloud's end of the tunnel is configured otherwise; what was negotiated is torn down.

    ``comes_up``: so it is afterwards, since what is negotiated meanwhile would stay.
    """
    path = topology.STATE / NODE / "swanctl.conf"
    usual = path.read_text()
    cloud_side.reconfigure(NODE, pattern, replacement)
    cloud_side.terminate(NODE)
    try:
        yield
    finally:
        path.write_text(usual)
        cloud_side.reload(NODE)
        if comes_up:
            cloud_side.terminate(NODE, "--force")


@contextmanager
def cut_off(rule: str) -> Iterator[None]:
    """Nothing of that passes on the internet, and what was negotiated is torn down."""
    with dropped_at("internet", "forward", rule)():
        cloud_side.terminate(NODE, "--force")
        yield


@contextmanager
def told_otherwise(old: str, new: str) -> Iterator[None]:
    """The Cloud Router task is configured otherwise."""
    path = topology.STATE / NODE / "bird.conf"
    usual = path.read_text()
    assert usual.count(old) == 1
    path.write_text(usual.replace(old, new))
    cloud_side.birdc(NODE, "configure")
    try:
        yield
    finally:
        path.write_text(usual)
        cloud_side.birdc(NODE, "configure")


@contextmanager
def no_tcp() -> Iterator[None]:
    """BGP's port is filtered in the cloud, and the session ends."""
    with dropped_at(NODE, "input", 'iifname "ipsec0" tcp dport 179')():
        cloud_side.birdc(NODE, "restart", "site")
        yield


@contextmanager
def no_router() -> Iterator[None]:
    cloud_side.stop_bird(NODE)
    try:
        yield
    finally:
        cloud_side.start_bird(NODE)


@contextmanager
def nothing_advertised() -> Iterator[None]:
    cloud_side.birdc(NODE, "disable", "subnets")
    try:
        yield
    finally:
        cloud_side.birdc(NODE, "enable", "subnets")


NEIGHBOR = "neighbor 169.254.1.2 as 65010;"
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "other key": (partial(answered_otherwise, r"secret = \S+", "secret = 0x00"), "AuthenticationFailed", "Secret"),
    "other identity": (
        partial(answered_otherwise, r"(auth = psk\s+id = )203\.0\.113\.10", r"\g<1>203.0.113.99"),
        "AuthenticationFailed",
        "we say to be 203.0.113.10",
    ),
    "other IKE proposals": (
        partial(answered_otherwise, r" proposals = .*", " proposals = aes128-sha256-modp4096"),
        "NoProposalChosen",
        "aes256gcm16-prfsha256-ecp256",
    ),
    "other ESP proposals": (
        partial(answered_otherwise, r"esp_proposals = .*", "esp_proposals = aes128-sha256-modp4096"),
        "NoProposalChosen",
        "aes256gcm16-ecp256 for ESP",
    ),
    "narrowed traffic selectors": (
        partial(answered_otherwise, r"local_ts = 0\.0\.0\.0/0", "local_ts = 128.0.0.0/1", comes_up=True),
        "TsNarrowed",
        "128.0.0.0/1",
    ),
    "UDP 500 blocked": (partial(cut_off, f"ip daddr {CLOUD0} udp dport 500"), "UdpBlocked", "not on UDP 500"),
    "UDP 4500 blocked": (partial(cut_off, f"ip daddr {CLOUD0} udp dport 4500"), "UdpBlocked", "not on UDP 4500"),
    "both blocked": (partial(cut_off, f"ip daddr {CLOUD0}"), "PeerUnreachable", "UDP 4500: silent"),
    "ESP dropped": (
        dropped_at("internet", "forward", f"ip daddr {CLOUD0} udp dport 4500 @th,64,32 != 0"),
        "DataPathDead",
        "UDP 500: answered, UDP 4500: answered",
    ),
    "ESP of all tunnels dropped": (
        dropped_at("internet", "forward", f"ip daddr {{ {CLOUD0}, {CLOUD1} }} udp dport 4500 @th,64,32 != 0"),
        "NothingAnswers",
        "UDP 500: answered, UDP 4500: answered",
    ),
    "MTU black hole": (
        dropped_at("internet", "forward", f"ip daddr {CLOUD0} ip length > 1300"),
        "LargePacketsLost",
        "as large as the MTU",
    ),
    "TCP 179 blocked": (no_tcp, "BgpPortSilent", "does not answer on TCP 179"),
    "MD5": (
        partial(told_otherwise, NEIGHBOR, f'{NEIGHBOR} password "x";'),
        "BgpSigned",
        "signs its TCP segments",
    ),
    "other ASN": (partial(told_otherwise, NEIGHBOR, NEIGHBOR.replace("65010", "65001")), "AsnMismatch", "localASN"),
    "no speaker": (no_router, "BgpPortRefused", "refuses TCP 179"),
    "nothing advertised": (nothing_advertised, "NothingReceived", "the peer advertises nothing"),
}


def first_of_tunnel() -> dict[str, Any]:
    return diagnosed(TUNNEL)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_cause_is_named(fault: str) -> None:
    make, reason, words = FAULTS[fault]
    with make():
        assert_named(reason, words, first_of_tunnel, 60)


def rekeyed() -> dict[str, Any]:
    """Again and again: what fails before ncgd has seen the new SA is not about its renewal."""
    ask_for_new_keys("child", ["us"])
    return first_of_tunnel()


def test_perfect_forward_secrecy_that_the_cloud_does_not_do() -> None:
    """The tunnel comes up all the same; what fails is the first rekey."""
    before = site_side.sa_ids(TUNNEL)
    with answered_otherwise(r"esp_proposals = .*", "esp_proposals = aes256gcm16", comes_up=True):
        until(lambda: site_side.sa_ids(TUNNEL) - before, 30, "a new IKE SA")
        site_side.healthy()
        assert_named("PfsMismatch", "cannot be renewed", rekeyed, 30)
        assert "PfsMismatch" in gateway.ncgctl("status").stdout
