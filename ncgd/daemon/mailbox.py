"""Where every event goes, and the only place the loop takes them from."""

import asyncio
from collections import deque
from contextlib import suppress

from ncgd.model.event import Event, ProbesRead, SasRead


class Mailbox:
    """An unbounded queue that is emptied whole.

    Unbounded on purpose: what can be large (a peer's table) is bounded before it gets here, by the bridge, which
    keeps the table itself and sends no more than its client takes.
    """

    def __init__(self) -> None:
        """An empty mailbox."""
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()

    def post(self, event: Event) -> None:
        """Put an event in; never blocks. A routine one waits until something else happens, or until the timeout."""
        self._events.append(event)
        if not (isinstance(event, SasRead | ProbesRead) and event.is_routine):
            self._arrived.set()

    async def take(self, timeout_seconds: float | None) -> list[Event]:
        """Everything that is there, in order; waits for the first event that is not routine, or for the timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        self._arrived.clear()
        events = list(self._events)
        self._events.clear()
        return events
