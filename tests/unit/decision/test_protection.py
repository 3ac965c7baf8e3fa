"""Rows that protect: what is not judged yet stays, and what is as it should be is not looked at again."""

from ncgd.decision.protection import AT_ONCE, FORGET_SECONDS, Protection
from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix

MANY = frozenset(px.make(4, (10 << 24) + (number << 8), 24) for number in range(3 * AT_ONCE))


def no_route_leaves(_: Prefix) -> bool:
    return False


def started_with(prefixes: frozenset[Prefix]) -> Protection:
    """An ncgd that finds these protected in all three places, and knows no policy yet."""
    protection = Protection()
    protection.protect(frozenset({"peer-1"}), {})
    for rows in (protection.backstops, protection.guard, protection.disk):
        protection.found(rows, prefixes, {})
    return protection


def test_what_is_not_judged_yet_stays() -> None:
    protection = started_with(MANY)
    protection.judge(lambda _: False, "a policy that refuses all")
    removed: set[Prefix] = set()
    for _ in range(9):
        removed |= protection.change_backstops(no_route_leaves, {}).keys()
        removed |= MANY & protection.change_guard(frozenset(), no_route_leaves, may_close=True).remove
        protection.guard.is_writing = protection.backstops.is_writing = False
    assert removed
    assert removed <= MANY - protection.unjudged
    for _ in range(9):
        protection.judge(lambda _: False, "a policy that refuses all")
        removed |= protection.change_backstops(no_route_leaves, {}).keys()
        protection.backstops.is_writing = False
    assert removed == MANY


def test_what_is_as_it_should_be_is_no_work() -> None:
    protection = started_with(MANY)
    assert not protection.change_disk(0.0)
    while not protection.remembered >= MANY:
        protection.judge(lambda _: True, "a policy that accepts all")
        assert protection.backstops.is_settled
        assert protection.guard.is_settled
        assert protection.disk.is_settled
    ranking = (("peer-1",),)
    protection.update({ranking: list(MANY)})
    assert not protection.memory
    assert protection.backstops.is_settled
    assert protection.guard.is_settled
    assert protection.disk.is_settled


def test_another_policy_judges_anew_and_what_was_good_stays_meanwhile() -> None:
    protection = started_with(MANY)
    while protection.unjudged:
        protection.judge(lambda _: True, "accepts all")
    protection.judge(lambda _: False, "refuses all")
    assert protection.change_backstops(no_route_leaves, {}).keys() <= MANY - protection.unjudged


def test_what_is_withdrawn_while_it_is_being_written_goes_after_all() -> None:
    protection = started_with(frozenset())
    prefix = px.parse("10.200.0.0/24")
    protection.update({(("peer-1",),): [prefix]})
    assert protection.change_backstops(no_route_leaves, {}) == {prefix: True}
    assert prefix in protection.change_guard(frozenset(), no_route_leaves, may_close=True).set
    assert protection.change_disk(0.0).set
    protection.update({None: [prefix]})
    for rows in (protection.backstops, protection.guard, protection.disk):
        rows.written({prefix}, set(), ())
    assert protection.change_backstops(no_route_leaves, {}) == {prefix: False}
    assert prefix in protection.change_guard(frozenset(), no_route_leaves, may_close=True).remove
    assert not protection.change_disk(10.0)
    assert prefix in protection.change_disk(11.0 + FORGET_SECONDS).remove
