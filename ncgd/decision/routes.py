"""Loc-RIB → kernel routes: every route points at the nexthop group of its ranking (DESIGN §3).

A group stands for a ranking of peers. Its *members* are the usable peers of the best tier that has any, or a
blackhole; so losing a tunnel replaces one group, whatever the number of prefixes behind it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from ncgd.decision.rib import Ranking
from ncgd.model import fib
from ncgd.model import prefix as px
from ncgd.model.fib import ForeignRoute, Nexthop, NexthopGroup, RouteChange
from ncgd.model.prefix import Prefix


def stable_number(text: str) -> int:
    """A number between 1 and 0xFFFFFF that depends on the text alone, so a restarted ncgd finds its own objects."""
    return int.from_bytes(sha256(text.encode()).digest()[:3]) or 1


def nexthop_id(peer: str, version: int) -> int:
    """Id of the nexthop object of a peer."""
    base = fib.NEXTHOP_V6_BASE if version == 6 else fib.NEXTHOP_V4_BASE
    return base + stable_number(peer)


def group_id(ranking: Ranking, version: int) -> int:
    """Id of the group that stands for a ranking."""
    base = fib.GROUP_V6_BASE if version == 6 else fib.GROUP_V4_BASE
    return base + stable_number("|".join(",".join(tier) for tier in ranking))


@dataclass(frozen=True, slots=True)
class Carriers:
    """The peers through which packets can go now."""

    trusted: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    """SA and session are up, but the probe says dead. Better than nothing when there is no trusted one: when all echoes
    fail at once the uplink is the likelier cause, and what is sent into a tunnel is encrypted in any case."""


def active_tier(ranking: Ranking, carriers: Carriers) -> tuple[str, ...]:
    """The peers that carry the traffic now: the trusted ones of the best tier that has any, else doubtful ones."""
    for choice in (carriers.trusted, carriers.doubtful):
        for tier in ranking:
            if members := tuple(peer for peer in tier if peer in choice):
                return members
    return ()


def group_of(ranking: Ranking, version: int, carriers: Carriers) -> NexthopGroup:
    """The group of a ranking as it should be now; a blackhole stands in when nothing can carry."""
    members = tuple(nexthop_id(peer, version) for peer in active_tier(ranking, carriers))
    blackhole = fib.BLACKHOLE_V6 if version == 6 else fib.BLACKHOLE_V4
    return NexthopGroup(id=group_id(ranking, version), members=members or (blackhole,))


def blackholes() -> dict[int, Nexthop]:
    """The two nexthops that drop."""
    return {
        fib.BLACKHOLE_V4: Nexthop(id=fib.BLACKHOLE_V4, version=4),
        fib.BLACKHOLE_V6: Nexthop(id=fib.BLACKHOLE_V6, version=6),
    }


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
        self._users: Counter[int] = Counter()
        self._rankings: dict[int, tuple[Ranking, int]] = {}
        self._installed_in: Counter[int] = Counter()
        self._dirty: set[Prefix] = set()
        self._kept: set[Prefix] = set()
        self._adopted: set[Prefix] = set()
        """Rows found at the start that nobody has spoken of since."""
        self._meddled: set[Prefix] = set()
        """Rows that somebody else has changed and that wait to be put right."""

    def update(self, changed: Mapping[Prefix, Ranking | None]) -> None:
        """Take over rankings that changed."""
        known: dict[tuple[int, int], int] = {}
        for prefix, ranking in changed.items():
            before = self.desired.pop(prefix, None)
            if before is not None:
                self._users[before] -= 1
            if ranking is None:
                continue
            version = px.version(prefix)
            group = known.get((id(ranking), version))  # rankings are few and shared: hashing each would cost
            if group is None:
                group = known[id(ranking), version] = group_id(ranking, version)
                self._rankings[group] = (ranking, version)
            self.desired[prefix] = group
            self._users[group] += 1
        self._dirty.update(changed)
        self._adopted.difference_update(changed)
        for group in [group for group in self._rankings if not self._users[group]]:
            del self._rankings[group], self._users[group]

    def groups(self, carriers: Carriers) -> dict[int, NexthopGroup]:
        """The groups that the desired routes point at, as they should be now."""
        return {group: group_of(ranking, version, carriers) for group, (ranking, version) in self._rankings.items()}

    def read(self, routes: Mapping[Prefix, int]) -> int:
        """Take over what the kernel holds; returns how many rows differ from what we believed (drift)."""
        drift = 0
        if self.is_read:
            drift = sum(
                1
                for prefix in self.installed.keys() | routes.keys()
                if self.installed.get(prefix) != routes.get(prefix)
            )
        else:
            self._adopted = set(routes)
        self.installed, self.is_read = dict(routes), True
        self._installed_in = Counter(self.installed.values())
        self._dirty.update(self.desired, self.installed)
        return drift

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

    def change(self, *, may_remove: bool, limit: int = 10_000) -> dict[Prefix, int | None]:
        """Take up to ``limit`` prefixes whose rows differ, to be programmed now (``has_more`` tells of the rest).

        With ``may_remove`` False, rows found at the start that nobody has spoken of yet stay as they are.
        """
        if may_remove and self._kept:
            self._dirty |= self._kept
            self._kept = set()
        routes: dict[Prefix, int | None] = {}
        while self._dirty and len(routes) < limit:
            prefix = self._dirty.pop()
            wanted = self.desired.get(prefix)
            if wanted is None and not may_remove and prefix in self._adopted:
                self._kept.add(prefix)
                continue
            if wanted != self.installed.get(prefix):
                routes[prefix] = wanted
            else:
                self.failed.pop(prefix, None)
        return routes

    def is_leaving(self, prefix: Prefix) -> bool:
        """True while a route is installed that nobody wants: what protects it goes after it."""
        return prefix in self.installed and prefix not in self.desired

    @property
    def has_more(self) -> bool:
        """True while rows wait for the next ``change``."""
        return bool(self._dirty)

    def written(self, change: RouteChange, failed: Mapping[Prefix, str]) -> None:
        """Take over the outcome of programming ``change``; failures stay dirty."""
        self._hold({prefix: group for prefix, group in change.routes.items() if prefix not in failed})
        for prefix in change.routes.keys() | change.backstops.keys():
            self.failed.pop(prefix, None)
        self.failed.update(failed)

    def _hold(self, routes: Mapping[Prefix, int | None]) -> None:
        """The kernel holds these rows now."""
        for prefix, group in routes.items():
            before = self.installed.pop(prefix, None)
            if before is not None:
                self._installed_in[before] -= 1
            if group is not None:
                self.installed[prefix] = group
                self._installed_in[group] += 1

    def retry_failed(self) -> None:
        """Try the failed rows again."""
        self._dirty.update(self.failed)

    @property
    def orphan_groups(self) -> set[int]:
        """Groups that installed routes point at although nobody wants them there any more (or yet)."""
        return {group for group, routes in self._installed_in.items() if routes and group not in self._rankings}
