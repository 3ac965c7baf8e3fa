"""How fast ncgd may write to the API server, whatever happens."""

from collections.abc import Callable

PER_SECOND = 0.4
"""Sustained: leaves room for watches, and for renewing a lease, within one request per second."""
BURST = 10.0
"""A start, or a failover, is shown at once."""


class Pace:
    """A token bucket."""

    def __init__(self, clock: Callable[[], float], burst: float = BURST) -> None:
        """``clock``: monotonic seconds; ``burst``: requests that may be made at once."""
        self._clock = clock
        self._burst = burst
        self._tokens = burst
        self._at = clock()

    def wait(self) -> float:
        """Seconds until the next request may be made."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * PER_SECOND)
        self._at = now
        return max(0.0, (1.0 - self._tokens) / PER_SECOND)

    def spend(self) -> None:
        """A request is made."""
        self._tokens -= 1.0
