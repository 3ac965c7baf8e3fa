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
"""So many prefixes are looked through at most, some 20 ms; one that is named whole is found among any number."""


class Standing(StrEnum):
    """How a prefix stands. The order is that of a list: what somebody should look at comes first."""

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
    """One page of what was found, and how much there is."""

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
    odd = _odd(world)
    known = len(world.rib.best) + len(odd - world.rib.best.keys())
    pool = _ordered(odd, world)
    asked = _parsed(query)
    if asked is not None:
        named = [prefix for prefix in px.covering(asked) if prefix in world.rib.best or prefix in odd]
        inside = [prefix for prefix in pool if px.covers(asked, prefix) and prefix != asked]
        pool = [*named, *inside]
    elif query:
        rows = [row for row in (_row(prefix, world, desired) for prefix in pool) if _matches(query.lower(), row)]
        chosen = tuple(rows[first : first + count])
        return Found(rows=chosen, matching=len(rows), known=known, is_partial=known > SCANNED)
    matching = known if asked is None else len(pool)
    rows = [_row(prefix, world, desired) for prefix in pool[first : first + count]]
    return Found(rows=tuple(rows), matching=matching, known=known, is_partial=known > SCANNED)


def first_prefixes(world: World, most: int) -> list[str]:
    """Some of the prefixes that are in use, as texts; the same ones as long as they are there."""
    return px.texts(islice(world.rib.best, most))


def _odd(world: World) -> set[Prefix]:
    """Prefixes that are not simply routed."""
    tables = world.rib.peers.values()
    refused = chain.from_iterable(table.refused for table in tables)
    return {*refused, *world.routes.failed, *world.routes.shadows, *world.protection.memory}


def _ordered(odd: Iterable[Prefix], world: World) -> list[Prefix]:
    """Odd ones first, each part by address; no more than are looked through."""
    some = set(islice(odd, SCANNED))
    rest = islice((prefix for prefix in world.rib.best if prefix not in some), SCANNED - len(some))
    return [*sorted(some, key=px.sort_key), *sorted(rest, key=px.sort_key)]


def _parsed(query: str) -> Prefix | None:
    try:
        return px.parse(query)
    except ValueError:
        return None


def _matches(text: str, row: PrefixRow) -> bool:
    return any(text in part.lower() for part in (row.prefix, row.standing, *row.carriers, row.why))


def _row(prefix: Prefix, world: World, desired: Desired) -> PrefixRow:
    ranking = world.rib.best.get(prefix)
    if ranking is None:
        standing = Standing.REFUSED if any(_refusals(prefix, world)) else Standing.REMEMBERED
        why = "; ".join(_refusals(prefix, world)) or "known from before; guarded until somebody speaks of it again"
        return PrefixRow(prefix=px.text(prefix), standing=standing, carriers=(), why=why)
    carriers = active_tier(ranking, desired.carriers)
    standing, why = _routed(prefix, ranking, carriers, world)
    return PrefixRow(prefix=px.text(prefix), standing=standing, carriers=carriers, why=why)


def _routed(prefix: Prefix, ranking: Ranking, carriers: tuple[str, ...], world: World) -> tuple[Standing, str]:
    routes = world.routes
    if shadow := routes.shadows.get(prefix):
        return Standing.OVERRULED, shadow_text(shadow)
    if text := routes.failed.get(prefix):
        return Standing.MISSING, text
    if prefix not in routes.installed or routes.installed[prefix] != routes.desired.get(prefix):
        return Standing.MISSING, "not installed yet"
    if not carriers:
        return Standing.HELD, f"{_listed(peer for tier in ranking for peer in tier)} cannot carry it now"
    return Standing.ROUTED, "; ".join((_preference(ranking, carriers), *_refusals(prefix, world)))


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
