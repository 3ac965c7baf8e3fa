"""How often values fell where, over time: what Prometheus calls a classic histogram."""

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values counted by range; a value that equals a bound counts below it."""

    bounds: tuple[float, ...]
    """Upper bounds of the ranges, ascending; one more range has none."""
    counts: tuple[int, ...]
    """By range, not added up."""
    total: float = 0.0
    """Sum of all values."""

    @classmethod
    def of(cls, *bounds: float) -> "Histogram":
        """Nothing counted yet."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    def plus(self, value: float) -> "Histogram":
        """With one more value."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return replace(self, counts=counts, total=self.total + value)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many values lay at or below each bound, and how many there were."""
        return tuple(accumulate(self.counts))
