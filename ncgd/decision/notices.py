"""Two reports → what a user must hear of: tunnels and sessions that came or went, objects that are refused."""

from collections.abc import Iterable, Iterator

from ncgd.decision.conditions import ACCEPTED, READY
from ncgd.decision.world import World
from ncgd.model.notice import Notice
from ncgd.model.report import Condition, Report
from ncgd.model.role import Part, Role
from ncgd.model.spec import ObjectRef

_NAMES = {
    "OverlayVPNTunnel": ("TunnelUp", "TunnelDown"),
    "OverlayBGPPeer": ("SessionUp", "SessionDown"),
    "NetworkConnectivityGateway": ("GatewayHealthy", "GatewayNotHealthy"),
}


def is_starting(world: World, report: Report) -> bool:
    """Whether tables wait for a daemon's first answer: what seems down may only not have been read yet."""
    return world.capability is None or (bool(report.held) and report.dataplane_mode != "none")


def notices(before: Report | None, after: Report) -> Iterator[Notice]:
    """What is new. Without a report before, what stands is no news, except refusals."""
    known = {ref: {each.type: each for each in conditions} for ref, conditions in _objects(before)} if before else {}
    for ref, conditions in _objects(after):
        old = known.get(ref, {})
        for condition in conditions:
            last = old.get(condition.type)
            if condition.type == READY and before is not None:
                yield from _ready(ref, last, condition)
            elif condition.type == ACCEPTED and not condition.is_true and _is_other(last, condition):
                yield Notice(ref=ref, reason="Refused", message=condition.message, is_warning=True)


def notices_of_role(before: Role, after: Report) -> Iterator[Notice]:
    """What is new about who is the gateway, as seen on this node."""
    role, text = after.role, after.role.message
    if role.part == Part.ACTIVE and before.part == Part.STANDBY:
        text = f"{after.node} is the gateway from now on; before: {before.message}"
        yield Notice(ref=after.gateway, reason="GatewayMoved", message=text)
    elif before.part == Part.ACTIVE and role.part in {Part.STANDBY, Part.NODE}:
        yield Notice(ref=after.gateway, reason="StoodDown", message=f"{after.node} is not the gateway any more: {text}")
    elif before.may_initiate and not role.may_initiate:
        yield Notice(ref=after.gateway, reason=str(role.reason), message=f"{after.node}: {text}", is_warning=True)


def _ready(ref: ObjectRef, last: Condition | None, now: Condition) -> Iterator[Notice]:
    was_true = last is not None and last.is_true
    if was_true != now.is_true:
        up, down = _NAMES[ref.kind]
        if now.is_true:
            yield Notice(ref=ref, reason=up, message=now.message)
        else:
            yield Notice(ref=ref, reason=down, message=f"{now.reason}: {now.message}", is_warning=True)


def _is_other(last: Condition | None, now: Condition) -> bool:
    return last is None or (last.is_true, last.message) != (now.is_true, now.message)


def _objects(report: Report) -> Iterable[tuple[ObjectRef, tuple[Condition, ...]]]:
    yield report.gateway, report.conditions
    for tunnel in report.tunnels:
        yield tunnel.ref, tunnel.conditions
    for peer in report.peers:
        yield peer.ref, peer.conditions
    for refused in report.refused:
        yield refused.ref, refused.conditions
