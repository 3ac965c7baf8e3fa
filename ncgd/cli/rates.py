"""Counters that only grow, looked at now and then → what passes per second now."""

from collections import deque
from typing import Any

SPAN_SECONDS = 2.0
"""A rate is taken over that long at least, once there is so much: counters are read once a second."""


class Rates:
    """Of each tunnel, from one status after the other."""

    def __init__(self) -> None:
        self._marks: dict[str, deque[tuple[float, int, int]]] = {}
        """Time, and bytes in and out since we looked first, by tunnel."""
        self._counters: dict[str, tuple[int, int]] = {}

    def take(self, tunnels: list[dict[str, Any]], now: float) -> dict[str, tuple[float, float]]:
        """Bytes per second in and out, by tunnel, after one more look; ``now`` in seconds of a monotonic clock."""
        rates = {}
        for tunnel in tunnels:
            name, counters = tunnel["name"], (tunnel["carried"]["bytesIn"], tunnel["carried"]["bytesOut"])
            marks = self._marks.setdefault(name, deque([(now, 0, 0)]))
            before = self._counters.get(name, counters)
            # The counters of a new ncgd begin at 0.
            grown = [new - old if new >= old else new for new, old in zip(counters, before, strict=True)]
            self._counters[name] = counters
            _, total_in, total_out = marks[-1]
            marks.append((now, total_in + grown[0], total_out + grown[1]))
            while len(marks) > 2 and now - marks[1][0] >= SPAN_SECONDS:
                marks.popleft()
            first, last = marks[0], marks[-1]
            if last[0] > first[0]:
                seconds = last[0] - first[0]
                rates[name] = ((last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds)
        return rates
