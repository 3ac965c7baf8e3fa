"""What every source does with a new state: post it when it differs, and let go of keys that nobody needs."""

from ncgd.model.event import IntentRead
from ncgd.model.secret import Vault
from ncgd.resources.load import Loaded
from ncgd.sources.port import Post


class Announcer:
    """Posts states that differ from the last one."""

    def __init__(self, vault: Vault, post: Post) -> None:
        """``vault`` keeps the keys of the state posted last and of the one before."""
        self._vault = vault
        self._post = post
        self._posted: Loaded | None = None

    def offer(self, state: Loaded) -> None:
        """Post the intent of a state, unless it is in force already."""
        if self._posted is not None and state.intent == self._posted.intent:
            return
        # Rows that are being written now still refer to the keys of the last intent.
        last = self._posted.secret_refs if self._posted else frozenset()
        self._vault.retain(state.secret_refs | last)
        self._posted = state
        self._post(IntentRead(intent=state.intent))
