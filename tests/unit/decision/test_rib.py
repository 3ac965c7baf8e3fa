"""Which path wins, what a prefix limit keeps, what happens to stale paths."""

from collections.abc import Callable, Set
from dataclasses import replace

import pytest

from ncgd.decision.policy import ImportCheck, Surroundings
from ncgd.decision.rib import Ranking, Rib, rank, rank_in_order
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes, Origin
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal
from ncgd.model.spec import Policy

BASE = Attributes(as_path=(64512,), as_path_length=1, origin=Origin.IGP, med=100)
P = px.parse("10.128.0.0/20")


def check() -> ImportCheck:
    return ImportCheck(Policy(), Surroundings(), 65010, "169.254.1.1", in_tunnel=True)


def rib_with(limit: int = 5000, *peers: str) -> Rib:
    rib = Rib()
    rib.configure({peer: (check(), limit) for peer in peers or ("a", "b")})
    return rib


def decide(
    rib: Rib,
    installed: Set[Prefix] = frozenset(),
    rank: Callable[[tuple[tuple[str, Attributes], ...]], Ranking] = rank,
) -> dict[Prefix, Ranking | None]:
    """What changed, by prefix, once all is decided."""
    changed: dict[Prefix, Ranking | None] = {}
    while rib.has_more:
        for ranking, some in rib.decide(rank, installed).items():
            changed |= dict.fromkeys(some, ranking)
    return changed


def prefixes(count: int) -> list[Prefix]:
    return [px.make(4, (10 << 24) + i * 256, 24) for i in range(count)]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (BASE, replace(BASE, as_path=(64512, 64513), as_path_length=2)),
        (BASE, replace(BASE, origin=Origin.EGP)),
        (replace(BASE, origin=Origin.EGP), replace(BASE, origin=Origin.INCOMPLETE)),
        (replace(BASE, med=0), BASE),
        # Earlier rules win over later ones.
        (replace(BASE, med=900), replace(BASE, as_path=(64512, 1), as_path_length=2, med=0)),
    ],
)
def test_best_path_follows_rfc_4271(better: Attributes, worse: Attributes) -> None:
    assert rank((("a", better), ("b", worse))) == (("a",), ("b",))
    assert rank((("a", worse), ("b", better))) == (("b",), ("a",))


def test_equal_paths_share_a_tier() -> None:
    assert rank((("b", BASE), ("a", BASE))) == (("a", "b"),)


def test_med_is_not_compared_between_different_neighbouring_as() -> None:
    other = replace(BASE, as_path=(64999,), med=5)
    assert rank((("a", BASE), ("b", other))) == (("a", "b"),)


def test_active_passive_makes_a_ladder_in_the_given_order() -> None:
    order = rank_in_order({"a": 1, "b": 0, "c": 2})
    assert order((("a", BASE), ("b", BASE), ("c", replace(BASE, med=1)))) == (("c",), ("b",), ("a",))


def test_a_replaced_path_is_an_implicit_withdrawal() -> None:
    rib = rib_with()
    rib.learn("a", BASE, [P])
    rib.learn("b", replace(BASE, med=50), [P])
    assert decide(rib) == {P: (("b",), ("a",))}
    rib.learn("b", replace(BASE, med=150), [P])
    assert decide(rib) == {P: (("a",), ("b",))}


def test_only_what_changed_is_decided() -> None:
    rib = rib_with()
    rib.learn("a", BASE, prefixes(1000))
    assert len(decide(rib)) == 1000
    asked = 0

    def counting(candidates: tuple[tuple[str, Attributes], ...]) -> Ranking:
        nonlocal asked
        asked += 1
        return rank(candidates)

    rib.learn("b", replace(BASE, med=7), [P])
    assert decide(rib, rank=counting) == {P: (("b",),)}
    assert asked == 1


def test_the_prefix_limit_keeps_what_came_first_and_refills_when_room_is_made() -> None:
    rib = rib_with(10, "a")
    rib.learn("a", BASE, prefixes(10))
    first = decide(rib)
    rib.learn("a", BASE, prefixes(15))
    assert decide(rib) == {}
    table = rib.peers["a"]
    assert list(table.refused.values()) == [Refusal.PREFIX_LIMIT] * 5
    gone = next(iter(first))
    rib.withdraw("a", [gone])
    changed = decide(rib)
    assert changed.pop(gone) is None
    assert list(changed.values()) == [(("a",),)]
    assert len(table.accepted) == 10


def test_the_prefix_limit_keeps_what_is_installed_when_a_new_ncgd_sees_all_at_once() -> None:
    rib = rib_with(10, "a")
    sent = prefixes(1000)
    rib.learn("a", BASE, sent)
    assert decide(rib, set(sent[990:])).keys() == set(sent[990:])


def test_stale_paths_stay_until_a_live_peer_speaks() -> None:
    rib = rib_with()
    one, two = prefixes(2)
    rib.learn("a", BASE, [one, two])
    decide(rib)
    rib.mark_stale("a")
    assert decide(rib) == {}
    rib.learn("a", BASE, [one])
    rib.sweep_stale("a", 4)
    assert decide(rib) == {two: None}
    assert rib.peers["a"].stale == set()


def test_end_of_rib_of_one_family_leaves_the_other() -> None:
    rib = rib_with()
    v6 = px.parse("2001:db8::/32")
    rib.learn("a", BASE, [P, v6])
    rib.mark_stale("a")
    rib.sweep_stale("a", 4)
    assert decide(rib) == {v6: (("a",),)}


def test_a_whole_table_replaces_the_old_one() -> None:
    rib = rib_with()
    one, two, three = prefixes(3)
    rib.learn("a", BASE, [one, two])
    decide(rib)
    rib.replace("a", {two: BASE, three: BASE}, is_complete=True)
    assert decide(rib) == {one: None, three: (("a",),)}
    rib.replace("a", {three: BASE}, is_complete=False)
    assert decide(rib) == {}
    assert rib.peers["a"].stale == {two}


def test_a_peer_that_is_no_longer_configured_takes_its_paths_along() -> None:
    rib = rib_with()
    rib.learn("a", BASE, [P])
    rib.learn("b", BASE, [P])
    decide(rib)
    rib.configure({"a": (check(), 5000)})
    assert decide(rib) == {P: (("a",),)}


def test_a_peer_that_is_known_again_has_the_paths_of_its_session() -> None:
    rib = rib_with()
    rib.learn("a", BASE, [P])
    rib.learn("b", BASE, [P])
    decide(rib)
    known = {"a": (check(), 5000), "b": (check(), 5000)}
    rib.configure({})
    assert decide(rib) == {P: None}
    rib.mark_stale("b")
    rib.configure({})
    rib.configure(known)
    assert decide(rib) == {P: (("a",),)}, "the session of b has ended, and with it what it had sent"
    assert "b" not in rib.peers or not rib.peers["b"].paths


def test_a_changed_policy_is_applied_to_what_is_known() -> None:
    rib = rib_with()
    rib.learn("a", BASE, [P])
    decide(rib)
    strict = ImportCheck(Policy(), Surroundings(own=(P,)), 65010, "169.254.1.1", in_tunnel=True)
    rib.configure({"a": (strict, 5000), "b": (check(), 5000)})
    assert decide(rib) == {P: None}
    assert rib.peers["a"].refused == {P: Refusal.OWN_PREFIX}
