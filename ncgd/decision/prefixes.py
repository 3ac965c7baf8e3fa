"""The learned prefixes for a person who looks for one: how each stands, through whom, and why so, in one line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice

from ncgd.decision.desired import Desired
from ncgd.decision.problems import shadow_text
from ncgd.decision.rib import Ranking
from ncgd.decision.routes import active_tier
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix
from ncgd.model.reason import REFUSAL_TEXT

SCANNED = 10_000
"""So many prefixes are looked through at most, some 15 ms; one that is named whole is found among any number."""


class Standing(StrEnum):
    """How a prefix stands, as it is written."""

    MISSING = "not installed"
    """The kernel did not take its route, or has not yet."""
    OVERRULED = "overruled"
    """Another program's route wins."""
    HELD = "held back"
    """Nobody can carry it now; a blackhole keeps it from leaking."""
    REFUSED = "refused"
    REMEMBERED = "remembered"
    """Protected since an earlier run; no peer has spoken of it yet."""
    ROUTED = "routed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRow:
    """One prefix. ``carriers``: the peers through which it goes now; ``why``: one line."""

    prefix: str
    standing: Standing
    carriers: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of what was found, how much was found, and how many prefixes there are."""

    rows: tuple[PrefixRow, ...]
    matching: int
    known: int
    is_partial: bool = False
    """There are more prefixes than were looked through."""


def find(query: str, first: int, count: int, world: World, desired: Desired) -> Found:
    """Rows ``first`` to ``first + count`` of what matches: all of them when ``query`` is empty.

    A query that is an address or prefix finds what covers it and what lies inside; any other what has the text in its
    prefix, standing, peers or reason.
    """
    reader = _Reader(world, desired)
    pool = reader.pool()
    asked = _parsed(query)
    if asked is not None:
        named = [prefix for prefix in px.covering(asked) if prefix in world.rib.best or prefix in reader.odd]
        pool = [*named, *(prefix for prefix in pool if px.covers(asked, prefix) and prefix != asked)]
    elif query:
        pool = [prefix for prefix in pool if reader.has(query.lower(), prefix)]
    return Found(
        rows=tuple(map(reader.row, pool[first : first + count])),
        matching=len(pool),
        known=reader.known,
        is_partial=reader.known > SCANNED,
    )


def first_prefixes(world: World, most: int) -> list[str]:
    """Some of the prefixes that are in use, as texts; the same ones as long as they are there."""
    return px.texts(islice(world.rib.best, most))


def _parsed(query: str) -> Prefix | None:
    try:
        return px.parse(query)
    except ValueError:
        return None


class _Reader:
    """What a search has to know of each prefix, found out once for all that stand alike."""

    def __init__(self, world: World, desired: Desired) -> None:
        self._world = world
        self._desired = desired
        tables = world.rib.peers.values()
        refused = chain.from_iterable(table.refused for table in tables)
        self.odd = {*refused, *world.routes.failed, *world.routes.shadows, *world.protection.memory}
        """Prefixes that are not simply routed."""
        self.known = len(world.rib.best) + len(self.odd - world.rib.best.keys())
        self._usual: dict[Ranking, tuple[Standing, tuple[str, ...], str]] = {}
        self._texts: dict[Ranking, str] = {}

    def pool(self) -> list[Prefix]:
        """Odd ones first, each part by address; no more than are looked through."""
        some = set(islice(self.odd, SCANNED))
        rest = islice((prefix for prefix in self._world.rib.best if prefix not in some), SCANNED - len(some))
        return [*sorted(some, key=px.sort_key), *sorted(rest, key=px.sort_key)]

    def row(self, prefix: Prefix) -> PrefixRow:
        """All of one prefix."""
        standing, carriers, why = self._stand(prefix)
        return PrefixRow(prefix=px.text(prefix), standing=standing, carriers=carriers, why=why)

    def has(self, text: str, prefix: Prefix) -> bool:
        """Whether a text, in lower case, is somewhere in what is said of a prefix."""
        if text in px.text(prefix):
            return True
        ranking = self._world.rib.best.get(prefix)
        if ranking is None or not self._is_usual(prefix):
            return text in _said(self._stand(prefix))
        if ranking not in self._texts:
            self._texts[ranking] = _said(self._stand(prefix))
        return text in self._texts[ranking]

    def _is_usual(self, prefix: Prefix) -> bool:
        """It stands as all do that have its ranking."""
        routes = self._world.routes
        installed = routes.installed.get(prefix)
        return prefix not in self.odd and installed is not None and installed == routes.desired.get(prefix)

    def _stand(self, prefix: Prefix) -> tuple[Standing, tuple[str, ...], str]:
        """Standing, carriers, and why."""
        world = self._world
        ranking = world.rib.best.get(prefix)
        if ranking is None:
            refusals = "; ".join(_refusals(prefix, world))
            known_from_before = "known from before; guarded until somebody speaks of it again"
            return Standing.REFUSED if refusals else Standing.REMEMBERED, (), refusals or known_from_before
        if not self._is_usual(prefix):
            return _routed(prefix, ranking, active_tier(ranking, self._desired.carriers), world)
        if ranking not in self._usual:
            carriers = active_tier(ranking, self._desired.carriers)
            self._usual[ranking] = _routed(prefix, ranking, carriers, world)
        return self._usual[ranking]


def _said(stand: tuple[Standing, tuple[str, ...], str]) -> str:
    standing, carriers, why = stand
    return "\n".join((standing, *carriers, why)).lower()


def _routed(
    prefix: Prefix, ranking: Ranking, carriers: tuple[str, ...], world: World
) -> tuple[Standing, tuple[str, ...], str]:
    routes = world.routes
    if shadow := routes.shadows.get(prefix):
        return Standing.OVERRULED, (), shadow_text(shadow)
    if text := routes.failed.get(prefix):
        return Standing.MISSING, (), text
    if prefix not in routes.installed or routes.installed[prefix] != routes.desired.get(prefix):
        return Standing.MISSING, (), "not installed yet"
    if not carriers:
        return Standing.HELD, (), f"{_listed(peer for tier in ranking for peer in tier)} cannot carry it now"
    return Standing.ROUTED, carriers, "; ".join((_preference(ranking, carriers), *_refusals(prefix, world)))


def _preference(ranking: Ranking, carriers: tuple[str, ...]) -> str:
    others = [peer for tier in ranking for peer in tier if peer not in carriers]
    if not others:
        return "shared by all who bring it" if len(carriers) > 1 else "nobody else brings it"
    best = ranking[0]
    if set(carriers) <= set(best):
        waiting = [peer for peer in others if peer not in best]
        away = [peer for peer in others if peer in best]
        texts = [f"{_listed(waiting)} would be next"] if waiting else []
        return "; ".join([f"{_listed(away)} cannot carry it now"] * bool(away) + texts)
    return f"{_listed(best)}, the better choice, cannot carry it now"


def _refusals(prefix: Prefix, world: World) -> Iterator[str]:
    """Who brings it in vain; peers with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, table in sorted(world.rib.peers.items()):
        if refusal := table.refused.get(prefix):
            by_reason.setdefault(f"{refusal}: {REFUSAL_TEXT[refusal]}", []).append(name)
    return (f"from {_listed(peers)} {reason}" for reason, peers in by_reason.items())


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
