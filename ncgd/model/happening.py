"""What has happened on this node, for whoever looks back: entries of the timeline."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that has just happened. ``reason`` is one CamelCase word, ``object`` is named as in problems."""

    object: str
    reason: str
    message: str
    is_warning: bool = False
    is_ongoing: bool = False
    """More of it, soon after, belongs to the same entry, whose count grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A happening in its place. Times are the machine's own, RFC 3339, UTC, with milliseconds."""

    number: int
    """1 for the first; the order, whatever the clock says. Goes on where the last ncgd has ended."""
    time: str
    last_time: str
    """The same, unless it went on, or happened again."""
    count: int = 1
    replaces: int = 0
    """Number of the entry that this one stands for from now on, as it has happened again; 0: of none."""
    happening: Happening
