"""Two passes → what happened between them, in the order in which one thing leads to the next."""

from collections.abc import Iterator
from dataclasses import dataclass

from ncgd.decision.conditions import summary
from ncgd.decision.edits import edits
from ncgd.decision.notices import notices, notices_of_role
from ncgd.model.happening import Happening
from ncgd.model.notice import Notice
from ncgd.model.report import Health, Report
from ncgd.model.role import Part
from ncgd.model.spec import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a pass has left behind, as far as it can make news."""

    intent: Intent | None
    report: Report


def news(before: Moment, after: Moment) -> Iterator[Happening]:
    """What a person wants to find later, but for problems, which are told by the timeline."""
    last, now = before.report, after.report
    if before.intent is not None and after.intent is not None and before.intent != after.intent:
        yield from edits(before.intent, after.intent)
    yield from _of_role(last, now)
    if last.dataplane_mode != now.dataplane_mode:
        text = f"{last.dataplane_mode} was, {now.dataplane_mode} is: {now.dataplane_reason}"
        is_worse = now.dataplane_mode == "none"
        yield Happening(object=str(now.gateway), reason="DataplaneChanged", message=text, is_warning=is_worse)
    if last.role.is_gateway and now.role.is_gateway:  # elsewhere tunnels and sessions are another node's
        told = (_told(notice) for notice in notices(last, now) if notice.ref != now.gateway)
        yield from sorted(told, key=lambda each: each.reason == "SessionDown")  # the session follows its tunnel
    yield from _of_failovers(last, now)
    yield from _of_crossing(last, now)
    if last.health != now.health and now.role.is_gateway:  # elsewhere it is the part played that tells
        yield health(now)
    yield from _of_counters(last, now)


def health(report: Report) -> Happening:
    """How the gateway is, from now on; why, what stands beside it tells."""
    return Happening(
        object=str(report.gateway),
        reason=f"Gateway{report.health}",
        message=summary(report),
        is_warning=report.health in {Health.DEGRADED, Health.DOWN},
    )


def _told(notice: Notice) -> Happening:
    return Happening(object=str(notice.ref), reason=notice.reason, message=notice.message, is_warning=notice.is_warning)


def _of_role(last: Report, now: Report) -> Iterator[Happening]:
    told = [_told(notice) for notice in notices_of_role(last.role, now)]
    yield from told
    role = now.role
    if told or last.role.holder == role.holder or role.part not in {Part.STANDBY, Part.NODE}:
        return
    reason = "GatewayMoved" if role.holder else "GatewayVacant"
    text = f"{role.holder or 'nobody'} is the gateway from now on: {role.message}"
    yield Happening(object=str(now.gateway), reason=reason, message=text, is_warning=not role.holder)


def _of_crossing(last: Report, now: Report) -> Iterator[Happening]:
    """How this node sends to the gateway's."""
    if now.crossing is None or last.crossing is None:
        return
    if (last.crossing.transport, last.crossing.reason) != (now.crossing.transport, now.crossing.reason):
        yield Happening(
            object=str(now.gateway),
            reason="CrossingChanged",
            message=f"{now.crossing.transport}: {now.crossing.message}",
            is_warning=now.crossing.transport == "none",
        )


def _of_failovers(last: Report, now: Report) -> Iterator[Happening]:
    known = last.failovers.recent[-1].number if last.failovers.recent else 0
    refs = {peer.ref.name: str(peer.ref) for peer in now.peers}
    for failover in now.failovers.recent:
        if failover.number > known:
            later = f"{failover.seconds * 1000:.0f} ms later"
            yield Happening(
                object=refs.get(failover.peer, failover.peer),
                reason="Failover",
                message=f"{failover.cause}; {later} its traffic went through {' and '.join(failover.successors)}",
                is_warning=True,
            )


def _of_counters(last: Report, now: Report) -> Iterator[Happening]:
    """What others did to us, and what the guard has done about it: bouts of it, not every packet."""
    if now.drift > last.drift:
        rows = "1 row" if now.drift == 1 else f"{now.drift} rows"
        text = f"another program changed what is ncgd's, and it was put right: {rows} since ncgd started"
        yield Happening(object="machine", reason="PutRight", message=text, is_warning=True, is_ongoing=True)
    if now.leak.dropped > last.leak.dropped:
        text = f"the guard has kept {now.leak.dropped} packets from leaving in cleartext since ncgd started"
        yield Happening(object="nftables", reason="LeakPrevented", message=text, is_warning=True, is_ongoing=True)
