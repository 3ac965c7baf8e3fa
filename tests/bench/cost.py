"""What processes cost: memory as PSS, processor time. From proc(5)."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


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
    """Proportional set size in MB (10^6 bytes): shared pages are shared out, so sums are right.

    Raises ProcessLookupError when none of them is there any more.
    """
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # a child that has ended meanwhile has none
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    if not total:
        raise ProcessLookupError("all that was to be measured has ended")
    return total * 1024 / 1e6


def cpu_seconds(pids: Iterable[int]) -> float:
    """Time on a processor so far, of all threads, to the nanosecond (``schedstat``; ``stat`` has whole ticks)."""
    threads = (thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
