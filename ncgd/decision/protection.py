"""No leak: which prefixes may leave through a tunnel only, and the rows in three places that see to it (DESIGN §5).

- ``backstops``: ``unreachable`` routes, for the moment in which the kernel has lost a route.
- ``guard``: nftables, for what some other route or rule would carry out of another interface.
- ``disk``: a file, so that the next ncgd has both before any session is up, though the kernel was started anew.

Beside them ``exempt``: prefixes towards which nobody's masquerade changes the source address, protected or not.

A prefix is protected from the moment a path through a tunnel is accepted until live peers have withdrawn it. What an
earlier ncgd protected (``memory``) stays so until every peer has sent its whole table without it. Mutable, like the
RIB, and for its reason.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from itertools import chain, islice

from ncgd.decision.rib import Decision, Ranking
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.masquerade import Extra
from ncgd.model.prefix import Prefix

AT_ONCE = 10_000
"""Prefixes that a pass takes up: some milliseconds of work."""
SAVE_SECONDS = 1.0
"""The file is written that often at most, and less often when it is long."""
SAVE_SECONDS_EACH = 2e-5
DEFAULT_ROUTES = frozenset((px.make(4, 0, 0), px.make(6, 0, 0)))
"""Never in the guard: it would stop all that more specific routes rightly send elsewhere, ESP among it. Nor exempt."""
LOOPBACK = "lo"
"""What stays on this machine does not leave it."""
FORGET_SECONDS = 30.0
"""How long a prefix that needs no protection any more may stay in the file: most come back."""


class Rows:
    """The protected prefixes that one place holds, and those that may have to change there."""

    def __init__(self) -> None:
        """``is_read`` is False until what an earlier ncgd has left there is known."""
        self.held: set[Prefix] = set()
        self.is_read = False
        self.is_writing = False
        self._dirty: set[Prefix] = set()
        self._failed: set[Prefix] = set()
        self._meddled: set[Prefix] = set()

    @property
    def is_due(self) -> bool:
        """True while prefixes wait to be looked at."""
        return bool(self._dirty) and self.is_read and not self.is_writing

    @property
    def is_settled(self) -> bool:
        """True when what should be there is there, but for what failed."""
        return self.is_read and not self.is_writing and not self._dirty

    @property
    def is_done(self) -> bool:
        """True when nothing is being written, nor waits to be, nor has failed."""
        return not self.is_writing and not self._dirty and not self._failed

    def touch(self, prefixes: Set[Prefix], wanted: Set[Prefix]) -> None:
        """Look at these again, where what is there differs from what is ``wanted`` of them."""
        if self.is_read and not self.is_writing:
            self._dirty |= wanted - self.held
            self._dirty |= (prefixes & self.held) - wanted
        else:  # what is being written may be there in a moment, or gone
            self._dirty |= prefixes

    def read(self, held: Iterable[Prefix], pending: Set[Prefix]) -> None:
        """Take over what is there; what is ``pending`` is looked at later."""
        found = set(held)
        self._dirty |= (found ^ self.held) - pending
        self.held, self.is_read = found, True

    def meddled(self, rows: Mapping[Prefix, bool]) -> int:
        """Somebody else has added (True) or removed these; returns how many that is news of (drift)."""
        if not self.is_read:
            return 0
        changed = {prefix for prefix, is_there in rows.items() if (prefix in self.held) != is_there}
        self.held ^= changed
        self._meddled |= changed
        return len(changed)

    def repair(self) -> None:
        """Look again at what others changed."""
        self._dirty |= self._meddled
        self._meddled = set()

    def take(self, limit: int | None) -> set[Prefix]:
        """Up to ``limit`` prefixes to look at; they count as looked at."""
        if limit is None or len(self._dirty) <= limit:
            taken, self._dirty = self._dirty, set()
        else:
            taken = set(islice(self._dirty, limit))
            self._dirty -= taken
        return taken

    def written(self, added: Set[Prefix], removed: Set[Prefix], failed: Iterable[Prefix]) -> None:
        """Take over the outcome of a write; what failed waits for ``retry``."""
        missed = set(failed)
        self.held |= added - missed
        self.held -= removed - missed
        self._failed = (self._failed - added - removed) | missed
        self.is_writing = False

    def retry(self) -> None:
        """Look again at what failed."""
        self._dirty |= self._failed
        self._failed = set()


class Protection:
    """Which prefixes are protected, why, and where."""

    def __init__(self) -> None:
        """Nothing is protected, and nothing is known of what an earlier ncgd did."""
        self.learned: set[Prefix] = set()
        """A path through a tunnel is accepted, perhaps of a session that is down."""
        self.mixed: set[Prefix] = set()
        """Those of them that a peer without a tunnel carries too: they may leave by other interfaces."""
        self.plain: set[Prefix] = set()
        """Learned, but through no tunnel: not protected, yet exempt from masquerade as the others are."""
        self.memory: set[Prefix] = set()
        """Protected by an earlier ncgd; no peer has spoken of them since."""
        self.remembered: set[Prefix] = set()
        """Those of them that the import policy would accept now."""
        self.backstops = Rows()
        self.guard = Rows()
        self.disk = Rows()
        self.exempt = Rows()
        """Prefixes towards which connections keep their source address, whatever others masquerade."""
        self.tables = {"guard": self.guard, "masquerade": self.exempt, "memory": self.disk}
        """Those of them that are tables of the plan, each written in one step, all or nothing."""
        self.is_exempting = False
        self.own: frozenset[Extra] = frozenset()
        """Networks of ours that the exemption knows, as it is."""
        self.exits: frozenset[str] = frozenset()
        """What the guard lets packets leave by, as it is: interfaces, and next hops as ``via ADDRESS``."""
        self._in_tunnel: frozenset[str] = frozenset()
        self._judged_by: Hashable = None
        self.unjudged: set[Prefix] = set()
        """Those of them that have not been held against the import policy yet."""
        self.moved: set[Prefix] = set()
        """Those whose protection may have changed since somebody last took this set."""
        self._look_at_disk = 0.0
        self._may_forget: float | None = None

    def update(self, changed: Decision) -> None:
        """Take over rankings that changed."""
        moved = self._place(changed)
        if self.memory:
            carried = (prefixes for ranking, prefixes in changed.items() if ranking is not None)
            spoken = self.memory.intersection(chain.from_iterable(carried))
            self.memory -= spoken
            self.remembered -= spoken
            self.unjudged -= spoken
            moved |= spoken
        self._touch(moved)

    def remember(self) -> None:
        """The peers are another ncgd's now, or ours: what was learned until now stays protected, as remembered."""
        prefixes, self.learned, self.mixed = self.learned, set(), set()
        self.memory |= prefixes
        self.remembered |= prefixes
        self._touch(prefixes)

    def protect(self, in_tunnel: frozenset[str], best: Mapping[Prefix, Ranking]) -> None:
        """What these peers send is to be protected, from now on and as far as it is known."""
        if in_tunnel != self._in_tunnel:
            self._in_tunnel = in_tunnel
            alike: defaultdict[Ranking | None, list[Prefix]] = defaultdict(list)
            for prefix, ranking in best.items():
                alike[ranking].append(prefix)
            self._touch(self._place(alike))

    def exempting(self, *, is_wanted: bool) -> None:
        """Whether the exemption from masquerade is wanted."""
        if is_wanted != self.is_exempting:
            self.is_exempting = is_wanted
            everything = self.learned | self.plain | self.remembered | self.exempt.held
            self.exempt.touch(everything, self._to_exempt(everything))

    def found(self, rows: Rows, held: Iterable[Prefix], best: Mapping[Prefix, Ranking]) -> None:
        """What one of the three places holds. What is there at the start, an earlier ncgd has protected."""
        if not rows.is_read:
            self.adopt(prefix for prefix in held if prefix not in best)
        rows.read(held, self.unjudged)

    def adopt(self, prefixes: Iterable[Prefix]) -> None:
        """An earlier ncgd has protected these, here or on another node."""
        fresh = set(prefixes) - self.memory - self.learned - self.plain
        self.memory |= fresh
        self.unjudged |= fresh
        self.disk.touch(fresh, fresh)

    def judge(self, is_acceptable: Callable[[Prefix], bool], key: Hashable) -> None:
        """Go on finding out what of ``memory`` would be accepted now; ``key`` tells one policy from another.

        Until then it is left as it is.
        """
        if key != self._judged_by:
            self._judged_by, self.unjudged = key, set(self.memory)
        chunk = set(islice(self.unjudged, AT_ONCE))
        self.unjudged -= chunk
        good = {prefix for prefix in chunk if is_acceptable(prefix)}
        self.remembered |= good
        self.remembered -= chunk - good
        self._touch(chunk)

    def forget(self) -> None:
        """All that has to be protected has been told: nothing is remembered any more."""
        if self.memory:
            forgotten = self.memory
            self.memory, self.remembered, self.unjudged = set(), set(), set()
            self._touch(forgotten)

    def uninstalled(self, prefixes: Iterable[Prefix]) -> None:
        """Routes are gone, so what protected them may go too."""
        self._touch(set(prefixes))

    def change_backstops(
        self, is_leaving: Callable[[Prefix], bool], routes: Mapping[Prefix, int | None]
    ) -> dict[Prefix, bool]:
        """Backstops to install (True) and to remove; one stays while its route does, which may go with ``routes``."""
        if not self.backstops.is_due:
            return {}
        chunk = self.backstops.take(AT_ONCE)
        wanted, held = self._wanted(chunk), self.backstops.held
        change = dict.fromkeys(wanted - held, True)
        for prefix in (chunk & held) - wanted - self.unjudged:
            if not is_leaving(prefix) or routes.get(prefix, 0) is None:
                change[prefix] = False
        self.backstops.is_writing = bool(change)
        return change

    def change_guard(
        self, exits: frozenset[str], is_leaving: Callable[[Prefix], bool], *, may_close: bool
    ) -> Delta[object, object]:
        """What to change in the guard: prefixes that may leave by these exits only. It goes after their routes.

        With ``may_close`` False an exit that is let pass stays so: its tunnel may only not be known yet.
        """
        if self.guard.is_writing or not self.guard.is_read:
            return Delta()
        chunk = self.guard.take(AT_ONCE)
        wanted, held = self._wanted(chunk) - self.mixed - DEFAULT_ROUTES, self.guard.held
        remove = [prefix for prefix in (chunk & held) - wanted - self.unjudged if not is_leaving(prefix)]
        passing = exits | {LOOPBACK} if self.learned or self.remembered or held else frozenset[str]()
        closed = self.exits - passing if may_close else frozenset()
        added: list[object] = [*(wanted - held), *(passing - self.exits)]
        delta: Delta[object, object] = Delta(set=dict.fromkeys(added), remove=frozenset((*remove, *closed)))
        self.guard.is_writing = bool(delta)
        return delta

    def change_exemption(self, own: frozenset[Extra], is_leaving: Callable[[Prefix], bool]) -> Delta[object, object]:
        """What to change in the exemption from masquerade. ``own``: what peers are told of, none inside another."""
        rows = self.exempt
        if rows.is_writing or not rows.is_read:
            return Delta()
        chunk = rows.take(AT_ONCE)
        wanted = self._to_exempt(chunk)
        add = wanted - rows.held
        gone = (chunk & rows.held) - wanted - self.unjudged
        remove = {prefix for prefix in gone if not (self.is_exempting and is_leaving(prefix))}
        if not add and len(remove) == len(rows.held):
            own = frozenset()
        delta: Delta[object, object] = Delta(
            set=dict.fromkeys([*add, *(own - self.own)]),
            remove=frozenset([*remove, *(self.own - own)]),
        )
        rows.is_writing = bool(delta)
        return delta

    def change_disk(self, now: float) -> Delta[object, object]:
        """What to change in the file: soon for what is new, when it is worth it for what is gone."""
        if not self.disk.is_due or now < self._look_at_disk:
            return Delta()
        chunk, held = self.disk.take(None), self.disk.held
        self._look_at_disk = now + SAVE_SECONDS + SAVE_SECONDS_EACH * len(held)
        wanted = chunk & self.learned | chunk & self.memory
        add, remove = wanted - held, (chunk & held) - wanted
        if remove and self._may_forget is None:
            self._may_forget = now + FORGET_SECONDS
        if not add and (self._may_forget is None or now < self._may_forget):
            self.disk.touch(remove, frozenset())
            return Delta()
        self._may_forget = None
        delta: Delta[object, object] = Delta(set=dict.fromkeys(add), remove=frozenset(remove))
        self.disk.is_writing = bool(delta)
        return delta

    def _place(self, rankings: Decision) -> set[Prefix]:
        """Into ``learned``, ``mixed`` and ``plain``, or out of them; returns those that moved."""
        moved: set[Prefix] = set()
        for ranking, prefixes in rankings.items():
            peers = {peer for tier in ranking or () for peer in tier}
            is_learned = bool(peers & self._in_tunnel)
            is_mixed = is_learned and not peers <= self._in_tunnel
            moved |= _put(self.learned, prefixes, is_in=is_learned)
            moved |= _put(self.mixed, prefixes, is_in=is_mixed)
            moved |= _put(self.plain, prefixes, is_in=bool(peers) and not is_learned)
        return moved

    def _wanted(self, prefixes: Set[Prefix]) -> set[Prefix]:
        """Those of them that are to be protected."""
        return {*(prefixes & self.learned), *(prefixes & self.remembered)}

    def _to_exempt(self, prefixes: Set[Prefix]) -> set[Prefix]:
        """Those of them that are to be exempt from masquerade."""
        if not self.is_exempting:
            return set()
        return {*(prefixes & self.learned), *(prefixes & self.plain), *(prefixes & self.remembered)} - DEFAULT_ROUTES

    def _touch(self, prefixes: Set[Prefix]) -> None:
        self.moved |= prefixes
        settled = prefixes - self.unjudged
        wanted = self._wanted(settled)
        self.backstops.touch(settled, wanted)
        self.guard.touch(settled, wanted - self.mixed - DEFAULT_ROUTES)
        self.exempt.touch(settled, self._to_exempt(settled))
        self.disk.touch(prefixes, {*(prefixes & self.learned), *(prefixes & self.memory)})


def _put(where: set[Prefix], prefixes: Iterable[Prefix], *, is_in: bool) -> set[Prefix]:
    """Have the prefixes in a set, or not; returns those for which that is new."""
    if is_in:
        moved = set(prefixes) - where
        where |= moved
    else:
        moved = where.intersection(prefixes)
        where -= moved
    return moved
