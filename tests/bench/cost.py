"""What processes cost: memory as PSS, processor time. From proc(5)."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found, rest = [], [pid]
    while rest:
        each = rest.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):  # a child belongs to the thread that started it
            with suppress(OSError):
                rest += map(int, children.read_text().split())
    return found


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional set size in MB (10^6 bytes): shared pages are shared out, so sums are right."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS
