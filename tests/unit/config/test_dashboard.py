"""The Grafana dashboard: whole, in order, and about nothing that ncgd does not export."""

from itertools import combinations

import yaml

from ncgd.api.metrics_families import FAMILIES
from ncgd.api.metrics_family import Kind
from tests.unit.config.dashboard import DASHBOARD, MONITORING, metrics_of, panels, queries

OF_HISTOGRAMS = ("_bucket", "_count", "_sum")
OF_THE_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_it_shows_every_metric_and_no_other() -> None:
    shown = {name for _, expression in queries() for name in metrics_of(expression)} - OF_THE_PROCESS
    by_series = {
        family.name + suffix: family.name
        for family in FAMILIES
        for suffix in (OF_HISTOGRAMS if family.kind is Kind.HISTOGRAM else ("",))
    }
    assert shown <= by_series.keys()
    assert {by_series[name] for name in shown} == set(by_series.values())


def test_panels_have_their_own_place_and_id_and_say_what_they_show() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in everything), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below


def test_the_data_source_is_the_reader_s_choice_and_all_queries_are_filtered() -> None:
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            names = len(metrics_of(target["expr"]))
            assert target["expr"].count('job=~"$job",instance=~"$instance"') >= (1 if names else 0), target["expr"]
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]


def test_grafana_finds_the_dashboard_where_it_is_told_to_look() -> None:
    folder = MONITORING / "grafana"
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/ncgd.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards", "what README.md mounts"
    (source,) = yaml.safe_load((folder / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
