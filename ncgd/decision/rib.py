"""Adj-RIB-In per peer → Loc-RIB: which peers carry a prefix, in which order.

The one big table. It is a mutable object inside the otherwise frozen World and is never diffed whole: edits mark
prefixes dirty, and ``decide`` costs what changed. Paths of a session that went down stay (stale) until a live peer
says otherwise, so that their traffic is held back instead of leaking onto another route (DESIGN §5).
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain

from ncgd.decision.policy import ImportCheck
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal

Ranking = tuple[tuple[str, ...], ...]
"""Tiers of peers, best first; the peers of one tier share the load (ECMP). RFC 4271 §9.1 order."""

Candidates = tuple[tuple[str, Attributes], ...]
_Key = tuple[tuple[str, int], ...]
"""Candidates by the identity of their attributes."""


@dataclass(slots=True)
class PeerTable:
    """The Adj-RIB-In of one peer and what the import policy made of it."""

    paths: dict[Prefix, Attributes] = field(default_factory=dict)
    stale: set[Prefix] = field(default_factory=set)
    accepted: set[Prefix] = field(default_factory=set)
    refused: dict[Prefix, Refusal] = field(default_factory=dict)
    unjudged: set[Prefix] = field(default_factory=set)
    """Paths that the import policy has not seen since they, or the policy, changed."""
    check: ImportCheck | None = None
    limit: int = 5000
    over_limit: set[Prefix] = field(default_factory=set)


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
        if table.stale:
            table.stale.difference_update(batch)
        table.unjudged.update(batch)

    def withdraw(self, peer: str, prefixes: Iterable[Prefix]) -> None:
        """A peer withdraws prefixes; unknown ones are ignored."""
        table = self._table(peer)
        for prefix in prefixes:
            if table.paths.pop(prefix, None) is not None:
                table.stale.discard(prefix)
                table.refused.pop(prefix, None)
                table.over_limit.discard(prefix)
                self._no_longer_accepted(table, prefix)

    def replace(self, peer: str, paths: Mapping[Prefix, Attributes], *, is_complete: bool) -> None:
        """The whole Adj-RIB-In of a peer. What it lacks is stale, or gone when ``is_complete``."""
        table = self._table(peer)
        absent = [prefix for prefix in table.paths if prefix not in paths]
        table.paths.update(paths)
        table.stale.difference_update(paths)
        table.unjudged.update(paths)
        if is_complete:
            self.withdraw(peer, absent)
        else:
            table.stale.update(absent)

    def mark_stale(self, peer: str) -> None:
        """The session went down: all its paths stay, as stale."""
        if table := self.peers.get(peer):
            table.stale = set(table.paths)

    def sweep_stale(self, peer: str, version: int) -> None:
        """End-of-RIB for one IP version: what is still stale was not sent again and goes (RFC 4724 §4.2)."""
        if table := self.peers.get(peer):
            self.withdraw(peer, [prefix for prefix in table.stale if px.version(prefix) == version])

    def is_silent(self, peer: str) -> bool:
        """True when the peer has sent no path since its session came up."""
        table = self.peers.get(peer)
        return table is None or len(table.stale) == len(table.paths)

    def sweep_taken_over(self, peer: str) -> None:
        """Of what is stale, let go what another live peer carries: it is worth more than a peer that says nothing."""
        if table := self.peers.get(peer):
            live = [(other.accepted, other.stale) for other in self.peers.values() if other is not table]
            self.withdraw(
                peer, [p for p in table.stale if any(p in accepted and p not in stale for accepted, stale in live)]
            )

    def forget(self, peer: str) -> None:
        """The peer is no longer configured: its paths go."""
        if table := self.peers.pop(peer, None):
            self._dirty.update(table.accepted)

    def configure(self, checks: Mapping[str, tuple[ImportCheck, int]], order: Mapping[str, int] | None = None) -> None:
        """Set import check and prefix limit per peer, and the order between peers (None: all are equal).

        A changed check has its peer's paths decided again, a changed order everything.
        """
        for peer, (check, limit) in checks.items():
            table = self._table(peer)
            if table.check is None or table.check.key != check.key or table.limit != limit:
                table.check, table.limit = check, limit
                table.unjudged.update(table.paths)
        for peer in [peer for peer in self.peers if peer not in checks]:
            self.forget(peer)
        if order != self._order:
            self._order = order
            self._memo.clear()
            self._dirty.update(self.best)

    def decide(
        self, rank: Callable[[Candidates], Ranking], installed: Set[Prefix] = frozenset()
    ) -> dict[Prefix, Ranking | None]:
        """Decide all dirty prefixes; returns those whose ranking changed, None for unreachable ones.

        ``installed``: what the kernel holds. Where a limit leaves room for some only, these come first.
        """
        changed: dict[Prefix, Ranking | None] = {}
        for table in self.peers.values():
            self._judge(table, installed)
        # 100 000 times for a full table: nothing is built unless a ranking is new.
        tables = [(peer, table.accepted, table.paths) for peer, table in self.peers.items()]
        memo, best = self._memo, self.best
        for prefix in self._dirty:
            # Attributes are shared by many paths, so identity is a cheap key; the memo holds them, so ids stay theirs.
            key = tuple([(peer, id(paths[prefix])) for peer, accepted, paths in tables if prefix in accepted])
            known = memo.get(key)
            ranking = known[1] if known else self._rank(key, self._candidates(prefix), rank) if key else None
            if best.get(prefix) is not ranking:
                changed[prefix] = ranking
                if ranking is None:
                    del self.best[prefix]
                else:
                    self.best[prefix] = ranking
        self._dirty.clear()
        return changed

    def _table(self, peer: str) -> PeerTable:
        return self.peers.setdefault(peer, PeerTable())

    def _rank(self, key: _Key, candidates: Candidates, rank: Callable[[Candidates], Ranking]) -> Ranking:
        if len(self._memo) > 10_000:  # attributes come and go for ever; the memo must not
            self._memo.clear()
        ranking = rank(candidates)
        # Equal rankings are one object: routes.update tells them apart by identity.
        ranking = self._shared.setdefault(ranking, ranking)
        self._memo[key] = (candidates, ranking)
        return ranking

    def _candidates(self, prefix: Prefix) -> Candidates:
        return tuple((peer, table.paths[prefix]) for peer, table in self.peers.items() if prefix in table.accepted)

    def _judge(self, table: PeerTable, installed: Set[Prefix]) -> None:
        while table.unjudged and table.check is not None:  # again when a refusal has made room under the limit
            unjudged, table.unjudged = table.unjudged, set()
            refusal_of, paths, accepted = table.check.refusal, table.paths, table.accepted
            order: Iterable[Prefix] = unjudged
            if len(paths) > table.limit:
                order = chain(unjudged & installed, unjudged - installed)
            for prefix in order:
                path = paths.get(prefix)
                if path is None:
                    continue
                refusal = refusal_of(prefix, path)
                if refusal is None and prefix not in accepted and len(accepted) >= table.limit:
                    refusal = Refusal.PREFIX_LIMIT
                    table.over_limit.add(prefix)
                if refusal is None:
                    accepted.add(prefix)
                    table.over_limit.discard(prefix)
                    table.refused.pop(prefix, None)
                    self._dirty.add(prefix)
                else:
                    table.refused[prefix] = refusal
                    self._no_longer_accepted(table, prefix)

    def _no_longer_accepted(self, table: PeerTable, prefix: Prefix) -> None:
        if prefix in table.accepted:
            table.accepted.discard(prefix)
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
