"""What a check says."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is. ``warn``: it works, or may work, but somebody should know."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    """Short and stable: scripts select by it."""
    where: str
    """Node, object or cluster that it is about."""
    verdict: Verdict
    saw: str
    todo: str = ""
    """What to do about it; empty when it is fine."""


def ok(name: str, where: str, saw: str) -> Check:
    """It is as it should be."""
    return Check(name=name, where=where, verdict=Verdict.OK, saw=saw)


def warn(name: str, where: str, saw: str, todo: str) -> Check:
    """Somebody should know."""
    return Check(name=name, where=where, verdict=Verdict.WARN, saw=saw, todo=todo)


def fail(name: str, where: str, saw: str, todo: str) -> Check:
    """The gateway does not work like that."""
    return Check(name=name, where=where, verdict=Verdict.FAIL, saw=saw, todo=todo)


def worst(checks: Iterable[Check]) -> Verdict:
    """The verdict on all of them together."""
    order = list(Verdict)
    return max((each.verdict for each in checks), key=order.index, default=Verdict.OK)
