"""How a source tells the loop what is wanted."""

from collections.abc import Callable

from ncgd.model.event import IntentRead

Post = Callable[[IntentRead], None]
"""Puts an event into the mailbox; never blocks, called from the event loop only."""
