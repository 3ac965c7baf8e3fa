"""The questions that are asked of each subject, and the rows of the table that their answers fill."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import convergence, failover, silence, tunnels, watching
from tests.bench.results import NCGD, Row
from tests.bench.sites import BY_HAND
from tests.bench.speakers import SPEAKERS

_FEW, _MANY = 1_000, 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is measured in one go: ``ask(subject, wanted rows)`` gives rows' values as it finds them."""

    rows: frozenset[str]
    subjects: tuple[str, ...]
    ask: Callable[[str, frozenset[str]], Iterator[tuple[str, float]]]
    at_once: bool = False
    """It waits most of the time: all its rounds run at the same time."""


def _learn(name: str, count: int, label: str) -> Iterator[tuple[str, float]]:
    run = convergence.converge(name, count)
    yield f"fib-{label}", run.seconds * 1000
    yield f"memory-{label}", run.memory_mb


def _move(name: str, _: frozenset[str]) -> Iterator[tuple[str, float]]:
    yield "failover", failover.fail_over(name, _MANY).all_seconds * 1000


def _fall_silent(name: str, _: frozenset[str]) -> Iterator[tuple[str, float]]:
    yield "silent", silence.fall_silent(bfd=name == silence.BFD) * 1000


QUESTIONS = (
    Question(
        rows=frozenset({"fib-1k", "memory-1k"}),
        subjects=tuple(SPEAKERS),
        ask=lambda name, _: _learn(name, _FEW, "1k"),
    ),
    Question(
        rows=frozenset({"fib-100k", "memory-100k"}),
        subjects=tuple(SPEAKERS),
        ask=lambda name, _: _learn(name, _MANY, "100k"),
    ),
    Question(rows=frozenset({"failover"}), subjects=tuple(SPEAKERS), ask=_move),
    Question(rows=tunnels.STEADY, subjects=(NCGD, BY_HAND), ask=tunnels.measure),
    Question(rows=tunnels.BROKEN, subjects=(NCGD, BY_HAND), ask=tunnels.measure),
    Question(rows=watching.ROWS, subjects=(NCGD, watching.UNWATCHED), ask=watching.watch),
    Question(rows=frozenset({"silent"}), subjects=(silence.HOLD,), ask=_fall_silent, at_once=True),
    Question(rows=frozenset({"silent"}), subjects=(silence.BFD,), ask=_fall_silent),
)
"""In the order in which a round asks them."""

_BOTH = ("BIRD", "FRR")

ROWS = (
    Row(
        key="fib-1k",
        what="1 000 prefixes, first route to last route in the FIB",
        unit="ms",
        beside=_BOTH,
        goal="≤ 1.0 x BIRD",
        is_met=lambda mine, others: mine <= others["BIRD"],
    ),
    Row(
        key="fib-100k",
        what="100 000 prefixes, the same",
        unit="ms",
        beside=_BOTH,
        goal="≤ 1.2 x BIRD, ≤ 1.0 x FRR",
        is_met=lambda mine, others: mine <= 1.2 * others["BIRD"] and mine <= others["FRR"],
    ),
    Row(
        key="failover",
        what="100 000 ECMP prefixes moved off a dead peer, from the end of TCP",
        unit="ms",
        beside=_BOTH,
        goal="≤ 10, ≥ 50 x faster",
        is_met=lambda mine, others: mine <= 10 and 50 * mine <= min(others.values()),
    ),
    Row(
        key="silent",
        what="silent death of a tunnel, outage pod → VM",
        unit="ms",
        beside=(silence.HOLD, silence.BFD),
        goal="≤ 400",
        is_met=lambda mine, _: mine <= 400,
    ),
    *(
        Row(key=key, what=what, unit="ms", beside=(BY_HAND,), goal="≤ 50", is_met=lambda mine, _: mine <= 50)
        for key, what in (
            ("ike-delete", "IKE delete by the peer, outage"),
            ("link-down", "a tunnel's device goes down, outage"),
            ("session-reset", "session reset by the peer, outage"),
        )
    ),
    *(
        Row(key=key, what=f"kill -9 and restart of ncgd, {what}", unit=unit, goal="0", is_met=lambda mine, _: mine == 0)
        for key, what, unit in (
            ("restart-lost", "a ping every ms", "packets lost"),
            ("restart-flaps", "BGP sessions", "flapped"),
            ("restart-loaded-lost", "the same beside iperf3 at a quarter of the throughput", "packets lost"),
        )
    ),
    Row(key="calm-loaded-lost", what="the same with nobody killed", unit="packets lost"),
    Row(key="restart-stream", what="that iperf3 with the kill", unit="of its speed without"),
    Row(
        key="throughput",
        what="TCP pod → VM through one tunnel",
        unit="Mbit/s",
        beside=(BY_HAND,),
        goal="≥ 0.98 x by hand",
        is_met=lambda mine, others: mine >= 0.98 * others[BY_HAND],
    ),
    Row(
        key="start-ready",
        what="start of everything, charons and exabgp too, to Healthy (by hand: both routes)",
        unit="ms",
        beside=(BY_HAND,),
        goal="≤ 1500",
        is_met=lambda mine, _: mine <= 1500,
    ),
    Row(key="start-ping", what="the same, to the first answer to a ping", unit="ms", beside=(BY_HAND,)),
    Row(
        key="memory-1k",
        what="memory (PSS) at 1 000 prefixes, exabgp and bridge included",
        unit="MB",
        beside=_BOTH,
        goal="≤ 90",
        is_met=lambda mine, _: mine <= 90,
    ),
    Row(
        key="memory-100k",
        what="memory (PSS) at 100 000 prefixes",
        unit="MB",
        beside=_BOTH,
        goal="≤ 250",
        is_met=lambda mine, _: mine <= 250,
    ),
    Row(
        key="idle",
        what="idle, two tunnels, probes on: ncgd, exabgp, bridge",
        unit="% of a core",
        goal="≤ 1",
        is_met=lambda mine, _: mine <= 1,
    ),
    Row(key="idle-charons", what="the same with the charons", unit="% of a core"),
    Row(
        key="scrape",
        what="64 tunnels, 5 000 prefixes: /metrics",
        unit="ms",
        goal="≤ 50",
        is_met=lambda mine, _: mine <= 50,
    ),
    Row(key="scrape-often", what="the same 100 times a second, the slowest but 1 %", unit="ms"),
    Row(
        key="passes",
        what="from an event to the end of its pass meanwhile, the slowest but 1 %",
        unit="ms",
        beside=(watching.UNWATCHED,),
    ),
    Row(key="status-page", what="the status page", unit="ms", goal="≤ 200", is_met=lambda mine, _: mine <= 200),
    Row(
        key="ncgctl-status",
        what="`ncgctl status`",
        unit="ms",
        goal="≤ 300",
        is_met=lambda mine, _: mine <= 300,
    ),
)
"""In the order of the table."""
