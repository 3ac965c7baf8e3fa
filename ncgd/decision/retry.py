"""Back-off per row: how long to wait after a failure."""

from dataclasses import dataclass

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0
REPAIR_PAUSES = (5.0, 30.0, 120.0, 300.0)
"""Seconds from one repair of a tunnel to the next; the last holds on. A path that is filtered is not hammered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts so far and when the next one is due (the loop's clock, seconds)."""

    attempts: int
    due: float
    text: str = ""
    row: object = None
    """The row that failed: another row for the same key need not wait."""


def again(
    previous: Retry | None, now: float, text: str = "", row: object = None, pauses: tuple[float, ...] = ()
) -> Retry:
    """The retry after one more attempt: by ``pauses``, else 0.5 s, doubled each time, at most 15 s."""
    attempts = (previous.attempts if previous else 0) + 1
    pause = min(FIRST_SECONDS * 2 ** min(attempts - 1, 10), LONGEST_SECONDS)
    if pauses:
        pause = pauses[min(attempts, len(pauses)) - 1]
    return Retry(attempts, now + pause, text, row)
