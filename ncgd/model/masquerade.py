"""Source addresses: who keeps theirs, and what would have changed them."""

from dataclasses import dataclass

from ncgd.model.prefix import Prefix

TABLE = "inet ncgd_masquerade"
"""The exemption's table in nftables: family and name."""


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """A network of ours that the peers are told of: what comes from them to it keeps its source address too."""

    prefix: Prefix
