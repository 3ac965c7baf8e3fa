"""Which chain drops what passes through, if one does; and what cannot be known beforehand."""

from dataclasses import replace

import pytest

from ncgd.decision.diagnosis.filtering import dropped
from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Condition, Fate, Packet, Rule

PASSING = Packet(
    source=px.parse("10.10.0.10/32"), destination=px.parse("10.128.0.10/32"), iif="lan0", oif="ncg-t1", state="new"
)
OPEN = Chain(table="t", name="forward", version=4, priority=0)
CLOSED = replace(OPEN, drops_rest=True)


def rule(fate: Fate, *conditions: Condition, chain: str = "", is_conditional: bool = False) -> Rule:
    return Rule(fate=fate, conditions=conditions, chain=chain, is_conditional=is_conditional, text=str(fate))


def when(field: str, *values: str, is_negated: bool = False) -> Condition:
    is_network = field in {"source", "destination"}
    read = tuple(px.parse(each) if is_network else each for each in values)
    return Condition(field=field, values=read, is_negated=is_negated)


@pytest.mark.parametrize(
    ("base", "rules", "is_dropped"),
    [
        (OPEN, (), False),
        (CLOSED, (), True),
        (CLOSED, (rule(Fate.ACCEPT),), False),
        (CLOSED, (rule(Fate.ACCEPT, when("iif", "lan0")),), False),
        (CLOSED, (rule(Fate.ACCEPT, when("iif", "lan*"), when("oif", "ncg*")),), False),
        (CLOSED, (rule(Fate.ACCEPT, when("iif", "docker0")),), True),
        (CLOSED, (rule(Fate.ACCEPT, when("iif", "docker0", is_negated=True)),), False),
        (CLOSED, (rule(Fate.ACCEPT, when("source", "10.10.0.0/24")),), False),
        (CLOSED, (rule(Fate.ACCEPT, when("destination", "10.10.0.0/24")),), True),
        (CLOSED, (rule(Fate.ACCEPT, when("state", "established", "related")),), True),
        (CLOSED, (rule(Fate.ACCEPT, when("state", "new")),), False),
        (OPEN, (rule(Fate.DROP, when("source", "10.10.0.10/32")),), True),
        (OPEN, (rule(Fate.DROP, is_conditional=True),), False),
        (OPEN, (rule(Fate.RETURN), rule(Fate.DROP)), False),
        (OPEN, (rule(Fate.NOTHING), rule(Fate.DROP)), True),
    ],
)
def test_one_chain(base: Chain, rules: tuple[Rule, ...], *, is_dropped: bool) -> None:
    assert (dropped((replace(base, rules=rules),), PASSING) is not None) == is_dropped


def test_jumps_are_followed_and_come_back() -> None:
    docker = replace(CLOSED, rules=(rule(Fate.JUMP, chain="user"), rule(Fate.ACCEPT, when("iif", "docker0"))))
    user = Chain(table="t", name="user", version=4, rules=(rule(Fate.ACCEPT, when("oif", "ncg*")),))
    back = replace(user, rules=(rule(Fate.RETURN),))
    assert dropped((docker, user), PASSING) is None
    assert dropped((docker, back), PASSING) is not None
    goto = replace(CLOSED, rules=(rule(Fate.GOTO, chain="user"), rule(Fate.ACCEPT)))
    assert dropped((goto, back), PASSING) is not None, "what a goto leads to comes back to nobody"


def test_a_condition_that_nobody_knows_is_named() -> None:
    perhaps = replace(CLOSED, rules=(rule(Fate.ACCEPT, is_conditional=True),))
    drop = dropped((perhaps,), PASSING)
    assert drop is not None
    assert drop.where == "t forward: policy drop"
    assert drop.unless == "t forward: accept"


def test_whether_a_chain_returns_early_may_be_unknown_as_whether_it_is_asked() -> None:
    docker = replace(CLOSED, rules=(rule(Fate.JUMP, chain="user", is_conditional=True),))
    user = replace(OPEN, name="user", priority=None, rules=(rule(Fate.RETURN, is_conditional=True), rule(Fate.ACCEPT)))
    drop = dropped((docker, user), PASSING)
    assert drop is not None
    assert drop.unless == "t user: accept"
    never = replace(user, rules=(rule(Fate.DROP), rule(Fate.ACCEPT)))
    drop = dropped((docker, never), PASSING)
    assert drop is not None
    assert drop.unless == "", "what comes after a drop is never asked"


def test_a_jump_stays_with_its_ip_version() -> None:
    """iptables-legacy has a table of the same name for each."""
    docker = replace(CLOSED, rules=(rule(Fate.JUMP, chain="user"),))
    user = Chain(table="t", name="user", version=4, rules=(rule(Fate.ACCEPT),))
    assert dropped((docker, user, replace(user, version=6, rules=())), PASSING) is None


def test_every_base_chain_has_to_let_it_pass_and_of_the_other_ip_version_none() -> None:
    first, second = replace(OPEN, priority=-10, rules=(rule(Fate.ACCEPT),)), replace(CLOSED, name="later")
    drop = dropped((second, first), PASSING)
    assert drop is not None
    assert "later" in drop.where
    assert dropped((replace(CLOSED, version=6),), PASSING) is None


def test_answers_are_of_an_established_connection() -> None:
    chain = replace(CLOSED, rules=(rule(Fate.ACCEPT, when("state", "established")),))
    assert dropped((chain,), replace(PASSING, state="established")) is None
