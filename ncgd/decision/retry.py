"""Back-off per row: how long to wait after a failure."""

from dataclasses import dataclass

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 15.0
RENEWAL_SECONDS = (2.0, 60.0)
"""The same between repairs of a tunnel: what one cures may come back soon, and a filtered path is not hammered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts so far and when the next one is due (the loop's clock, seconds)."""

    attempts: int
    due: float
    text: str = ""
    row: object = None
    """The row that failed: another row for the same key need not wait."""


def again(
    previous: Retry | None,
    now: float,
    text: str = "",
    row: object = None,
    pauses: tuple[float, float] = (FIRST_SECONDS, LONGEST_SECONDS),
) -> Retry:
    """The retry after one more attempt: the first pause in seconds, doubled each time, at most the second."""
    attempts = (previous.attempts if previous else 0) + 1
    first, longest = pauses
    return Retry(attempts, now + min(first * 2 ** min(attempts - 1, 10), longest), text, row)
