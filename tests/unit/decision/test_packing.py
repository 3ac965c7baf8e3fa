"""Slices: a changed prefix rewrites one of them, and nothing is let go before it is known to be gone."""

from collections.abc import Set

from ncgd.decision.packing import Packing
from ncgd.model import prefix as px
from ncgd.model.delta import diff
from ncgd.model.prefix import Prefix
from ncgd.model.route_slice import SLICE_PREFIXES, RouteSlice


def prefixes(count: int, first: int = 0) -> set[Prefix]:
    return {px.make(4, (10 << 24) + (number << 8), 24) for number in range(first, first + count)}


class Term:
    """A gateway's term, with an API that takes what it is given."""

    def __init__(self, held: dict[str, RouteSlice] | None = None, node: str = "node-1", epoch: int = 1) -> None:
        self.packing = Packing()
        self.packing.read(held or {})
        assert self.packing.begin("default", node, epoch)
        self.wanted: set[Prefix] = set()

    def wants(self, wanted: Set[Prefix], *, may_remove: bool = True) -> set[str]:
        """Returns the names of the slices that are written or deleted for it."""
        spoken = self.wanted ^ wanted
        self.wanted = set(wanted)
        self.packing.adopt()
        self.packing.update(spoken, lambda prefix: prefix in self.wanted, may_remove=may_remove)
        delta = diff(self.packing.rows, self.packing.held)
        self.packing.read(dict(self.packing.rows))
        return {*delta.set, *delta.remove}

    @property
    def published(self) -> set[Prefix]:
        return set(self.packing.published)


def test_twenty_slices_hold_five_thousand_prefixes() -> None:
    term = Term()
    assert len(term.wants(prefixes(5000))) == 20
    assert term.published == prefixes(5000)
    assert max(len(row.prefixes) for row in term.packing.rows.values()) == SLICE_PREFIXES


def test_a_changed_prefix_rewrites_one_slice() -> None:
    term = Term()
    term.wants(prefixes(5000))
    gone = prefixes(1, first=777)
    assert len(term.wants(prefixes(5000) - gone)) == 1
    assert len(term.wants(prefixes(5000) - gone | prefixes(1, first=9000))) == 1
    assert term.published == prefixes(5000) - gone | prefixes(1, first=9000)
    assert term.wants(term.wanted) == set()


def test_an_empty_slice_stays_since_its_absence_would_say_nothing_and_is_filled_again() -> None:
    term = Term()
    term.wants(prefixes(600))
    names = set(term.packing.rows)
    assert len(names) == 3
    term.wants(set())
    assert [row.prefixes for row in term.packing.held.values()] == [frozenset()] * 3
    term.wants(prefixes(700, first=1000))
    assert set(term.packing.held) == names


def test_a_slice_that_appears_during_our_term_is_emptied_and_not_deleted() -> None:
    term = Term()
    term.wants(prefixes(5))
    late = RouteSlice(name="default-7", gateway="default", node="node-0", epoch=0, prefixes=frozenset(prefixes(9)))
    term.packing.read({**term.packing.held, late.name: late})
    term.wants(prefixes(5), may_remove=False)
    assert term.published == prefixes(9), "not every peer has spoken"
    term.wants(prefixes(5))
    assert term.published == prefixes(5)
    row = term.packing.held[late.name]
    assert (row.node, row.prefixes) == ("node-1", frozenset())


def test_who_has_nothing_says_so() -> None:
    term = Term()
    assert term.wants(set()) == {"default-0"}


def test_a_new_term_keeps_what_is_published_until_the_peers_have_spoken() -> None:
    first = Term()
    first.wants(prefixes(600))
    second = Term(first.packing.held, node="node-2", epoch=2)
    second.wants(prefixes(10), may_remove=False)
    assert second.published == prefixes(600)
    assert {(row.node, row.epoch) for row in second.packing.held.values()} == {("node-2", 2)}
    second.wants(prefixes(10), may_remove=True)
    assert second.published == prefixes(10)


def test_what_is_withdrawn_in_a_term_goes_although_a_peer_is_silent() -> None:
    first = Term()
    first.wants(prefixes(20))
    second = Term(first.packing.held, node="node-2", epoch=2)
    second.wants(prefixes(20), may_remove=False)
    second.wants(prefixes(19), may_remove=False)
    assert second.published == prefixes(19)


def test_a_prefix_that_two_slices_hold_is_left_in_one() -> None:
    twice = {
        f"default-{number}": RouteSlice(
            name=f"default-{number}", gateway="default", node="node-0", epoch=0, prefixes=frozenset(prefixes(5))
        )
        for number in range(2)
    }
    term = Term(twice)
    term.wants(prefixes(5), may_remove=False)
    assert sum(len(row.prefixes) for row in term.packing.held.values()) == 5


def test_edits_of_others_are_undone_and_foreign_gateways_are_left_alone() -> None:
    term = Term()
    term.wants(prefixes(5))
    (row,) = term.packing.rows.values()
    other = RouteSlice(name="other-0", gateway="other", node="n", epoch=1, prefixes=frozenset(prefixes(1)))
    term.packing.read({"other-0": other})
    delta = diff(term.packing.rows, term.packing.ours)
    assert delta.set == {row.name: row}
    assert not delta.remove
