"""What only ever grows while ncgd runs: counted from events, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ncgd.model.ike import Traffic


class Negotiation(StrEnum):
    """How the SAs of a tunnel came to be others."""

    NEW = "new"
    """A new IKE SA: the first one, one after an outage, a repair, or one for a changed configuration."""
    IKE_REKEY = "ike_rekey"
    """The IKE SA was rekeyed (IKEv1: reauthenticated) and kept its children."""
    ESP_REKEY = "esp_rekey"
    """The child was rekeyed, by either side."""


class Setback(StrEnum):
    """What befell a program."""

    ENDED = "ended"
    """It ended, or could not be started; known of those that ncgd supervises."""
    UNREACHABLE = "unreachable"
    """It ceased to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelTally:
    """Of one tunnel, since ncgd first saw it."""

    carried: Traffic = field(default_factory=Traffic)
    """Through its SAs, over all their lives; the last second of an SA that ends may be missing."""
    children: Mapping[str, Traffic] = field(default_factory=dict)
    """What of that each of the last children had carried when it was last read, by its id."""
    negotiations: Mapping[Negotiation, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of everything, since ncgd started."""

    tunnels: Mapping[str, TunnelTally] = field(default_factory=dict)
    refused_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that a driver could not write, by table; a row that is tried again counts again."""
    setbacks: Mapping[tuple[str, Setback], int] = field(default_factory=dict)
    """By program: ``charon`` stands for all IKE daemons."""
