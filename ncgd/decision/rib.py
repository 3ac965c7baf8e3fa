"""Adj-RIB-In per peer → Loc-RIB: which peers carry a prefix, in which order.

The one big table. It is a mutable object inside the otherwise frozen World and is never diffed whole: edits mark
prefixes dirty, and ``decide`` costs what changed. Paths of a session that went down stay (stale) until a live peer
says otherwise, so that their traffic is held back instead of leaking onto another route (DESIGN §5).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice

from ncgd.decision.policy import ImportCheck
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal

Ranking = tuple[tuple[str, ...], ...]
"""Tiers of peers, best first; the peers of one tier share the load (ECMP). RFC 4271 §9.1 order."""

Candidates = tuple[tuple[str, Attributes], ...]
Decision = Mapping[Ranking | None, list[Prefix]]
"""Prefixes whose ranking changed, by what it is now; None: nobody carries them."""

_Key = tuple[int, ...]
"""Identity of the attributes of each peer's accepted path, or of None. Attributes are shared by many paths."""

SLICE = 5000
"""Prefixes decided at a time: some 5 ms, after which a failover has its turn."""


@dataclass(slots=True)
class PeerTable:
    """The Adj-RIB-In of one peer and what the import policy made of it."""

    paths: dict[Prefix, Attributes] = field(default_factory=dict)
    fresh: set[Prefix] | None = None
    """Once the session went down: the prefixes that the peer has sent again since. The others are stale."""
    accepted: dict[Prefix, Attributes] = field(default_factory=dict)
    refused: dict[Prefix, Refusal] = field(default_factory=dict)
    unjudged: set[Prefix] = field(default_factory=set)
    """Paths that the import policy has not seen since they, or the policy, changed."""
    check: ImportCheck | None = None
    limit: int = 5000
    over_limit: set[Prefix] = field(default_factory=set)

    @property
    def stale(self) -> Set[Prefix]:
        """Paths of an earlier session that the peer has not sent again."""
        return frozenset() if self.fresh is None else self.paths.keys() - self.fresh

    @property
    def live_counts(self) -> tuple[int, int]:
        """How many paths are not stale, and how many of these are accepted."""
        if self.fresh is None or len(self.fresh) == len(self.paths):
            return len(self.paths), len(self.accepted)
        return len(self.fresh), len(self.fresh & self.accepted.keys()) if self.fresh else 0


class Rib:
    """Adj-RIB-In tables and the Loc-RIB that follows from them."""

    def __init__(self) -> None:
        """An empty RIB."""
        self.peers: dict[str, PeerTable] = {}
        self.best: dict[Prefix, Ranking] = {}
        self._dirty: set[Prefix] = set()
        self._memo: dict[_Key, tuple[Candidates, Ranking]] = {}
        self._shared: dict[Ranking, Ranking] = {}
        self._order: Mapping[str, int] | None = None

    def learn(self, peer: str, attributes: Attributes, prefixes: Iterable[Prefix]) -> None:
        """A peer advertises prefixes; a path it had for one of them is replaced (RFC 4271 §3.1)."""
        table = self._table(peer)
        batch = tuple(prefixes)
        table.paths.update(dict.fromkeys(batch, attributes))
        if table.fresh is not None:
            table.fresh.update(batch)
        table.unjudged.update(batch)

    def withdraw(self, peer: str, prefixes: Iterable[Prefix]) -> None:
        """A peer withdraws prefixes; unknown ones are ignored."""
        table = self._table(peer)
        for prefix in prefixes:
            if table.paths.pop(prefix, None) is not None:
                if table.fresh is not None:
                    table.fresh.discard(prefix)
                table.refused.pop(prefix, None)
                table.over_limit.discard(prefix)
                self._no_longer_accepted(table, prefix)

    def replace(self, peer: str, paths: Mapping[Prefix, Attributes], *, is_complete: bool) -> None:
        """The whole Adj-RIB-In of a peer. What it lacks is stale, or gone when ``is_complete``."""
        table = self._table(peer)
        absent = table.paths.keys() - paths.keys()
        table.paths.update(paths)
        table.unjudged.update(paths)
        table.fresh = set(paths) if absent and not is_complete else None
        if is_complete:
            self.withdraw(peer, absent)

    def mark_stale(self, peer: str) -> None:
        """The session went down: all its paths stay, as stale. Costs nothing: the failover comes after it."""
        if table := self.peers.get(peer):
            table.fresh = set() if table.paths else None

    def sweep_stale(self, peer: str, version: int) -> None:
        """End-of-RIB for one IP version: what is still stale was not sent again and goes (RFC 4724 §4.2)."""
        table = self.peers.get(peer)
        if table is None or table.fresh is None:
            return
        self.withdraw(peer, [prefix for prefix in table.stale if px.version(prefix) == version])
        if len(table.fresh) == len(table.paths):
            table.fresh = None

    def is_silent(self, peer: str) -> bool:
        """True when the peer has sent no path since its session came up."""
        table = self.peers.get(peer)
        return table is None or table.live_counts[0] == 0

    def sweep_taken_over(self, peer: str) -> None:
        """Of what is stale, let go what another live peer carries: it is worth more than a peer that says nothing."""
        if table := self.peers.get(peer):
            live = [(other.accepted, other.stale) for other in self.peers.values() if other is not table]
            self.withdraw(
                peer, [p for p in table.stale if any(p in accepted and p not in stale for accepted, stale in live)]
            )

    def configure(
        self,
        checks: Mapping[str, tuple[ImportCheck, int]],
        order: Mapping[str, int] | None = None,
        *,
        is_complete: bool = True,
    ) -> None:
        """Set import check and prefix limit per peer, and the order between peers (None: all are equal).

        A changed check has its peer's paths decided again, a changed order everything. Paths of a peer that has none
        count for nothing, unless it may only not be known yet (``is_complete`` False). They stay while its session
        does: nobody sends them again when the peer is wanted again.
        """
        for peer, (check, limit) in checks.items():
            table = self._table(peer)
            if table.check is None or table.check.key != check.key or table.limit != limit:
                table.check, table.limit = check, limit
                table.unjudged.update(table.paths)
        for peer in [peer for peer in self.peers if peer not in checks] if is_complete else ():
            self._set_aside(peer)
        if order != self._order:
            self._order = order
            self._memo.clear()
            self._dirty.update(self.best)

    @property
    def has_more(self) -> bool:
        """True while prefixes wait for the next ``decide``."""
        return bool(self._dirty) or any(table.unjudged and table.check for table in self.peers.values())

    def decide(
        self, rank: Callable[[Candidates], Ranking], installed: Set[Prefix] = frozenset(), limit: int = SLICE
    ) -> Decision:
        """Decide up to ``limit`` prefixes (``has_more`` tells of the rest); returns those whose ranking changed.

        ``installed``: what the kernel holds. Where a limit leaves room for some only, these come first.
        """
        for table in self.peers.values():
            self._judge(table, installed, limit)
        batch = list(islice(self._dirty, limit))
        self._dirty.difference_update(batch)
        # For a full table this is done 100 000 times, so whatever can be done for many at once is.
        columns = [map(id, map(table.accepted.get, batch)) for table in self.peers.values()]
        alike: defaultdict[_Key, list[Prefix]] = defaultdict(list)
        for prefix, key in zip(batch, zip(*columns, strict=True), strict=bool(columns)):
            alike[key].append(prefix)
        if not columns:
            alike[()] = batch
        changed: defaultdict[Ranking | None, list[Prefix]] = defaultdict(list)
        best = self.best
        for key, prefixes in alike.items():
            ranking = self._ranking(key, prefixes[0], rank) if prefixes else None
            news = [prefix for prefix, was in zip(prefixes, map(best.get, prefixes), strict=True) if was is not ranking]
            if ranking is not None:
                best.update(dict.fromkeys(news, ranking))
            else:
                for prefix in news:
                    del best[prefix]
            if news:
                changed[ranking] += news
        return changed

    def _set_aside(self, peer: str) -> None:
        table = self.peers[peer]
        if table.check is None and table.fresh is None and table.paths:
            return
        self._dirty.update(table.accepted)
        paths = {prefix: table.paths[prefix] for prefix in table.paths.keys() - table.stale}
        if paths:
            self.peers[peer] = PeerTable(paths=paths, unjudged=set(paths))
        else:
            del self.peers[peer]
        self._memo.clear()

    def _table(self, peer: str) -> PeerTable:
        if peer not in self.peers:
            self.peers[peer] = PeerTable()
            self._memo.clear()
        return self.peers[peer]

    def _ranking(self, key: _Key, prefix: Prefix, rank: Callable[[Candidates], Ranking]) -> Ranking | None:
        """The ranking of all prefixes with this key. The memo holds the attributes, so that ids stay theirs."""
        if key in self._memo:
            return self._memo[key][1]
        candidates = tuple(
            (peer, table.accepted[prefix]) for peer, table in self.peers.items() if prefix in table.accepted
        )
        if not candidates:
            return None
        if len(self._memo) > 10_000:  # attributes come and go for ever; the memo must not
            self._memo.clear()
        ranking = rank(candidates)
        # Equal rankings are one object, so that identity tells whether a prefix has another one now.
        ranking = self._shared.setdefault(ranking, ranking)
        self._memo[key] = (candidates, ranking)
        return ranking

    def _judge(self, table: PeerTable, installed: Set[Prefix], limit: int) -> None:
        """Have the import policy look at up to ``limit`` paths."""
        while table.unjudged and table.check is not None and limit > 0:  # again when a refusal has made room
            is_tight = len(table.paths) > table.limit
            pool = (table.unjudged & installed if is_tight else None) or table.unjudged
            batch = list(islice(pool, limit))
            table.unjudged.difference_update(batch)
            limit -= len(batch)
            self._judge_each(table, batch if is_tight else self._judge_together(table, table.check, batch))

    def _judge_together(self, table: PeerTable, check: ImportCheck, batch: list[Prefix]) -> list[Prefix]:
        """Accept what needs no closer look, where the limit is far; returns the rest."""
        paths = list(map(table.paths.get, batch))
        kinds = dict(zip(map(id, paths), paths, strict=True)).values()
        if any(attributes is None or check.refusal_of_attributes(attributes) for attributes in kinds):
            return batch
        harmless = check.harmless(batch)
        table.accepted.update(zip(harmless, map(table.paths.__getitem__, harmless), strict=True))
        self._dirty.update(harmless)
        if table.refused:
            table.over_limit.difference_update(harmless)
            for prefix in harmless:
                table.refused.pop(prefix, None)
        return list(set(batch).difference(harmless)) if len(harmless) < len(batch) else []

    def _judge_each(self, table: PeerTable, batch: list[Prefix]) -> None:
        for prefix in batch:
            path = table.paths.get(prefix)
            if path is None or table.check is None:
                continue
            refusal = table.check.refusal(prefix, path)
            if refusal is None and prefix not in table.accepted and len(table.accepted) >= table.limit:
                refusal = Refusal.PREFIX_LIMIT
                table.over_limit.add(prefix)
            if refusal is None:
                table.accepted[prefix] = path
                table.over_limit.discard(prefix)
                table.refused.pop(prefix, None)
                self._dirty.add(prefix)
            else:
                table.refused[prefix] = refusal
                self._no_longer_accepted(table, prefix)

    def _no_longer_accepted(self, table: PeerTable, prefix: Prefix) -> None:
        if table.accepted.pop(prefix, None) is not None:
            self._dirty.add(prefix)
            if table.over_limit:
                table.unjudged.add(table.over_limit.pop())


def rank(candidates: Candidates) -> Ranking:
    """Order paths by RFC 4271 §9.1.2.2 and group the equal ones.

    Shortest AS_PATH, lowest ORIGIN, then lowest MED among paths from the same neighbouring AS
    (§9.1.2.2 c). Paths from different neighbouring ASes with equal attributes share a tier, as do equal MEDs.
    """
    classes: dict[tuple[int, int], dict[int, dict[int, list[str]]]] = {}
    for peer, path in candidates:
        preference = (path.as_path_length, int(path.origin))
        neighbour_as = path.as_path[0] if path.as_path else 0
        classes.setdefault(preference, {}).setdefault(neighbour_as, {}).setdefault(path.med, []).append(peer)
    tiers: list[tuple[str, ...]] = []
    for preference in sorted(classes):
        ladders = [[meds[med] for med in sorted(meds)] for meds in classes[preference].values()]
        tiers.extend(
            tuple(sorted(peer for ladder in ladders if step < len(ladder) for peer in ladder[step]))
            for step in range(max(len(ladder) for ladder in ladders))
        )
    return tuple(tiers)


def rank_in_order(order: Mapping[str, int]) -> Callable[[Candidates], Ranking]:
    """ActivePassive: as ``rank``, but each tier becomes a ladder of single peers in the given order."""

    def ordered(candidates: Candidates) -> Ranking:
        return tuple((peer,) for tier in rank(candidates) for peer in sorted(tier, key=lambda peer: order.get(peer, 0)))

    return ordered
