"""The pass: fold what happened, compute what should be, write the difference. Nothing else decides or writes.

::

    drivers, sources, supervisor ──post──► Mailbox ──► fold ──► World ──► desired_state ──► make_plan
                                              ▲                                                 │
                                              └────────────── TableWritten, RoutesWritten ◄── apply
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ncgd import __version__
from ncgd.daemon.mailbox import Mailbox
from ncgd.decision.conditions import with_conditions
from ncgd.decision.desired import Desired, desired_state
from ncgd.decision.failover import watched
from ncgd.decision.fold import fold, next_wakeup
from ncgd.decision.status import report
from ncgd.decision.timeline import Timeline
from ncgd.decision.tunnels import Dataplane
from ncgd.decision.world import World
from ncgd.drivers.port import OwnedTable
from ncgd.errors import DriverError
from ncgd.model.delta import Outcome
from ncgd.model.event import RoutesWritten, TableWritten, Ticked
from ncgd.model.fib import RouteChange
from ncgd.model.happening import Entry
from ncgd.model.histogram import Histogram
from ncgd.model.prefix import Prefix
from ncgd.model.report import Report
from ncgd.model.role import STANDALONE, Role
from ncgd.model.spec import Intent
from ncgd.plan.order import BEFORE_REMOVALS, BESIDE, WITHDRAWN_FIRST
from ncgd.plan.plan import Plan, RouteStep, Step, make_plan

log = logging.getLogger("ncgd")

PATIENCE_SECONDS = 0.25
"""How long a pass waits for one table; a slower one (charon hangs, say) is written on beside the passes that follow."""
HEARTBEAT_SECONDS = 1.0
"""The longest time between two passes: status must not grow old."""

PASS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Of the durations of passes, in seconds."""

Program = Callable[[RouteChange], Awaitable[Outcome[Prefix]]]


@dataclass(slots=True)
class State:
    """What the last pass left behind, for the API to show."""

    world: World
    desired: Desired = field(default_factory=lambda: Desired(dataplane=Dataplane(None, "starting")))
    plan: Plan = field(default_factory=Plan)
    report: Report | None = None
    timeline: Timeline = field(default_factory=Timeline)
    happened: list[Entry] = field(default_factory=list)
    """Entries of the timeline that are new since the pass before, or have changed."""
    passes: int = 0
    ended: float = 0.0
    """When the last pass ended, by the loop's clock."""
    pass_times: Histogram = field(default_factory=lambda: Histogram.of(*PASS_BOUNDS))
    """How long the passes took, in seconds."""


Observe = Callable[[State], None]
"""Is shown the state after every pass; must not block."""


class Loop:
    """Runs passes until cancelled."""

    def __init__(
        self,
        mailbox: Mailbox,
        tables: Mapping[str, OwnedTable[object, object]],
        program: Program,
        node: str,
        *,
        gateway: str = "default",
        role: Role = STANDALONE,
        past: Iterable[Entry] = (),
        clock: Callable[[], float] = time.monotonic,
        observe: Observe = lambda _: None,
    ) -> None:
        """``program`` writes routes; ``gateway``: its Lease's; ``role`` to start with; ``past``: the timeline so far.

        ``clock``: monotonic seconds.
        """
        self._mailbox = mailbox
        self._tables = tables
        self._program = program
        self._clock = clock
        self._observe = observe
        self._slow: dict[str, asyncio.Task[Outcome[object]]] = {}
        self._programming: asyncio.Task[None] | None = None
        now = clock()
        world = World(started=now, now=now, node=node, gateway=gateway, role=role)
        self.state = State(world, timeline=Timeline(past))

    async def run(self) -> None:
        """Pass after pass."""
        try:
            while True:
                await self._wait_and_fold()
                await self._pass()
        finally:
            for task in (*self._slow.values(), self._programming):
                if task is not None:
                    task.cancel()

    async def _wait_and_fold(self) -> None:
        world = self.state.world
        seconds = HEARTBEAT_SECONDS
        if self.state.plan.has_more:
            seconds = 0.0
        elif (due := next_wakeup(world)) is not None:
            seconds = min(seconds, max(0.0, due - self._clock()))
        events, heard = await self._mailbox.take(seconds)
        now = self._clock()
        for event in (*events, Ticked()):  # routine events never end: time must not wait for a pause between them
            world = fold(world, event, now)
        self.state.world = replace(world, heard=heard)

    async def _pass(self) -> None:
        began = self._clock()
        state = self.state
        state.desired = desired_state(state.world)
        state.world = watched(state.world, state.desired)
        state.plan = make_plan(state.world, state.desired)
        for step in state.plan.steps:
            await self._apply(step)
        before = state.report
        bare = report(replace(state.world, now=self._clock()), state.desired, state.plan.held)
        state.report = with_conditions(bare, state.world.intent or Intent(), before, wall_time())
        state.passes += 1
        state.ended = self._clock()
        state.pass_times = state.pass_times.plus(state.ended - began)
        log_changes(before, state.report)
        state.happened = state.timeline.observe(state.world, state.report, wall_moment, version=__version__)
        self._observe(state)

    async def _apply(self, step: Step | RouteStep) -> None:
        if isinstance(step, RouteStep):
            self._programming = asyncio.create_task(self._program_routes(step.change), name="program routes")
            return
        if step.table in self._slow or (_only_removes(step) and self._slow.keys() & BEFORE_REMOVALS):
            return  # planned again once it is done
        if step.delta.remove and step.table != WITHDRAWN_FIRST and self._programming is not None:
            await self._programming  # make before break: routes point at what is removed until they are re-pointed
        log.debug("write %s: set %s, remove %s", step.table, list(step.delta.set), list(step.delta.remove))
        begun = self._clock()
        task = asyncio.create_task(self._write(step), name=f"write {step.table}")
        await asyncio.wait({task}, timeout=0 if step.table in BESIDE else PATIENCE_SECONDS)
        if task.done():
            self._written(step, task, begun)
        else:
            self._slow[step.table] = task
            task.add_done_callback(lambda done: self._written(step, done, begun))

    async def _program_routes(self, change: RouteChange) -> None:
        """Beside the passes that follow: while the kernel works, the next slice is decided, and failover goes first."""
        try:
            outcome = await self._program(change)
        except DriverError as error:
            outcome = Outcome(failed=dict.fromkeys(change.routes.keys() | change.backstops.keys(), str(error)))
        except Exception as error:
            log.exception("a bug in the table of routes", extra={"event": "bug"})
            text = f"a bug in ncgd: {error!r}; see its log"
            outcome = Outcome(failed=dict.fromkeys(change.routes.keys() | change.backstops.keys(), text))
        self._mailbox.post(RoutesWritten(change=change, outcome=outcome))

    async def _write(self, step: Step) -> Outcome[object]:
        try:
            return await self._tables[step.table].write(step.delta)
        except DriverError as error:
            text = str(error)
        except Exception as error:
            log.exception("a bug in table %s", step.table, extra={"event": "bug"})
            text = f"a bug in ncgd: {error!r}; see its log"
        return Outcome(failed=dict.fromkeys([*step.delta.set, *step.delta.remove], text))

    def _written(self, step: Step, task: asyncio.Task[Outcome[object]], begun: float) -> None:
        self._slow.pop(step.table, None)
        if task.cancelled():
            return
        delta = step.delta
        self._mailbox.post(
            TableWritten(
                table=step.table,
                begun=begun,
                ended=self._clock(),
                set=delta.set,
                removed=delta.remove,
                outcome=task.result(),
            )
        )


def _only_removes(step: Step) -> bool:
    is_small = step.table not in BESIDE and step.table != WITHDRAWN_FIRST
    return bool(step.delta.remove) and not step.delta.set and is_small


def wall_time() -> str:
    """Now, for people and the API only: RFC 3339, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def wall_moment() -> str:
    """The same to the millisecond, for the timeline."""
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def log_changes(before: Report | None, after: Report) -> None:
    """One line for each thing an operator would want to hear of; silence when nothing changed."""
    if before is None or before.health != after.health:
        log.info("gateway is %s", after.health, extra={"event": "gateway_health", "status": after.health})
    if before is None or before.dataplane_reason != after.dataplane_reason:
        log.info("dataplane %s: %s", after.dataplane_mode, after.dataplane_reason, extra={"event": "dataplane"})
    tunnels = {tunnel.ref: tunnel for tunnel in before.tunnels} if before else {}
    for tunnel in after.tunnels:
        old = tunnels.get(tunnel.ref)
        if old is None or (old.reason, old.status) != (tunnel.reason, tunnel.status):
            extra = {"event": "tunnel", "tunnel": tunnel.ref.name, "reason": tunnel.reason}
            log.info("tunnel %s is %s: %s", tunnel.ref.name, tunnel.status, tunnel.message, extra=extra)
    peers = {peer.ref: peer for peer in before.peers} if before else {}
    for peer in after.peers:
        was = peers.get(peer.ref)
        if was is None or (was.reason, was.status) != (peer.reason, peer.status):
            extra = {"event": "session", "peer": peer.ref.name, "reason": peer.reason}
            log.info("session %s is %s: %s", peer.ref.name, peer.status, peer.message, extra=extra)
    known = {(problem.reason, problem.object) for problem in before.problems} if before else set()
    for problem in after.problems:
        if (problem.reason, problem.object) not in known:
            level = logging.WARNING if problem.is_error else logging.INFO
            extra = {"event": "problem", "reason": problem.reason, "object": problem.object}
            log.log(level, "%s: %s: %s", problem.reason, problem.object, problem.message, extra=extra)
