"""Adj-RIB-In per peer → Loc-RIB: which peers carry a prefix, in which order.

The one big table. It is a mutable object inside the otherwise frozen World and is never diffed whole: edits mark
prefixes dirty, and ``decide`` costs what changed. Paths of a session that went down stay (stale) until a live peer
says otherwise, so that their traffic is held back instead of leaking onto another route (DESIGN §5).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ncgd.decision.policy import ImportCheck
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal

Ranking = tuple[tuple[str, ...], ...]
"""Tiers of peers, best first; the peers of one tier share the load (ECMP). RFC 4271 §9.1 order."""

Candidates = tuple[tuple[str, Attributes], ...]


@dataclass(slots=True)
class PeerTable:
    """The Adj-RIB-In of one peer and what the import policy made of it."""

    paths: dict[Prefix, Attributes] = field(default_factory=dict)
    stale: set[Prefix] = field(default_factory=set)
    accepted: set[Prefix] = field(default_factory=set)
    refused: dict[Prefix, Refusal] = field(default_factory=dict)
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
        self._memo: dict[Candidates, Ranking] = {}
        self._order: Mapping[str, int] | None = None

    def learn(self, peer: str, attributes: Attributes, prefixes: Iterable[Prefix]) -> None:
        """A peer advertises prefixes; a path it had for one of them is replaced (RFC 4271 §3.1)."""
        table = self._table(peer)
        batch = tuple(prefixes)
        table.paths.update(dict.fromkeys(batch, attributes))
        if table.stale:
            table.stale.difference_update(batch)
        self._dirty.update(batch)

    def withdraw(self, peer: str, prefixes: Iterable[Prefix]) -> None:
        """A peer withdraws prefixes; unknown ones are ignored."""
        table = self._table(peer)
        for prefix in prefixes:
            if table.paths.pop(prefix, None) is not None:
                table.stale.discard(prefix)
                self._dirty.add(prefix)

    def replace(self, peer: str, paths: Mapping[Prefix, Attributes], *, is_complete: bool) -> None:
        """The whole Adj-RIB-In of a peer. What it lacks is stale, or gone when ``is_complete``."""
        table = self._table(peer)
        absent = [prefix for prefix in table.paths if prefix not in paths]
        table.paths.update(paths)
        table.stale.difference_update(paths)
        self._dirty.update(paths)
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

    def forget(self, peer: str) -> None:
        """The peer is no longer configured: its paths go."""
        if table := self.peers.pop(peer, None):
            self._dirty.update(table.paths)

    def configure(self, checks: Mapping[str, tuple[ImportCheck, int]], order: Mapping[str, int] | None = None) -> None:
        """Set import check and prefix limit per peer, and the order between peers (None: all are equal).

        A changed check has its peer's paths decided again, a changed order everything.
        """
        for peer, (check, limit) in checks.items():
            table = self._table(peer)
            if table.check is None or table.check.key != check.key or table.limit != limit:
                table.check, table.limit = check, limit
                self._dirty.update(table.paths)
        for peer in [peer for peer in self.peers if peer not in checks]:
            self.forget(peer)
        if order != self._order:
            self._order = order
            self._memo.clear()
            self._dirty.update(self.best)

    def decide(self, rank: Callable[[Candidates], Ranking]) -> dict[Prefix, Ranking | None]:
        """Decide all dirty prefixes; returns those whose ranking changed, None for unreachable ones."""
        changed: dict[Prefix, Ranking | None] = {}
        while self._dirty:  # again when a withdrawal has made room under a prefix limit
            dirty, self._dirty = self._dirty, set()
            for prefix in dirty:
                candidates = self._candidates(prefix)
                ranking = self._rank(candidates, rank) if candidates else None
                if self.best.get(prefix) != ranking:
                    changed[prefix] = ranking
                    if ranking is None:
                        del self.best[prefix]
                    else:
                        self.best[prefix] = ranking
        return changed

    def path(self, peer: str, prefix: Prefix) -> Attributes | None:
        """The path that a peer has for a prefix, refused or not."""
        table = self.peers.get(peer)
        return table.paths.get(prefix) if table else None

    def _table(self, peer: str) -> PeerTable:
        return self.peers.setdefault(peer, PeerTable())

    def _rank(self, candidates: Candidates, rank: Callable[[Candidates], Ranking]) -> Ranking:
        ranking = self._memo.get(candidates)
        if ranking is None:
            if len(self._memo) > 10_000:  # attributes come and go for ever; the memo must not
                self._memo.clear()
            ranking = self._memo[candidates] = rank(candidates)
        return ranking

    def _candidates(self, prefix: Prefix) -> Candidates:
        found: list[tuple[str, Attributes]] = []
        for peer, table in self.peers.items():
            attributes = table.paths.get(prefix)
            if attributes is None:
                self._release(table, prefix)
            elif self._accept(table, prefix, attributes):
                found.append((peer, attributes))
        return tuple(found)

    def _accept(self, table: PeerTable, prefix: Prefix, attributes: Attributes) -> bool:
        if table.check is None:
            return False
        refusal = table.check.refusal(prefix, attributes)
        if refusal is None and prefix not in table.accepted and len(table.accepted) >= table.limit:
            refusal = Refusal.PREFIX_LIMIT
            table.over_limit.add(prefix)
        if refusal is None:
            table.accepted.add(prefix)
            table.over_limit.discard(prefix)
            table.refused.pop(prefix, None)
            return True
        table.refused[prefix] = refusal
        self._drop_accepted(table, prefix)
        return False

    def _release(self, table: PeerTable, prefix: Prefix) -> None:
        table.refused.pop(prefix, None)
        table.over_limit.discard(prefix)
        self._drop_accepted(table, prefix)

    def _drop_accepted(self, table: PeerTable, prefix: Prefix) -> None:
        if prefix in table.accepted:
            table.accepted.discard(prefix)
            if table.over_limit:
                self._dirty.add(table.over_limit.pop())


def rank(candidates: Candidates) -> Ranking:
    """Order paths by RFC 4271 §9.1.2.2 and group the equal ones.

    Highest LOCAL_PREF, shortest AS_PATH, lowest ORIGIN, then lowest MED among paths from the same neighbouring AS
    (§9.1.2.2 c). Paths from different neighbouring ASes with equal attributes share a tier, as do equal MEDs.
    """
    classes: dict[tuple[int, int, int], dict[int, dict[int, list[str]]]] = {}
    for peer, path in candidates:
        preference = (-path.local_preference, path.as_path_length, int(path.origin))
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
