"""The timeline: what happened on this node, in order, with reasons. Bounded, and fed with every pass.

It tells what an ncgd saw happen: what stands when it starts is one entry, not a dozen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ncgd.decision.conditions import summary
from ncgd.decision.news import Moment, news
from ncgd.decision.notices import is_starting
from ncgd.decision.world import SETTLE_SECONDS, World
from ncgd.model.happening import Entry, Happening
from ncgd.model.report import Problem, Report

MOST_KEPT = 1000
"""Entries; at most some 300 kB of text."""
ONGOING_SECONDS = 60.0
"""What goes on is one entry as long as it does not pause for so long."""
MESSAGE_CHARACTERS = 1024


class Timeline:
    """Entries, and what is needed to know what is new."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """``entries``: what an earlier ncgd has left, oldest first."""
        self._entries: dict[int, Entry] = {}
        self._before: Moment | None = None
        self._told: dict[str, dict[str, Problem]] = {}
        """Problems that were told, by object and reason: an outage that goes from one to the other and back is one."""
        self._ongoing: dict[tuple[str, str], tuple[int, float]] = {}
        """Number of the entry of what goes on, and when it was last seen (the loop's clock)."""
        for entry in entries:
            self._put(entry)

    def newest_first(self) -> Iterator[Entry]:
        """All entries."""
        return reversed(self._entries.values())

    def observe(self, world: World, report: Report, wall: Callable[[], str], *, version: str) -> list[Entry]:
        """Take note of a pass: the entries that are new or have changed. ``wall`` is the time for people."""
        after = Moment(intent=world.intent, report=report)
        if self._before is None:
            if world.intent is None or (is_starting(world, report) and world.now - world.started < SETTLE_SECONDS):
                return []
            happenings = [_start(report, version)]
        else:
            happenings = list(news(self._before, after))
        happenings += self._of_problems(report, {each.object: each for each in happenings})
        self._before = after
        return [self.add(each, wall(), world.now) for each in happenings]

    def say_goodbye(self, world: World, wall: str, failed: str = "") -> Entry:
        """ncgd ends as it should, or because its job ``failed``.

        Where this is missing before the next start, it was killed, or the machine ended.
        """
        gateway = str(self._before.report.gateway) if self._before else world.gateway
        why = f", because its job {failed} failed: the log says how" if failed else ""
        text = f"ncgd ends{why}; tunnels, sessions and routes stay as they are"
        if failed:
            goodbye = Happening(object=gateway, reason="Crashed", message=text, is_warning=True)
        else:
            goodbye = Happening(object=gateway, reason="Stopped", message=text)
        return self.add(goodbye, wall, world.now)

    def add(self, happening: Happening, wall: str, now: float) -> Entry:
        """Put something in; ``now`` by the loop's clock. Returns its entry."""
        key = (happening.object, happening.reason)
        happening = replace(happening, message=happening.message[:MESSAGE_CHARACTERS])
        number, seen = self._ongoing.get(key, (0, 0.0))
        earlier = self._entries.get(number)
        if happening.is_ongoing and earlier is not None and now - seen < ONGOING_SECONDS:
            entry = replace(earlier, last_time=wall, count=earlier.count + 1, happening=happening)
        else:
            number = next(reversed(self._entries), 0) + 1
            entry = Entry(number=number, time=wall, last_time=wall, happening=happening)
        if happening.is_ongoing:
            self._ongoing[key] = (number, now)
        self._put(entry)
        return entry

    def _put(self, entry: Entry) -> None:
        self._entries[entry.number] = entry
        while len(self._entries) > MOST_KEPT:
            del self._entries[next(iter(self._entries))]

    def _of_problems(self, report: Report, told: dict[str, Happening]) -> Iterator[Happening]:
        """Problems that are new, and those that are none any more. ``told``: what this pass is told already."""
        down = {str(tunnel.ref) for tunnel in report.tunnels if not tunnel.is_usable}
        down |= {str(peer.ref) for peer in report.peers if peer.status != "established"}
        found = {(problem.object, problem.reason) for problem in report.problems}
        for problem in report.problems:
            known = self._told.setdefault(problem.object, {})
            if problem.reason not in known:
                known[problem.reason] = problem
                if not _says(told.get(problem.object), problem):
                    yield _of_problem(problem)
        for name in self._told.keys() - down:
            over = [reason for reason in self._told[name] if (name, reason) not in found]
            for reason in over:
                del self._told[name][reason]
            if not self._told[name]:
                del self._told[name]
            if over and name not in told:
                yield Happening(object=name, reason="Solved", message=f"is no problem any more: {', '.join(over)}")


def _says(happening: Happening | None, problem: Problem) -> bool:
    return happening is not None and happening.message.startswith(f"{problem.reason}: {problem.message}")


def _of_problem(problem: Problem) -> Happening:
    text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return Happening(object=problem.object, reason=problem.reason, message=text, is_warning=problem.is_error)


def _start(report: Report, version: str) -> Happening:
    text = f"ncgd {version} has started and finds: {report.health}; {summary(report)}"
    return Happening(object=str(report.gateway), reason="Started", message=text)
