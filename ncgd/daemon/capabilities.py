"""Which capabilities(7) this process has: what is missing is named before it shows as something else."""

from collections.abc import Mapping
from pathlib import Path

NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_ADMIN = 10, 12, 13, 21
"""Numbers of linux/capability.h."""
_NAMES = {
    NET_BIND_SERVICE: "NET_BIND_SERVICE",
    NET_ADMIN: "NET_ADMIN",
    NET_RAW: "NET_RAW",
    SYS_ADMIN: "SYS_ADMIN",
}


def effective(status: Path = Path("/proc/self/status")) -> frozenset[int]:
    """The numbers of the effective capabilities (proc(5), CapEff)."""
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    bits = int(line.split()[1], 16)
    return frozenset(number for number in range(bits.bit_length()) if bits >> number & 1)


def missing(needed: Mapping[int, str], have: frozenset[int]) -> str:
    """The needed ones that are not there, each with what for; empty when none is missing."""
    return ", ".join(f"CAP_{_NAMES[number]} ({why})" for number, why in needed.items() if number not in have)
