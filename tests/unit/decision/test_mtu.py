"""The MTU table of Cloud VPN ("MTU considerations") and AWS, reproduced."""

import pytest

from ncgd.decision.mtu import payload_bytes


@pytest.mark.parametrize(
    ("proposal", "version", "encap", "outer", "payload"),
    [
        ("aes256gcm16-ecp256", 4, False, 1460, 1406),
        ("aes256gcm16-ecp256", 6, False, 1460, 1386),
        ("aes256gcm16-ecp256", 4, False, 1440, 1386),
        ("aes256gcm16-ecp256", 6, False, 1440, 1366),
        ("aes256gcm16-ecp256", 4, True, 1460, 1398),
        ("aes128-sha1-modp1024", 4, False, 1460, 1390),
        ("aes128-sha256-modp2048", 4, False, 1460, 1390),
        ("aes128-sha1-modp1024", 6, False, 1460, 1370),
        ("aes256-sha512-modp2048", 4, False, 1460, 1374),
        ("aes256-sha512-modp2048", 6, False, 1460, 1354),
        ("aes128gcm16-modp2048", 4, False, 1500, 1446),
        ("aes128gcm16-modp2048", 4, True, 1500, 1438),
        ("aes128-sha256-modp2048", 4, True, 1500, 1422),
        ("aes256-sha384-modp2048", 4, False, 1500, 1422),
        ("aes256-sha512-modp2048", 4, True, 1500, 1406),
    ],
)
def test_published_figures(proposal: str, version: int, encap: bool, outer: int, payload: int) -> None:
    assert payload_bytes(proposal, outer_version=version, encap=encap, outer_mtu=outer) == payload
