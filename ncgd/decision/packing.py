"""Which prefix travels in which slice. What is in a slice stays there, so that a changed prefix rewrites one slice.

The active gateway publishes what it forwards and what it protects. What it finds published, it keeps until every peer
has sent its whole table without it: on other nodes a prefix that is let go has no protection any more. An emptied slice
stays, since a slice that is gone says nothing: anybody may have deleted it. Mutable, like the RIB, and for its reason.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace

from ncgd.model.prefix import Prefix
from ncgd.model.route_slice import SLICE_PREFIXES, RouteSlice


class Packing:
    """The slices as they are in the API, and as they should be during a term of ours."""

    def __init__(self) -> None:
        """Nothing is known of the API, and it is nobody's term."""
        self.held: dict[str, RouteSlice] = {}
        self.damaged: frozenset[str] = frozenset()
        """Slices in the API that nobody can understand."""
        self.is_read = False
        self.rows: dict[str, RouteSlice] = {}
        """As they should be; empty while it is not our term."""
        self._stamp: RouteSlice | None = None
        self._home: dict[Prefix, str] = {}
        self._adopted: set[Prefix] = set()
        """Published by another, and nobody has spoken of them since."""
        self._with_room: set[str] = set()
        self._heard: dict[str, frozenset[Prefix]] = {}
        """What each slice held last, on a node that is not the gateway."""

    @property
    def published(self) -> frozenset[Prefix]:
        """Every prefix in the API."""
        return frozenset().union(*(row.prefixes for row in self.held.values()))

    @property
    def ours(self) -> dict[str, RouteSlice]:
        """Of what the API holds, the slices of our gateway during our term."""
        gateway = self._stamp.gateway if self._stamp else None
        return {name: row for name, row in self.held.items() if row.gateway == gateway}

    @property
    def has_spoken(self) -> bool:
        """Whether a slice of our term is in the API."""
        stamp = self._stamp
        return stamp is not None and any(
            (row.node, row.epoch) == (stamp.node, stamp.epoch) for row in self.ours.values()
        )

    def read(self, slices: Mapping[str, RouteSlice], damaged: frozenset[str] = frozenset()) -> None:
        """Take over what the API holds. Equal rows are kept as one object: comparing them is then no work."""
        known = {**self.held, **self.rows}
        self.held = {name: known[name] if known.get(name) == row else row for name, row in slices.items()}
        self.damaged, self.is_read = damaged, True

    def hear(self, epoch: int) -> frozenset[Prefix]:
        """What a node is to believe while ``epoch`` is the Lease's: only what was written in this term takes away."""
        for name, row in self.held.items():
            before = self._heard.get(name, frozenset()) if row.epoch < epoch else frozenset()
            self._heard[name] = row.prefixes | before
        return frozenset().union(*self._heard.values())

    def begin(self, gateway: str, node: str, epoch: int) -> bool:
        """Our term, as this gateway's holder with this epoch; True when it has just begun: touch what is wanted."""
        stamp = RouteSlice(name="", gateway=gateway, node=node, epoch=epoch)
        if not self.is_read or stamp == self._stamp:
            return False
        self._stamp, self.rows, self._home, self._with_room = stamp, {}, {}, set()
        self._adopted, self._heard = set(), {}
        return True

    def adopt(self) -> set[Prefix]:
        """Take over slices that another has written, before our term or late; returns what is new in them."""
        fresh: set[Prefix] = set()
        for name in sorted(self.ours.keys() - self.rows.keys(), key=_number):
            prefixes = self.held[name].prefixes.difference(self._home)
            self._home |= dict.fromkeys(prefixes, name)
            self._fill(name, prefixes)
            fresh |= prefixes
        self._adopted |= fresh
        return fresh

    def end(self) -> None:
        """Our term is over; what the API holds is another's."""
        self._stamp, self.rows = None, {}

    def update(self, spoken: Iterable[Prefix], is_wanted: Callable[[Prefix], bool], *, may_remove: bool) -> None:
        """Look at these prefixes again. With ``may_remove``, also at those from before our term."""
        if self._stamp is None:
            return
        batch = set(spoken)
        self._adopted -= batch
        if may_remove and self._adopted:
            batch |= self._adopted
            self._adopted = set()
        for name in self.damaged - self.rows.keys() if may_remove else ():
            self._fill(name, frozenset())
        wanted = {prefix for prefix in batch if is_wanted(prefix)}
        self._drop((batch - wanted) & self._home.keys())
        self._add(wanted - self._home.keys())

    def _drop(self, prefixes: Set[Prefix]) -> None:
        losing: dict[str, set[Prefix]] = {}
        for prefix in prefixes:
            losing.setdefault(self._home.pop(prefix), set()).add(prefix)
        for name, gone in losing.items():
            self._fill(name, self.rows[name].prefixes - gone)

    def _add(self, prefixes: Set[Prefix]) -> None:
        waiting = sorted(prefixes)
        while waiting or not self.rows:  # there is always one slice, so that "no prefix" can be told from "no slice"
            name = min(self._with_room, key=_number, default=None) or self._new_name()
            before = self.rows[name].prefixes if name in self.rows else frozenset[Prefix]()
            room = SLICE_PREFIXES - len(before)
            moved, waiting = waiting[:room], waiting[room:]
            self._home |= dict.fromkeys(moved, name)
            self._fill(name, before.union(moved))

    def _fill(self, name: str, prefixes: frozenset[Prefix]) -> None:
        if self._stamp is None:
            return
        row = replace(self._stamp, name=name, prefixes=prefixes)
        held = self.held.get(name)
        self.rows[name] = held if held is not None and held == row else row
        if len(prefixes) < SLICE_PREFIXES:
            self._with_room.add(name)
        else:
            self._with_room.discard(name)

    def _new_name(self) -> str:
        taken = {_number(name) for name in (*self.rows, *self.damaged)}
        gateway = self._stamp.gateway if self._stamp else ""
        return f"{gateway}-{next(number for number in range(len(taken) + 1) if number not in taken)}"


def _number(name: str) -> int:
    """The number at the end of a slice's name; a name that is not one of ours comes last."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 1 << 30
