"""The timeline: what happened on this node, in order, with reasons. Bounded, and fed with every pass.

It tells what an ncgd saw happen: what stands when it starts is one entry, not a dozen.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

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
REPEATS = 3
"""What happens again and again, with no longer pauses, is told so often; from then on the last entry counts."""
MESSAGE_CHARACTERS = 1024
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recent:
    """The last entry of something: its number, when that was (the loop's clock), and how often, without a pause."""

    number: int = 0
    seen: float = 0.0
    times: int = 0


class Timeline:
    """Entries, and what is needed to know what is new."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """``entries``: what an earlier ncgd has left, oldest first."""
        self._entries: dict[int, Entry] = {}
        self._before: Moment | None = None
        self._told: dict[str, dict[str, Problem]] = {}
        """Problems that were told, by object and reason: an outage that goes from one to the other and back is one."""
        self._recent: dict[tuple[str, str, str], _Recent] = {}
        """By object, reason, and, but for what goes on, what is told without its numbers."""
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
        happening = replace(happening, message=happening.message[:MESSAGE_CHARACTERS])
        key = happening.object, happening.reason, "" if happening.is_ongoing else _NUMBERS.sub("", happening.message)
        self._recent = {each: last for each, last in self._recent.items() if now - last.seen < ONGOING_SECONDS}
        last = self._recent.get(key, _Recent())
        earlier = self._entries.get(last.number)
        entry = Entry(number=next(reversed(self._entries), 0) + 1, time=wall, last_time=wall, happening=happening)
        if earlier is not None and happening.is_ongoing:
            entry = replace(entry, number=earlier.number, time=earlier.time, count=earlier.count + 1)
        elif earlier is not None and last.times >= REPEATS:
            # It moves to the end, so that what was last is last, and whoever follows hears of it.
            entry = replace(entry, replaces=earlier.number, time=earlier.time, count=earlier.count + 1)
            del self._entries[earlier.number]
        self._recent[key] = _Recent(number=entry.number, seen=now, times=last.times + 1)
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
