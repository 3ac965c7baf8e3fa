"""What the loop asks of every source."""

from collections.abc import Callable
from typing import Protocol

from ncgd.model.event import IntentRead

Post = Callable[[IntentRead], None]
"""Puts an event into the mailbox; never blocks, called from the event loop only."""


class ResourceSource(Protocol):
    """Something that says what is wanted, for the life of the process."""

    async def run(self) -> None:
        """Post an IntentRead at the start and at each change; ends when cancelled."""
