"""What the loop asks of every driver."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import Event

Post = Callable[[Event], None]
"""Puts an event into the mailbox; never blocks, may be called from the event loop only."""

K = TypeVar("K")
V = TypeVar("V")


class OwnedTable(Protocol[K, V]):
    """A table that we read and change. Constructors do no I/O."""

    async def write(self, delta: Delta[K, V]) -> Outcome[K]:
        """Apply a delta; failures are values per key. Raises DriverError when nothing could be tried."""
