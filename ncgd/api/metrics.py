"""What Prometheus is told: a report and the times of passes, as ``metrics_families`` says, in the text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ncgd.api.metrics_families import FAMILIES
from ncgd.api.metrics_family import Family, Kind, Scrape
from ncgd.model.histogram import Histogram
from ncgd.model.report import Report


class _Collector:
    """All families of one scrape, as prometheus_client wants them."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            yield _histograms(family, self._scrape) if family.kind is Kind.HISTOGRAM else _values(family, self._scrape)


def _values(family: Family, scrape: Scrape) -> Metric:
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(family.name, family.help, labels=list(family.labels))
    for labels, value in family.values(scrape):
        metric.add_metric(labels, float(value))
    return metric


def _histograms(family: Family, scrape: Scrape) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=list(family.labels))
    for labels, histogram in family.histograms(scrape):
        bounds = (*map(str, histogram.bounds), "+Inf")
        buckets = list(zip(bounds, histogram.cumulative, strict=True))
        metric.add_metric(labels, buckets, histogram.total)
    return metric


def render(report: Report, pass_times: Histogram) -> bytes:
    """The text exposition format (version 0.0.4) of one moment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(Scrape(report, pass_times)))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
