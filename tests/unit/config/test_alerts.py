"""Each alert fires when it should, says what it should, and is silent otherwise; by promtool itself."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ncgd.api.metrics_families import FAMILIES
from ncgd.api.metrics_family import Kind
from tests.unit.config.alert_cases import CASES, Case, Series

ALERTS = Path(__file__).parents[3] / "config/monitoring/alerts.yaml"
DAEMONSET = ALERTS.parents[1] / "daemonset/daemonset.yaml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
TARGET = {"job": "ncgd", "instance": "gw"}


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def of_target(series: str) -> str:
    """With job and instance among the labels."""
    name, _, labels = series.removesuffix("}").partition("{")
    target = ",".join(f'{key}="{value}"' for key, value in TARGET.items())
    return f"{name}{{{target}{',' if labels else ''}{labels}}}"


def rendered(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], template)


def a_test(case: Case, series: Series, *expected: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": of_target(name), "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "40m", "alertname": case.alert, "exp_alerts": list(expected)}],
    }


def alert(case: Case) -> dict[str, Any]:
    """What promtool is to find."""
    rule = RULES[case.alert]
    place = {"job": TARGET["job"]} if case.is_of_job else TARGET
    labels = {**place, "severity": rule["labels"]["severity"], **case.labels}
    texts = {name: rendered(text, labels) for name, text in rule["annotations"].items()}
    return {"exp_labels": labels, "exp_annotations": texts | {"summary": case.summary}}


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    tests = [a_test(case, case.fires, alert(case)) for case in CASES]
    tests += [a_test(case, series) for case in CASES for series in case.silent]
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": tests}))
    promtool("test", "rules", str(path))


def test_every_alert_is_tested() -> None:
    assert sorted(case.alert for case in CASES) == sorted(RULES)


def test_alerts_name_only_what_ncgd_exports() -> None:
    names = {"up"}
    for family in FAMILIES:
        suffixes = ("_bucket", "_count", "_sum") if family.kind is Kind.HISTOGRAM else ("",)
        names |= {family.name + suffix for suffix in suffixes}
    used = {name for rule in RULES.values() for name in re.findall(r"\b(?:ncgd_\w+|up)\b", rule["expr"])}
    assert used <= names


def test_prometheus_asks_where_the_daemonset_listens() -> None:
    (container, *_) = yaml.safe_load(DAEMONSET.read_text())["spec"]["template"]["spec"]["containers"]
    (given,) = [each for each in container["args"] if each.startswith("--status-address=")]
    port = given.rpartition(":")[2]
    for name in ("prometheus.yaml", "prometheus-cluster.yaml"):
        (job,) = yaml.safe_load((ALERTS.parent / name).read_text())["scrape_configs"]
        assert job["job_name"] == TARGET["job"]
        assert re.search(rf":{port}\b", json.dumps(job)), name
    promtool("check", "config", str(ALERTS.parent / "prometheus.yaml"))


def test_each_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    for rule in RULES.values():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "action"}
    promtool("check", "rules", str(ALERTS))
