"""Back-off per row: how long to wait after a failure."""

from dataclasses import dataclass

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts so far and when the next one is due (the loop's clock, seconds)."""

    attempts: int
    due: float
    text: str = ""
    row: object = None
    """The row that failed: another row for the same key need not wait."""


def again(previous: Retry | None, now: float, text: str = "", row: object = None) -> Retry:
    """The retry after one more attempt: 0.5 s, doubled each time, at most 15 s."""
    attempts = (previous.attempts if previous else 0) + 1
    return Retry(attempts, now + min(FIRST_SECONDS * 2 ** min(attempts - 1, 10), LONGEST_SECONDS), text, row)
