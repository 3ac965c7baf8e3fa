"""Where every event goes, and the only place the loop takes them from."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ncgd.model.event import Event, ProbesRead, SasRead


class Mailbox:
    """An unbounded queue that is emptied whole.

    Unbounded on purpose: what can be large (a peer's table) is bounded before it gets here, by the bridge, which
    keeps the table itself and sends no more than its client takes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """An empty mailbox; ``clock`` is the loop's."""
        self._events: deque[Event] = deque()
        self._clock = clock
        self._heard: float | None = None
        self._arrived = asyncio.Event()

    def post(self, event: Event) -> None:
        """Put an event in; never blocks. A routine one waits until something else happens, or until the timeout."""
        self._events.append(event)
        if not (isinstance(event, SasRead | ProbesRead) and event.is_routine):
            self._heard = self._clock() if self._heard is None else self._heard
            self._arrived.set()

    async def take(self, timeout_seconds: float | None) -> tuple[list[Event], float]:
        """Everything that is there, in order; waits for the first event that is not routine, or for the timeout.

        And when that event came in; now, when there is none.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        self._arrived.clear()
        events = list(self._events)
        self._events.clear()
        heard = self._clock() if self._heard is None else self._heard
        self._heard = None
        return events, heard
