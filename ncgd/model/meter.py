"""Counters that only grow, looked at now and then → what passes per second now."""

from collections import deque
from dataclasses import dataclass, field

SPAN_SECONDS = 2.0
"""A rate is taken over that long at least, once there is so much: counters are read once a second."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One look: when, by a monotonic clock, and bytes in and out until then."""

    seconds: float
    bytes_in: int
    bytes_out: int

    def rates_until(self, later: "Mark") -> tuple[float, float]:
        """Bytes per second in and out between the two; none where no time has passed."""
        seconds = later.seconds - self.seconds
        if seconds <= 0:
            return 0.0, 0.0
        return (later.bytes_in - self.bytes_in) / seconds, (later.bytes_out - self.bytes_out) / seconds


@dataclass(slots=True)
class Meter:
    """The last looks at the counters of one tunnel; few, however often one looks."""

    _marks: deque[Mark] = field(default_factory=deque)

    def take(self, mark: Mark) -> tuple[float, float]:
        """Bytes per second in and out, after one more look."""
        marks = self._marks
        if marks and (mark.bytes_in < marks[-1].bytes_in or mark.bytes_out < marks[-1].bytes_out):
            marks = self._marks = deque([Mark(marks[-1].seconds, 0, 0)])  # the counters of a new ncgd begin at 0
        if not marks or mark.seconds - marks[-1].seconds >= SPAN_SECONDS / 4:
            marks.append(mark)
        while len(marks) > 1 and mark.seconds - marks[1].seconds >= SPAN_SECONDS:
            marks.popleft()
        return marks[0].rates_until(mark)
