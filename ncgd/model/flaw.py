"""What is wrong with the file that remembers the guarded prefixes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A reason code, and for people: what, where, and what to do."""

    reason: str
    message: str
    hint: str
