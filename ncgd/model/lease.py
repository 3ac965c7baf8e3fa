"""The Lease that says which node is the gateway, and what a node's own object says of its part in that."""

from dataclasses import dataclass

from ncgd.model.prefix import IPAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A ``coordination.k8s.io`` Lease as the API server holds it."""

    holder: str = ""
    """Name of the node; empty when it was released."""
    instance: str = ""
    """Which process on that node wrote it last: two may go by one name."""
    address: IPAddress | None = None
    """The holder's node address."""
    transitions: int = 0
    duration_seconds: float = 0.0
    renewed: str = ""
    """As the holder wrote it. Tells one renewal from the next, and nothing else: clocks differ."""
    yields: str = ""
    """Why the holder would rather have another take over; empty while it would not."""
    version: str = ""
    """``resourceVersion``: a write says which version it replaces, and is refused when there is another by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidacy:
    """Whether a node may be the gateway."""

    is_candidate: bool
    """It carries the label."""
    is_cordoned: bool = False
    """``spec.unschedulable``: hands over to any other candidate, and takes over when there is none."""
    address: IPAddress | None = None
    """Where other nodes reach it."""
    why_not: str = ""
    """What is missing when it is no candidate, for people."""
