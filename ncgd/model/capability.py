"""What this machine can do, and who starts charons on it."""

from dataclasses import dataclass
from enum import StrEnum


class CharonKeeper(StrEnum):
    """Who starts charons: the kernel dataplane has one, userspace ESP takes one for each tunnel."""

    NCGD = "ncgd"
    """ncgd supervises them."""
    FOLLOWER = "follower"
    """A program beside ncgd that ncgd tells which, where the kernel has no ESP; it has looked whether it can."""
    OTHERS = "others"
    """Somebody who is told nothing, and so starts the kernel's one only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What this machine can do, from the probe at start (``drivers.kernel.probe``)."""

    kernel_esp: bool
    """XFRM interfaces, ESP and AES-GCM work."""
    kernel_detail: str
    """For people: which check said what, with errno."""
    userspace_esp: bool
    """/dev/net/tun opens and charon's kernel-libipsec plugin is installed."""
    userspace_detail: str
    """For people: what of it is missing."""
    may_administer: bool = True
    """False without CAP_NET_ADMIN: nothing can be programmed."""

    @property
    def detail(self) -> str:
        """All of it, for people."""
        return f"{self.kernel_detail}; {self.userspace_detail}"
