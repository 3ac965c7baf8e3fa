"""Reports → status and Events of the objects: written when something changed, and now and then as a heartbeat.

One request at a time, paced, level-triggered: a report that was never written is no loss, the next one holds all.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ncgd.decision.conditions import ACCEPTED
from ncgd.decision.notices import is_starting, notices, notices_of_role
from ncgd.decision.received import received
from ncgd.decision.world import SETTLE_SECONDS, World
from ncgd.errors import DriverError, Rejected
from ncgd.model.report import Condition, Health, PeerReport, RefusedReport, Report, TunnelReport
from ncgd.model.role import STANDALONE
from ncgd.model.spec import Finding, ObjectRef
from ncgd.resources import crd
from ncgd.resources.object_status import gateway_status, peer_status, refused_status, tunnel_status
from ncgd.resources.v1alpha1 import API_VERSION
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json
from ncgd.sources.kubernetes.events import Events
from ncgd.sources.kubernetes.pace import Pace
from ncgd.sources.kubernetes.source import KubernetesSource

log = logging.getLogger("ncgd.kubernetes")

HEARTBEAT_SECONDS = 30.0
"""How often the gateway's LastReportTime advances."""
REFRESH_SECONDS = 120.0
"""How often counters and times of tunnels and peers are written although nothing changed."""
LOOK_SECONDS = 1.0
"""How often reports are looked at."""
VACANT_SECONDS = 5.0
"""When nobody has followed a gateway that has gone for so long, that is told: a successor needs a fraction of it."""
LISTED_PREFIXES = 100
"""Prefixes in a status, per peer and direction: an object in etcd has to stay small. ``ncgctl`` shows all."""
LONGEST_DELAY_SECONDS = 60.0
TOO_MANY = 429
CONFLICT = 409


class Seen(Protocol):
    """What the loop shows after each pass."""

    world: World
    report: Report | None


Item = TunnelReport | PeerReport | RefusedReport | Report


@dataclass(frozen=True, slots=True)
class _Written:
    key: object
    at: float


class StatusWriter:
    """Keeps ``.status`` of our objects true."""

    def __init__(self, cluster: Cluster, source: KubernetesSource, node: str, wall: Callable[[], str]) -> None:
        """``source`` knows which objects there are; ``wall`` is the time as RFC 3339."""
        self._cluster = cluster
        self._source = source
        self._events = Events(node)
        self._wall = wall
        self._started = wall()
        self._first_seen: float | None = None
        self._seen: Seen | None = None
        self._report: Report | None = None
        self._role = STANDALONE
        self._left: float | None = None
        """When we were the gateway last, as long as nobody has been it since."""
        self._written: dict[ObjectRef, _Written] = {}
        self._adopted: dict[tuple[ObjectRef, str], tuple[str, str]] = {}
        self._delay = 0.0
        self._wake = asyncio.Event()

    def observe(self, seen: Seen) -> None:
        """Take note of the state after a pass. Nothing is told of a start that has not read everything yet."""
        report, now = seen.report, asyncio.get_running_loop().time()
        if report is None or seen.world.intent is None:
            return
        before, self._role = self._role, report.role
        for notice in notices_of_role(before, report):
            self._events.add(notice, self._wall())
            self._wake.set()
        if not (told := self._ours_to_tell(report, now)):
            self._report = None
            return
        report = told
        self._first_seen = now if self._first_seen is None else self._first_seen
        if self._report is None and is_starting(seen.world, report) and now - self._first_seen < SETTLE_SECONDS:
            return
        for notice in notices(self._report, report):
            self._events.add(notice, self._wall())
        self._seen, self._report = seen, report
        self._wake.set()

    def _ours_to_tell(self, report: Report, now: float) -> Report | None:
        """The report, if it is for the status: the active one's; or where nobody came after it, that there is none."""
        role = report.role
        if role.is_gateway or role.holder or not role.is_decided:
            self._left = now if role.is_gateway else None
            return report if role.is_gateway and role.may_initiate else None
        if self._left is None or now - self._left < VACANT_SECONDS:
            return None
        return replace(report, node="", health=Health.DOWN)

    async def run(self) -> None:
        """Write until cancelled."""
        clock = asyncio.get_running_loop().time
        pace = Pace(clock)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (job := self._next_job(clock())) is not None:
                await asyncio.sleep(pace.wait())
                pace.spend()
                await self._attempt(job, clock)
            await asyncio.sleep(LOOK_SECONDS)

    def _next_job(self, now: float) -> ObjectRef | tuple[ObjectRef, str] | None:
        """A status that changed, an Event, or a status grown old; of each the one that waited longest."""
        stale: list[tuple[float, ObjectRef]] = []
        aged: list[tuple[float, ObjectRef]] = []
        items = dict(_items(self._report))
        self._written = {ref: each for ref, each in self._written.items() if ref in items}
        for ref, item in items.items():
            uid = self._source.uid(ref)
            if uid is None:
                continue
            written = self._written.get(ref)
            age = HEARTBEAT_SECONDS if isinstance(item, Report) else REFRESH_SECONDS
            if written is None or written.key != (uid, _key(item)):
                stale.append((written.at if written else 0.0, ref))
            elif now - written.at > age:
                aged.append((written.at, ref))
        first = min(stale, key=lambda each: each[0], default=None)
        if first:
            return first[1]
        event = self._events.due(now)
        if event:
            return event
        oldest = min(aged, key=lambda each: each[0], default=None)
        return oldest[1] if oldest else None

    async def _attempt(self, job: ObjectRef | tuple[ObjectRef, str], clock: Callable[[], float]) -> None:
        least = 0.0
        try:
            if isinstance(job, ObjectRef):
                await self._write_status(job, clock)
            else:
                await self._write_event(job, clock)
            self._delay = 0.0
            self._source.note("status", None)
            return
        except ApiRejected as error:
            least = min(error.retry_after, LONGEST_DELAY_SECONDS)
            self._source.note("status", _refusal(error, job))
            if error.code < 500 and error.code not in {TOO_MANY, CONFLICT}:  # the same again would fare the same
                self._give_up(job, clock())
        except DriverError as error:
            log.debug("status is not written: %s", error)
        self._delay = min(LONGEST_DELAY_SECONDS, max(0.5, 2 * self._delay))
        await asyncio.sleep(least + self._delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret

    def _give_up(self, job: ObjectRef | tuple[ObjectRef, str], now: float) -> None:
        if isinstance(job, ObjectRef):
            item = dict(_items(self._report)).get(job)
            self._written[job] = _Written((self._source.uid(job), _key(item) if item else None), now)
        else:
            self._events.written(job, now)

    async def _write_status(self, ref: ObjectRef, clock: Callable[[], float]) -> None:
        item, uid = dict(_items(self._report)).get(ref), self._source.uid(ref)
        if item is None or not uid:
            return
        path = f"/apis/{API_VERSION}/namespaces/{ref.namespace}/{crd.plural(ref.kind)}/{ref.name}/status"
        body: Json = {
            "apiVersion": API_VERSION,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": self._status(ref, item),
        }
        await self._cluster.apply(path, body)
        self._written[ref] = _Written((uid, _key(item)), clock())

    async def _write_event(self, key: tuple[ObjectRef, str], clock: Callable[[], float]) -> None:
        uid = self._source.uid(key[0])
        if uid:
            await self._cluster.apply(*self._events.body(key, uid))
        self._events.written(key, clock())

    def _status(self, ref: ObjectRef, item: Item) -> Json:
        now = self._wall()
        item = replace(item, conditions=tuple(self._dated(ref, each) for each in item.conditions))
        match item:
            case TunnelReport():
                return tunnel_status(item, now)
            case PeerReport():
                world = self._seen.world if self._seen else World()
                prefixes = received(ref.name, world, LISTED_PREFIXES)
                return peer_status(item, now, prefixes, listed=LISTED_PREFIXES)
            case RefusedReport():
                return refused_status(item, now)
            case Report():
                return gateway_status(item, now, self._started, listed=LISTED_PREFIXES)

    def _dated(self, ref: ObjectRef, condition: Condition) -> Condition:
        """What an earlier ncgd found and we find too has not changed since then."""
        key = (ref, condition.type)
        if key not in self._adopted:
            status = "True" if condition.is_true else "False"
            earlier = [
                str(each.get("lastTransitionTime") or "")
                for each in self._source.conditions(ref)
                if (each.get("type"), each.get("status")) == (condition.type, status)
            ]
            self._adopted[key] = (condition.since, earlier[0] if earlier else "")
        ours, theirs = self._adopted[key]
        return replace(condition, since=theirs) if theirs and condition.since == ours else condition


def _items(report: Report | None) -> Iterator[tuple[ObjectRef, Item]]:
    if report is None:
        return
    yield report.gateway, report
    below: list[TunnelReport | PeerReport | RefusedReport] = [*report.tunnels, *report.peers, *report.refused]
    for each in below:
        yield each.ref, each


def _key(item: Item) -> tuple[Any, ...]:
    """What must change before a status is worth a request. Counters, times and the wording of "ready" are not."""
    told = tuple(
        (each.type, each.is_true, each.reason, each.since, each.message if each.type == ACCEPTED else "")
        for each in item.conditions
    )
    match item:
        case TunnelReport():
            return item.status, item.generation, told
        case PeerReport():
            counts = (item.received, item.accepted, tuple(item.refused.items()), item.advertised)
            return item.status, item.generation, told, counts
        case Report():
            return item.health, item.node, item.gateway_generation, item.dataplane_mode, item.exports, told
        case RefusedReport():
            return item.generation, told


def _refusal(error: Rejected, job: ObjectRef | tuple[ObjectRef, str]) -> Finding | None:
    """What a person has to mend; None for what passes by itself."""
    ref, what = (job, "status") if isinstance(job, ObjectRef) else (job[0], "Events")
    match error:
        case ApiRejected(code=401 | 403):
            hint = "kubectl apply -f config/rbac, and run ncgd with that service account"
            return Finding(
                reason="StatusForbidden", where=str(ref), message=f"{what}: {error}", hint=hint, is_error=False
            )
        case ApiRejected(code=400 | 422):
            hint = "kubectl apply -f config/crd: the definition in the cluster may be another version's"
            return Finding(
                reason="StatusRefused", where=str(ref), message=f"{what}: {error}", hint=hint, is_error=False
            )
    return None
