"""Loc-RIB → kernel routes: every route points at the nexthop group of its ranking (DESIGN §3).

A group stands for a ranking of peers. Its *members* are the usable peers of the best tier that has any, or a
blackhole; so losing a tunnel replaces one group, whatever the number of prefixes behind it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

from ncgd.decision.rib import SLICE, Decision, Ranking
from ncgd.model import fib
from ncgd.model import prefix as px
from ncgd.model.fib import ForeignRoute, Nexthop, NexthopGroup, RouteChange
from ncgd.model.prefix import Prefix


def stable_number(text: str) -> int:
    """A number between 1 and 0xFFFFFF that depends on the text alone, so a restarted ncgd finds its own objects."""
    return int.from_bytes(sha256(text.encode()).digest()[:3]) or 1


def distinct_numbers(names: Iterable[str]) -> dict[str, int]:
    """A stable number for each name; of two names with the same one, the later in the alphabet gets the next."""
    taken: dict[int, str] = {}
    for name in sorted(names):
        number = stable_number(name)
        while number in taken:
            number = number % 0xFFFFFF + 1
        taken[number] = name
    return {name: number for number, name in taken.items()}


def nexthop_id(number: int, version: int) -> int:
    """Id of the nexthop object of a peer that has this number."""
    return number + (fib.NEXTHOP_V6_BASE if version == 6 else fib.NEXTHOP_V4_BASE)


def group_id(ranking: Ranking, version: int) -> int:
    """Id of the group that stands for a ranking, unless another ranking has it."""
    base = fib.GROUP_V6_BASE if version == 6 else fib.GROUP_V4_BASE
    return base + stable_number("|".join(",".join(tier) for tier in ranking))


@dataclass(frozen=True, slots=True)
class Carriers:
    """The peers through which packets can go now."""

    trusted: frozenset[str] = frozenset()
    recovering: frozenset[str] = frozenset()
    """Their data path answers again, but not for long yet; when nothing else carries there is nothing to wait for."""
    doubtful: frozenset[str] = frozenset()
    """SA and session are up, but the probe says dead. Better than nothing when there is no other: when all echoes
    fail at once the uplink is the likelier cause, and what is sent into a tunnel is encrypted in any case."""


def active_tier(ranking: Ranking, carriers: Carriers) -> tuple[str, ...]:
    """The peers that carry the traffic now: of the best that any tier has, those of the best tier."""
    for choice in (carriers.trusted, carriers.recovering, carriers.doubtful):
        for tier in ranking:
            if members := tuple(peer for peer in tier if peer in choice):
                return members
    return ()


def _blackhole(version: int) -> int:
    """Id of the nexthop that drops."""
    return fib.BLACKHOLE_V6 if version == 6 else fib.BLACKHOLE_V4


class RouteTable:
    """What the FIB should hold, what it holds, and which prefixes differ. Mutable, like the RIB, and for its reason."""

    def __init__(self) -> None:
        """Nothing desired; ``is_read`` is False until the kernel's rows were read once."""
        self.desired: dict[Prefix, int] = {}
        self.installed: dict[Prefix, int] = {}
        self.is_read = False
        self.failed: dict[Prefix, str] = {}
        self.shadows: Mapping[Prefix, ForeignRoute] = {}
        """Prefixes whose traffic does not take our route, because another program's wins."""
        self._users: Counter[int | None] = Counter()
        self._rankings: dict[int, tuple[Ranking, int]] = {}
        self._installed_in: Counter[int | None] = Counter()
        self._dirty: set[Prefix] = set()
        self._kept: set[Prefix] = set()
        self._adopted: set[Prefix] = set()
        """Rows found at the start that nobody has spoken of since."""
        self._meddled: set[Prefix] = set()
        """Rows that somebody else has changed and that wait to be put right."""
        self.under_way: RouteChange | None = None
        """What is being programmed; the next change waits for its outcome."""

    def update(self, changed: Decision) -> None:
        """Take over rankings that changed."""
        for ranking, prefixes in changed.items():
            v6 = [prefix for prefix in prefixes if px.version(prefix) == 6] if px.version(max(prefixes)) == 6 else []
            v4 = prefixes if not v6 else [prefix for prefix in prefixes if px.version(prefix) == 4]
            for version, some in ((4, v4), (6, v6)):
                if some:
                    self._want(ranking, version, some)
            self._dirty.update(prefixes)
            if self._adopted:
                self._adopted.difference_update(prefixes)
        for group in [group for group in self._rankings if not self._users[group]]:
            del self._rankings[group], self._users[group]

    def _want(self, ranking: Ranking | None, version: int, prefixes: list[Prefix]) -> None:
        self._users -= Counter(map(self.desired.get, prefixes))
        if ranking is None:
            for prefix in prefixes:
                self.desired.pop(prefix, None)
        else:
            group = group_id(ranking, version)
            while self._rankings.get(group, (ranking, version)) != (ranking, version):
                group += 1  # the number of another ranking, once in millions
            self._rankings[group] = (ranking, version)
            self.desired.update(dict.fromkeys(prefixes, group))
            self._users[group] += len(prefixes)

    def groups(self, carriers: Carriers, numbers: Mapping[str, int]) -> dict[int, Nexthop | NexthopGroup]:
        """The groups that the desired routes point at, as they should be now, by id.

        ``numbers`` of the peers. A blackhole stands in when nothing can carry; it comes along for the IP versions in
        use only, since a host without IPv6 refuses the other.
        """
        rows: dict[int, Nexthop | NexthopGroup] = {}
        for group, (ranking, version) in self._rankings.items():
            hole = _blackhole(version)
            rows[hole] = Nexthop(id=hole, version=version)
            members = tuple(nexthop_id(numbers[peer], version) for peer in active_tier(ranking, carriers))
            rows[group] = NexthopGroup(id=group, members=members or (hole,))
        return rows

    def read(self, routes: Mapping[Prefix, int]) -> int:
        """Take over what the kernel holds; returns how many rows differ from what we believed (drift)."""
        drift = set()
        if not self.is_read:
            self._adopted = set(routes)
            self._dirty.update(self.desired, routes)
        elif self.installed != routes:
            drift = {prefix for prefix, group in routes.items() if self.installed.get(prefix) != group}
            drift |= self.installed.keys() - routes.keys()
            self._dirty |= drift
        self.installed, self.is_read = dict(routes), True
        self._installed_in = Counter(self.installed.values())
        return len(drift)

    def meddled(self, routes: Mapping[Prefix, int | None]) -> int:
        """Somebody else has changed these rows; returns how many differ from what we believed (drift)."""
        if not self.is_read:
            return 0
        changed = {prefix: group for prefix, group in routes.items() if self.installed.get(prefix) != group}
        self._hold(changed)
        self._meddled |= changed.keys()
        return len(changed)

    def repair(self) -> None:
        """Have what others changed put right with the next ``change``."""
        self._dirty |= self._meddled
        self._meddled = set()

    def change(self, *, may_remove: bool, limit: int = SLICE) -> dict[Prefix, int | None]:
        """Look at up to ``limit`` prefixes (``has_more`` tells of the rest); those whose rows differ, to be programmed.

        With ``may_remove`` False, rows found at the start that nobody has spoken of yet stay as they are.
        """
        if may_remove and self._kept:
            self._dirty |= self._kept
            self._kept = set()
        batch = set(islice(self._dirty, limit))
        self._dirty -= batch
        if self._adopted and not may_remove:
            kept = (batch & self._adopted) - self.desired.keys()
            self._kept |= kept
            batch -= kept
        wanted, held = map(self.desired.get, batch), map(self.installed.get, batch)
        routes = {prefix: want for prefix, want, has in zip(batch, wanted, held, strict=True) if want != has}
        if self.failed:
            for prefix in batch - routes.keys():
                self.failed.pop(prefix, None)
        return routes

    def has_version(self, version: int) -> bool:
        """Whether a route of this IP version is wanted."""
        return any(each == version for _, each in self._rankings.values())

    def is_leaving(self, prefix: Prefix) -> bool:
        """True while a route is installed, or is just being, that nobody wants: what protects it goes after it."""
        coming = self.under_way is not None and self.under_way.routes.get(prefix) is not None
        return (coming or prefix in self.installed) and prefix not in self.desired

    @property
    def has_more(self) -> bool:
        """True while rows wait for the next ``change``."""
        return bool(self._dirty)

    def written(self, change: RouteChange, failed: Mapping[Prefix, str]) -> None:
        """Take over the outcome of programming ``change``; failures stay dirty."""
        self.under_way = None
        routes = change.routes
        if failed:
            routes = {prefix: group for prefix, group in routes.items() if prefix not in failed}
        self._hold(routes)
        if self.failed:
            for prefix in change.routes.keys() | change.backstops.keys():
                self.failed.pop(prefix, None)
        self.failed.update(failed)

    def _hold(self, routes: Mapping[Prefix, int | None]) -> None:
        """The kernel holds these rows now."""
        self._installed_in -= Counter(map(self.installed.get, routes))
        self._installed_in += Counter(routes.values())
        del self._installed_in[None]
        self.installed.update({prefix: group for prefix, group in routes.items() if group is not None})
        for prefix in [prefix for prefix, group in routes.items() if group is None]:
            self.installed.pop(prefix, None)

    def retry_failed(self) -> None:
        """Try the failed rows again."""
        self._dirty.update(self.failed)

    def held_back(self, carriers: Carriers) -> int:
        """How many routes are installed whose traffic nobody can carry: it waits in a blackhole."""
        idle = (group for group, (ranking, _) in self._rankings.items() if not active_tier(ranking, carriers))
        return sum(self._installed_in[group] for group in idle)

    @property
    def orphan_groups(self) -> set[int]:
        """Groups that routes point at, or are just being led to, although nobody wants them there any more (or yet)."""
        used = {group for group, routes in self._installed_in.items() if routes}
        if self.under_way is not None:
            used.update(self.under_way.routes.values())
        return {group for group in used if group is not None and group not in self._rankings}
