"""What a peer's graceful restart capability promises (RFC 4724 §3)."""

import pytest

from ncgd.drivers.exabgp.bridge import restart_seconds


@pytest.mark.parametrize(
    ("capability", "seconds"),
    [
        (None, None),
        ({"time": 120, "address-family-flags": []}, None),
        ({"time": 120, "address-family-flags": {"ipv4/unicast": []}}, 120),
    ],
    ids=["not announced", "helper only, as BIRD by default", "keeps forwarding"],
)
def test_only_a_peer_that_names_a_family_keeps_forwarding(
    capability: dict[str, object] | None, seconds: int | None
) -> None:
    assert restart_seconds(capability) == seconds
