"""MSS clamping: what the nftables table holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MssClamp:
    """Largest TCP segment through one tunnel interface, both directions, in bytes."""

    interface: str
    mss_v4: int
    mss_v6: int
