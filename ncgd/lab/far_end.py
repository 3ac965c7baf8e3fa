"""What the lab's cloud is like as a peer: Google's by default, or another one as its public documents have it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FarEnd:
    """How a cloud answers IKE and BGP. Proposals as in swanctl.conf, times in seconds."""

    ike_proposals: str
    esp_proposals: str
    ike_seconds: int
    """Age at which it rekeys the IKE SA itself."""
    esp_seconds: int
    dpd_seconds: int
    hold: int
    keepalive: int
    is_passive: bool = False
    """It waits for us to open the BGP session."""
    restarts_gracefully: bool = False
    most_prefixes: int
    """More from us, and it ends the session."""


_GROUPS = "curve25519-ecp256-ecp384-modp2048-modp4096"
GOOGLE = FarEnd(
    ike_proposals=f"aes256gcm16-aes128gcm16-prfsha256-prfsha384-prfsha512-{_GROUPS},aes256-aes128-sha256-sha1-{_GROUPS}",
    esp_proposals=f"aes256gcm16-aes128gcm16-{_GROUPS},aes256-aes128-sha256-{_GROUPS}",
    ike_seconds=36_000,
    esp_seconds=10_800,
    dpd_seconds=20,
    hold=60,
    keepalive=20,
    restarts_gracefully=True,
    most_prefixes=5000,
)
"""Cloud VPN, "Supported IKE ciphers"; Cloud Router, "BGP parameters"."""
_AWS_GROUPS = "modp1024-modp2048-modp3072-modp4096-ecp256-ecp384-ecp521"
AWS = FarEnd(
    ike_proposals=f"aes128-aes256-sha1-sha256-sha384-sha512-{_AWS_GROUPS},"
    f"aes128gcm16-aes256gcm16-prfsha1-prfsha256-prfsha384-prfsha512-{_AWS_GROUPS}",
    esp_proposals=f"aes128-aes256-sha1-sha256-sha384-sha512-{_AWS_GROUPS},aes128gcm16-aes256gcm16-{_AWS_GROUPS}",
    ike_seconds=28_260,
    esp_seconds=3_060,
    dpd_seconds=30,
    hold=30,
    keepalive=10,
    most_prefixes=100,
)
"""AWS Site-to-Site VPN, "Tunnel options" (lifetimes 28 800 s and 3600 s, rekeyed 540 s earlier) and "Quotas"."""
AZURE = FarEnd(
    ike_proposals="aes256gcm16-prfsha256-ecp256",
    esp_proposals="aes256gcm16-ecp256",
    ike_seconds=28_800,
    esp_seconds=27_000,
    dpd_seconds=45,
    hold=180,
    keepalive=60,
    is_passive=True,
    most_prefixes=4000,
)
"""Azure VPN Gateway with the one policy of the example: "Configure custom IPsec/IKE connection policies", "FAQ"."""
_BY_EXAMPLE = {"aws": AWS, "azure": AZURE}


def far_end_of(example: str) -> FarEnd:
    """The far end that an example is for, by the name of its folder."""
    return _BY_EXAMPLE.get(example, GOOGLE)
