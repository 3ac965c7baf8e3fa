"""How a metric is described: name, meaning, labels, and a reader of its values from a report."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ncgd.model.histogram import Histogram
from ncgd.model.report import PeerReport, Report, TunnelReport
from ncgd.model.tally import TunnelTally

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a scrape shows."""

    report: Report
    pass_times: Histogram


Values = Callable[[Scrape], Iterable[tuple[Labels, float]]]


class Kind(StrEnum):
    """Prometheus' types."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric. Counters and gauges have ``values``, histograms ``histograms``."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """What each label names, in the order of the labels."""
    values: Values = lambda _: ()
    histograms: Callable[[Scrape], Iterable[tuple[Labels, Histogram]]] = lambda _: ()


def one(read: Callable[[Report], float]) -> Values:
    """One value, without labels."""
    return lambda scrape: [((), read(scrape.report))]


def of_tunnels(read: Callable[[TunnelReport], float]) -> Values:
    """A value of each tunnel, by its name."""
    return lambda scrape: [((each.ref.name,), read(each)) for each in scrape.report.tunnels]


def of_sas(read: Callable[[TunnelReport], float]) -> Values:
    """A value of each tunnel that has an SA, by its name."""
    return lambda scrape: [((each.ref.name,), read(each)) for each in scrape.report.tunnels if each.child]


def of_peers(read: Callable[[PeerReport], float]) -> Values:
    """A value of each session, by its peer's name."""
    return lambda scrape: [((each.ref.name,), read(each)) for each in scrape.report.peers]


def of_tallies(
    read: Callable[[TunnelTally], Iterable[tuple[str, float]]],
) -> Values:
    """Values of each tunnel since the start, by its name and another label."""

    def values(scrape: Scrape) -> Iterator[tuple[Labels, float]]:
        for tunnel in scrape.report.tunnels:
            tally = scrape.report.tally.tunnels.get(tunnel.ref.name, TunnelTally())
            yield from (((tunnel.ref.name, label), value) for label, value in read(tally))

    return values


def one_of(words: Iterable[str], now: Callable[[Report], str]) -> Values:
    """1 for the word that holds now, 0 for the others."""
    names = [str(word) for word in words]
    return lambda scrape: [((name,), float(now(scrape.report) == name)) for name in names]


def counted(words: Iterable[str], counts: Callable[[Report], Mapping[str, int]]) -> Values:
    """Each of the words, also those that were never counted: a counter that appears with its first count hides it."""
    names = list(words)
    return lambda scrape: [((name,), counts(scrape.report).get(name, 0)) for name in names]
