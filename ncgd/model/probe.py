"""Probing the data path of a tunnel: what to probe, and what is known of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address

from ncgd.model.histogram import Histogram
from ncgd.model.spec import Liveness

ROUND_TRIP_BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""Of round trips, in seconds."""


class Pulse(StrEnum):
    """What the probe says of a tunnel."""

    UNPROVEN = "Unproven"
    """No echo was ever answered: the probe says nothing."""
    ALIVE = "Alive"
    SUSPECT = "Suspect"
    """Echoes are lost, and the load may be why."""
    DEAD = "Dead"
    RECOVERING = "Recovering"
    """Answers again, but not for long enough yet to be trusted with traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One tunnel to probe: ICMP echo from ``local`` out of ``interface`` to ``remote`` (DESIGN §6)."""

    tunnel: str
    interface: str
    local: IPv4Address
    remote: IPv4Address
    mtu: int
    """Of the interface, in bytes: now and then an echo is that large."""
    settings: Liveness


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What one interval brought."""

    is_answered: bool
    """An echo of ours was answered."""
    received: int = 0
    """Other packets that came out of the tunnel."""
    sent_bytes: int = 0
    """Bytes that went into the tunnel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitality:
    """The pulse of a tunnel and what it follows from. Times in seconds of a monotonic clock."""

    pulse: Pulse = Pulse.UNPROVEN
    since: float = 0.0
    lost: int = 0
    """Echoes lost in a row."""
    silent: int = 0
    """How many of these were the last in a row, with no load that would explain it."""
    borne_received: float = 0.0
    borne_sent: float = 0.0
    """Packets received and bytes sent in an interval under which echoes were answered of late."""
    strain: float = 0.0
    """Share of echoes lost of late, 0 to 1, in runs that an answer has ended."""
    good_since: float | None = None
    """While recovering: since when every echo has been answered."""

    @property
    def is_proven(self) -> bool:
        """Whether an echo was ever answered."""
        return self.pulse != Pulse.UNPROVEN

    @property
    def is_doubted(self) -> bool:
        """Whether the last echo was lost, and the tunnel carries traffic all the same: each further answer matters."""
        return self.lost > 0 and self.pulse in {Pulse.ALIVE, Pulse.SUSPECT}

    @property
    def may_carry(self) -> bool:
        """Whether traffic may use the tunnel, as far as the probe can tell."""
        return self.pulse in {Pulse.UNPROVEN, Pulse.ALIVE, Pulse.SUSPECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoTally:
    """What came of the echoes to one tunnel's far end, since ncgd began to probe it."""

    round_trips: Histogram = field(default_factory=lambda: Histogram.of(*ROUND_TRIP_BOUNDS))
    """Of those that were answered, in seconds."""
    lost: int = 0
    """Those that no answer came to within a second, once an echo had been answered at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """A tunnel's vitality, and what the last seconds of probing showed."""

    vitality: Vitality = Vitality()
    rtt_seconds: float | None = None
    """Median round trip; None without an answer."""
    loss: float = 0.0
    """Share of echoes lost, 0 to 1: of those sent while the path was up; of all, while it is not."""
    large_lost: int | None = None
    """Echoes as large as the MTU lost in a row, of one a second; None until one was answered: some peers never do."""
    received: int = 0
    """Other packets that came out of the tunnel within the last second."""
    tally: EchoTally = field(default_factory=EchoTally)
