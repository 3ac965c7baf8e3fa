"""The Grafana dashboard in Grafana Labs' own types: each key is one that Grafana knows, and has a value that it takes.

Their SDK's types are generated from Grafana's schemas (https://github.com/grafana/grafana-foundation-sdk). What it
reads it keeps as it is, even of the wrong type, and what it does not know it leaves out: both are looked for here.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

from tests.unit.config.dashboard import DASHBOARD

OF_THE_DATA_SOURCE = {"definition", "step", "titleFormat", "textFormat"}
"""Keys of variables and annotations that Grafana's Prometheus data source reads, and Grafana's schema leaves to it."""
NOT_READ_INTO_TYPES = {"transformations"}
"""Attributes that the SDK leaves as they are in JSON."""


def read(dashboard: dict[str, Any]) -> Dashboard:
    """The dashboard as Grafana's types, those of its kinds of panels and of Prometheus' queries among them."""
    register_default_plugins()
    return Dashboard.from_json(dashboard)


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Paths of what was there before and is not, or is something else, afterwards; what was added has a default."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after.get(key, "left out"), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif before != after:
        yield path


def misfits(value: Any, path: str = "") -> Iterator[str]:
    """Paths of the attributes whose value is none of their type."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from misfits(each, f"{path}[{index}]")
    elif type(value).__module__.startswith("grafana_foundation_sdk.models") and not isinstance(value, Enum):
        for name, form in get_type_hints(type(value)).items():
            if name not in NOT_READ_INTO_TYPES:
                attribute = getattr(value, name)
                yield from [] if fits(attribute, form) else [f"{path}.{name}"]
                yield from misfits(attribute, f"{path}.{name}")


def fits(value: Any, form: Any) -> bool:
    parts, kind = get_args(form), get_origin(form)
    if kind is Union:
        return any(fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if kind is list:
        return isinstance(value, list) and all(fits(each, parts[0]) for each in value)
    if kind is dict:
        return isinstance(value, dict) and all(fits(each, parts[1]) for each in value.values())
    if form in (object, Any):
        return True
    if issubclass(form, Enum):
        return value in {member.value for member in form}
    return isinstance(value, (int, float) if form is float else form) and isinstance(value, bool) == (form is bool)


def faults(dashboard: dict[str, Any]) -> list[str]:
    given_back = json.loads(JSONEncoder().encode(read(dashboard)))
    left_out = [path for path in lost(dashboard, given_back) if path.rpartition(".")[2] not in OF_THE_DATA_SOURCE]
    return left_out + list(misfits(read(dashboard)))


def test_grafana_s_types_take_it_and_give_it_back_whole() -> None:
    assert faults(DASHBOARD) == []
    for panel in read(DASHBOARD).panels or ():
        if not isinstance(panel, RowPanel):
            kind = panel.type_val.replace("-", "")
            assert type(panel.options).__module__.endswith(f".{kind}"), "its options have a type of their own"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("refesh",), "30s"),
        (("graphTooltip",), "shared"),
        (("templating", "list", 1, "refresh"), 9),
        (("panels", 1, "gridPos", "w"), "4"),
        (("panels", 1, "options", "colorMod"), "value"),
        (("panels", 1, "options", "colorMode"), "colourful"),
        (("panels", 1, "options", "legend"), {"showLegend": False}),
        (("panels", 1, "targets", 0, "format"), "timeseries"),
        (("panels", 1, "fieldConfig", "defaults", "threshold"), None),
        (("panels", 11, "fieldConfig", "defaults", "custom", "fillOpacity"), "8"),
    ],
)
def test_a_key_or_a_value_that_grafana_does_not_know_is_found(path: tuple[str | int, ...], value: Any) -> None:
    dashboard = deepcopy(DASHBOARD)
    place: Any = dashboard
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(faults(dashboard)) == 1
