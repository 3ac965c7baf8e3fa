"""What a diagnosis is shown when it looks: a machine on which all is well, but for what a test says."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any, TypeVar

from ncgd.decision.desired import desired_state
from ncgd.decision.diagnosis.step import Diagnosis, Question, Scene, Step
from ncgd.decision.diagnosis.walk import diagnose
from ncgd.model.fib import Way
from ncgd.model.look import (
    Echo,
    EchoAnswer,
    ForwardRules,
    Heard,
    IkeReach,
    Knock,
    KnockAnswer,
    Look,
    NatRules,
    RouteAnswer,
    RouteOf,
    Rules,
    Setting,
    Walk,
)
from tests.scenarios.site import Site

POD, VM = IPv4Address("10.10.0.10"), IPv4Address("10.128.0.10")
NODE = IPv4Address("10.10.0.1")
LAN = "eth1"
T = TypeVar("T")


def shown(look: Look[Any], site: Site) -> Any:
    """A healthy machine; the pod is behind LAN."""
    tunnel = next(iter(sorted(name for name in site.interfaces if name.startswith("ncg"))), "")
    match look:
        case Setting(key=key):
            return "2" if key.endswith("rp_filter") else "1"
        case RouteOf(destination=destination):
            by = LAN if destination in {POD, NODE} else tunnel
            return RouteAnswer(way=Way(interface=by, length=24))
        case Echo(source=source):
            return EchoAnswer(left_by=tunnel, left_as=source, came_by=tunnel, passed_on=LAN, milliseconds=3)
        case Knock():
            return KnockAnswer(heard=Heard.OPEN)
        case IkeReach():
            return {500: "answered", 4500: "answered"}
        case ForwardRules() | NatRules():
            return Rules()
    raise AssertionError(look)


def walked(walk: Walk[T], site: Site, answers: Mapping[Look[Any], Any]) -> T:
    """The walk, shown ``answers`` and otherwise what a healthy machine shows."""
    answer: Any = None
    while True:
        try:
            look = walk.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        answer = answers.get(look) or shown(look, site)


def diagnosed(site: Site, question: Question, answers: Mapping[Look[Any], Any] | None = None) -> Diagnosis:
    """The diagnosis of a site as it is."""
    scene = Scene(question=question, world=site.world, desired=desired_state(site.world), report=site.report())
    return walked(diagnose(scene), site, answers or {})


def first(diagnosis: Diagnosis) -> Step:
    """The step at which something is wrong: the last, as nothing is looked at after it."""
    step = diagnosis.steps[-1]
    assert step.problem is not None, [f"{each.name}: {each.saw}" for each in diagnosis.steps]
    return step
