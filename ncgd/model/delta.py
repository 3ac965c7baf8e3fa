"""The one reconcile primitive: the difference between a wanted and an observed table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Delta(Generic[K, V]):
    """What must change in a keyed table: rows to set (create or replace) and keys to remove."""

    set: Mapping[K, V] = field(default_factory=dict)
    remove: frozenset[K] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.set or self.remove)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[K]):
    """What a driver made of a delta: failures by key, each a text that names what, where and what to do.

    A key that is not in ``failed`` was done. Half of a table may succeed.
    """

    failed: Mapping[K, str] = field(default_factory=dict)


def diff(desired: Mapping[K, V], observed: Mapping[K, V]) -> Delta[K, V]:
    """The delta that turns ``observed`` into ``desired``; equal rows are left alone."""
    absent = object()
    return Delta(
        set={key: row for key, row in desired.items() if observed.get(key, absent) != row},
        remove=frozenset(key for key in observed if key not in desired),
    )
