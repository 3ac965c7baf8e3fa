"""The steps of a diagnosis, and what is found at each."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from ncgd.decision.desired import Desired
from ncgd.decision.preflight.verdict import Verdict
from ncgd.decision.world import World
from ncgd.model.look import Walk
from ncgd.model.report import Problem, Report
from ncgd.model.spec import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants to know. Nothing given: whether anything is wrong here."""

    what: str = ""
    """A tunnel or a peer."""
    source: IPv4Address | None = None
    """A pod, or any other address on this side."""
    destination: IPv4Address | None = None
    """A VM, or any other address on the far side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at."""

    name: str
    where: str
    """What it is about: an object, this node, an address."""
    saw: str
    problem: Problem | None = None
    """None: it is as it should be."""

    @property
    def verdict(self) -> Verdict:
        """How bad it is."""
        if self.problem is None:
            return Verdict.OK
        return Verdict.FAIL if self.problem.is_error else Verdict.WARN


Taken = Step | Walk[Step]
"""A step, or how it is taken where something has to be looked at for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was looked at, in the order of the path; nothing after the first thing that is wrong."""

    steps: tuple[Step, ...]

    @property
    def first(self) -> Problem | None:
        """The first thing that is wrong, or else to be known of."""
        problems = [step.problem for step in self.steps if step.problem]
        return next((each for each in problems if each.is_error), problems[0] if problems else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is known while a question is answered."""

    question: Question
    world: World
    desired: Desired
    report: Report

    @property
    def intent(self) -> Intent:
        """What is in force."""
        return self.world.intent or Intent()

    def told(self, *reasons: str, about: str = "") -> Problem | None:
        """The first of the problems that status shows with one of these reasons, or any of an object."""
        return next(
            (
                each
                for each in self.report.problems
                if (not reasons or each.reason in reasons) and (not about or each.object == about)
            ),
            None,
        )


def fine(name: str, where: str, saw: str) -> Step:
    """It is as it should be."""
    return Step(name=name, where=where, saw=saw)


def found(name: str, where: str, problem: Problem, evidence: str = "") -> Step:
    """Something is not; ``evidence`` is what the problem does not say itself."""
    saw = f"{problem.message}; {evidence}" if evidence else problem.message
    return Step(name=name, where=where, saw=saw, problem=problem)


def wrong(name: str, where: str, reason: str, saw: str, todo: str, *, is_error: bool = True) -> Step:
    """Something is not as it should be that status does not show."""
    return found(name, where, Problem(reason=reason, object=where, message=saw, hint=todo, is_error=is_error))


def eased(step: Step) -> Step:
    """The same, where traffic has another way."""
    return replace(step, problem=replace(step.problem, is_error=False)) if step.problem else step
