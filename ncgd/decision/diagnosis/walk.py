"""The whole path, in the order in which packets need it: this machine, its resources, tunnels, sessions, the passage.

The first thing that is wrong ends the walk: what comes after it follows from it, or cannot be told yet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from ncgd.decision.diagnosis.passage import FORWARD, Passage
from ncgd.decision.diagnosis.session import session_steps
from ncgd.decision.diagnosis.step import Diagnosis, Question, Scene, Step, Taken, eased, fine, found, wrong
from ncgd.decision.diagnosis.tunnel import tunnel_steps
from ncgd.decision.export_problems import EXPORT_PROBLEMS
from ncgd.decision.preflight.verdict import Verdict
from ncgd.model.look import Setting, Walk, seen
from ncgd.model.reason import Cause

_MACHINE = ("DataplaneUnavailable", "ProcessDown", "SpeakerUnreachable", "CharonUnreachable")


def diagnose(scene: Scene) -> Walk[Diagnosis]:
    """Walk the path, have looked at what is not known, and stop at the first thing that is wrong."""
    taken: list[Step] = []
    for leg in _legs(scene):
        for each in leg.steps:
            step = each if isinstance(each, Step) else (yield from each)
            taken.append(eased(step) if leg.is_spare else step)
            if step.verdict is Verdict.FAIL:
                break
        if taken and taken[-1].verdict is Verdict.FAIL:
            break
    return Diagnosis(steps=tuple(taken))


def knows(question: Question, scene: Scene) -> bool:
    """Whether what is asked about is there."""
    names = {*scene.intent.tunnels, *scene.intent.peers, *(each.ref.name for each in scene.intent.findings if each.ref)}
    return not question.what or question.what in names


@dataclass(frozen=True, slots=True)
class _Leg:
    """Steps that follow from one another: the first that is wrong ends it."""

    steps: Iterable[Taken]
    is_spare: bool = False
    """There is a way around it."""


def _legs(scene: Scene) -> Iterator[_Leg]:
    question, intent = scene.question, scene.intent
    peers = [each for each in intent.peers.values() if question.what in {"", each.name, each.tunnel}]
    named = {each.tunnel for each in peers if each.name == question.what} or {question.what}
    tunnels = [name for name in sorted(intent.tunnels) if not question.what or name in named]
    yield _Leg([_machine(scene)])
    is_spare = question.destination is not None and bool(scene.desired.carriers.trusted)
    yield _Leg([_resources(scene, {*tunnels, *(each.name for each in peers), question.what})], is_spare)
    if scene.world.role.is_gateway:
        for name in tunnels:
            mine = sorted(each.name for each in peers if each.tunnel == name)
            sessions = chain.from_iterable(session_steps(each, scene) for each in mine)
            yield _Leg(chain(tunnel_steps(name, scene), sessions), is_spare)
        for peer in peers:
            if not peer.tunnel:
                yield _Leg(session_steps(peer.name, scene), is_spare)
    if question.destination is not None:
        yield _Leg(Passage(question.source, question.destination, scene).steps())
    elif not question.what:
        yield _Leg([_forwarding(scene)])
        yield _Leg([_rest(scene)])


def _machine(scene: Scene) -> Step:
    node = scene.world.node or "this node"
    if problem := scene.told(*_MACHINE):
        return found("programs", node, problem)
    role = scene.world.role
    if not role.is_gateway:
        problem = scene.told(about="crossing")
        where = f"this node is not the gateway: {role.message}"
        return found("role", node, problem, where) if problem else fine("role", node, where)
    mode = scene.report.dataplane_mode
    return fine("programs", node, f"IKE daemon and BGP speaker answer; ESP in the {mode} dataplane")


def _resources(scene: Scene, names: set[str]) -> Step:
    is_all = not scene.question.what
    errors = [each for each in scene.intent.findings if each.is_error]
    for each in errors:
        if is_all or (each.ref is not None and each.ref.name in names):
            problem = scene.told(each.reason, about=each.where)
            if problem:
                return found("resources", each.where, problem)
    if problem := scene.told("NothingConfigured"):
        return found("resources", problem.object, problem)
    count = len(scene.intent.tunnels), len(scene.intent.peers)
    return fine("resources", str(scene.intent.gateway.ref), f"{count[0]} tunnels and {count[1]} peers are in force")


def _forwarding(scene: Scene) -> Walk[Step]:
    node = scene.world.node or "this node"
    value = yield from seen(Setting(FORWARD))
    if value != "1" and FORWARD in scene.world.written.get("sysctls", {}):
        saw = f"{FORWARD} is {value}: nothing passes through this machine"
        todo = f"sysctl -w {FORWARD}=1, and see who turned it off: ncgd had turned it on"
        return wrong("forwarding", node, str(Cause.FORWARDING_OFF), saw, todo)
    return fine("forwarding", node, f"{FORWARD} = {value}")


def _rest(scene: Scene) -> Step:
    """Whatever else status shows: it is on nobody's path in particular."""
    problem = scene.told(*EXPORT_PROBLEMS) or next((each for each in scene.report.problems if each.is_error), None)
    problem = problem or next(iter(scene.report.problems), None)
    if problem:
        return found("everything else", problem.object, problem)
    routes = scene.report
    count = "1 route" if routes.routes_installed == 1 else f"{routes.routes_installed} routes"
    return fine("everything else", routes.node, f"{count} installed, no problem known")
