"""One thing that is wrong with an object, before it is known where the object stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ncgd.model.spec import Finding, ObjectRef

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule at a dotted field path, e.g. ``spec.peer.publicIP``; with ``is_error=False`` a warning."""

    field: str
    reason: str
    message: str
    hint: str = ""
    is_error: bool = True

    def at(self, where: str, ref: ObjectRef | None = None) -> Finding:
        """The finding for an object: ``where`` is file and document, the object's name is added."""
        return Finding(
            reason=self.reason,
            where=f"{where}, {ref}" if ref else where,
            field=self.field,
            message=self.message,
            hint=self.hint,
            is_error=self.is_error,
            ref=ref,
        )


def shown(value: object) -> str:
    """A value as it appears in a message: quoted if it is text, and never longer than a line."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'publicIP'?`` for the known word that looks most like it; empty if none does."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word[:100].lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""
