"""The dashboard's panels and queries."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MONITORING = Path(__file__).parents[3] / "config/monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/ncgd.json").read_text())
_VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "1m"}


def panels() -> list[dict[str, Any]]:
    """Without the headings of rows."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Title of the panel, and PromQL with the variables filled in as for everything."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], filled(annotation["expr"])


def filled(expression: str) -> str:
    """A query as Grafana sends it."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def metrics_of(expression: str) -> set[str]:
    """Names of the metrics in a query."""
    return set(re.findall(r"\b(?:ncgd|process)_\w+", expression))
