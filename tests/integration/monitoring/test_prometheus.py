"""A real Prometheus scrapes what ncgd exports, loads the rules, and answers every query of the dashboard."""

import json
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from tests.integration.netns import until
from tests.unit.api.test_metrics import busy_site, render
from tests.unit.config.dashboard import MONITORING, queries

EMPTY_WHEN_WELL = {"Rows refused", "Failovers"}
"""Panels that show nothing while nothing new happens."""


@pytest.fixture(scope="module")
def target() -> Iterator[int]:
    """Port of a server that has the metrics of a busy site."""
    text = render(busy_site().report()).encode()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def ask(target: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Asks the API of a Prometheus that has scraped the target a few times."""
    folder = tmp_path_factory.mktemp("prometheus")
    given = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    given["global"] = {"evaluation_interval": "1s"}
    given["rule_files"] = [str(MONITORING / name) for name in given["rule_files"]]
    (job,) = given["scrape_configs"]
    job |= {"scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(given))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ask(path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def is_scraped() -> bool:
        try:
            found = ask("query", query="count_over_time(ncgd_build_info[1m])")["result"]
        except OSError:
            return False
        return bool(found) and float(found[0]["value"][1]) >= 3

    argv = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(argv, stderr=log, stdout=log) as process:
        try:
            until(is_scraped, seconds=60)
            yield ask
        finally:
            process.terminate()


def test_the_target_is_up_and_nothing_of_it_is_dropped(ask: Callable[..., Any]) -> None:
    (target,) = ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    exposed = [line for line in render(busy_site().report()).splitlines() if line and not line.startswith("#")]
    (scraped,) = ask("query", query="scrape_samples_post_metric_relabeling")["result"]
    assert int(scraped["value"][1]) == len(exposed)


def test_every_rule_is_evaluated_without_an_error(ask: Callable[..., Any]) -> None:
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"])
    until(lambda: all(r["health"] == "ok" for group in ask("rules")["groups"] for r in group["rules"]), seconds=30)
    pending = {alert["labels"]["alertname"] for alert in ask("alerts")["alerts"]}
    assert {"NcgdGatewayDegraded", "NcgdTunnelDown", "NcgdProblem"} <= pending


def test_every_query_of_the_dashboard_has_an_answer(ask: Callable[..., Any]) -> None:
    for title, expression in queries():
        result = ask("query", query=expression)["result"]
        assert result or title in EMPTY_WHEN_WELL, (title, expression)


def test_the_variables_find_job_and_instance(ask: Callable[..., Any], target: int) -> None:
    assert ask("label/job/values", **{"match[]": "ncgd_build_info"}) == ["ncgd"]
    assert ask("label/instance/values", **{"match[]": "ncgd_build_info"}) == [f"127.0.0.1:{target}"]
