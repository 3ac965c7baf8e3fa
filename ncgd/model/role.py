"""Which part this ncgd plays among those that share one gateway."""

from dataclasses import dataclass
from enum import StrEnum

from ncgd.model.prefix import IPAddress
from ncgd.model.reason import RoleReason


class Part(StrEnum):
    """What an ncgd is to its gateway."""

    STANDALONE = "Standalone"
    """The only one there is (resources come from a folder): does everything itself."""
    UNDECIDED = "Undecided"
    """Nothing has been read of who is active: whatever runs is left as it is."""
    ACTIVE = "Active"
    """Holds the Lease: tunnels, sessions and their status are its own."""
    STANDBY = "Standby"
    """A candidate; another holds the Lease, or soon will."""
    NODE = "Node"
    """No candidate: only sends what is for the VPC to the active one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """The part, who is active, and why. Equal roles ask for the same."""

    part: Part = Part.STANDALONE
    holder: str = ""
    """Name of the node that is active now; empty while nobody is, as far as is known."""
    holder_address: IPAddress | None = None
    """Where other nodes send what is for the VPC."""
    epoch: int = 0
    """How often the Lease has changed hands (``leaseTransitions``): larger is later."""
    may_initiate: bool = True
    """False on an active one whose Lease has run out unrenewed: it keeps what works, and begins nothing new."""
    reason: RoleReason = RoleReason.STANDALONE
    message: str = "resources come from a folder"
    """Why, for people."""

    @property
    def is_gateway(self) -> bool:
        """Whether tunnels and sessions are this ncgd's own."""
        return self.part in {Part.STANDALONE, Part.ACTIVE}

    @property
    def is_decided(self) -> bool:
        """False while it is not known whether what runs here is to run."""
        return self.part != Part.UNDECIDED


STANDALONE = Role()
"""Of an ncgd that shares its gateway with nobody."""
