"""Checks a value against a structural schema and reports every violation, not just the first."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ncgd.resources.problem import Problem, nearest, shown
from ncgd.resources.schema import PRESERVE, Schema

_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def violations(value: object, schema: Schema, path: str = "", *, is_secret: bool = False) -> Iterator[Problem]:
    """Every violation with its dotted path, e.g. ``spec.advertisedPrefixes[1]``.

    ``is_secret``: no value appears in a message.
    """
    if value is None:
        if not schema.get("nullable") and PRESERVE not in schema:
            yield Problem(path, "FieldMissing", f"is empty, must be {_NAMES[schema['type']]}")
        return
    wanted = schema.get("type")
    if wanted is None:
        return
    if not _is(value, wanted):
        yield _wrong_type(value, wanted, path, is_secret=is_secret)
    elif isinstance(value, dict):
        yield from _mapping(value, schema, path, is_secret=is_secret)
    elif isinstance(value, list):
        yield from _length(len(value), schema, path, "Items", "entries")
        for index, item in enumerate(value):
            yield from violations(item, schema["items"], f"{path}[{index}]", is_secret=is_secret)
    else:
        yield from _scalar(value, schema, path, "the value" if is_secret else shown(value))


def _mapping(value: dict[Any, Any], schema: Schema, path: str, *, is_secret: bool) -> Iterator[Problem]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    others: Schema | None = schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(_join(path, name), "FieldMissing", f"is required: {_NAMES[known[name]['type']]}")
    for name, child in value.items():
        if not isinstance(name, str):
            yield Problem(path, "WrongType", f"the key {shown(name)} is not a string", "put it in quotes")
        elif name in known:
            yield from violations(child, known[name], _join(path, name), is_secret=is_secret)
        elif others is not None:
            yield from violations(child, others, _join(path, name), is_secret=is_secret)
        elif PRESERVE not in schema:
            hint = nearest(name, known) or f"known here: {', '.join(known)}"
            yield Problem(_join(path, shown(name)[1:-1]), "UnknownField", f"there is no field {shown(name)} here", hint)


def _scalar(value: Any, schema: Schema, path: str, text: str) -> Iterator[Problem]:
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(str(choice) for choice in schema["enum"])
        hint = nearest(str(value), map(str, schema["enum"]))
        yield Problem(path, "NotAllowed", f"{text} is not allowed; one of: {allowed}", hint)
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        yield Problem(path, "OutOfRange", f"{text} is out of range: {low} to {high}")
    if isinstance(value, str):
        yield from _length(len(value), schema, path, "Length", "characters")
        if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            yield Problem(path, "BadFormat", f"{text} does not match {schema['pattern']}")


def _length(length: int, schema: Schema, path: str, suffix: str, unit: str) -> Iterator[Problem]:
    low, high = schema.get(f"min{suffix}", 0), schema.get(f"max{suffix}", math.inf)
    if not low <= length <= high:
        allowed = f"at least {low}" if length < low else f"at most {high}"
        yield Problem(path, "BadLength", f"has {length} {unit}, must have {allowed}")


def _is(value: object, wanted: str) -> bool:
    match wanted:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _wrong_type(value: object, wanted: str, path: str, *, is_secret: bool) -> Problem:
    is_shown = isinstance(value, str | int | float) and wanted not in {"object", "array"} and not is_secret
    text = f"{shown(value)} is {_kind_of(value)}" if is_shown else f"is {_kind_of(value)}"
    hint = ""
    if isinstance(value, str):
        if wanted == "boolean" and value.lower() in {"yes", "no", "on", "off", "y", "n", "true", "false"}:
            hint = "write true or false, without quotes"
        elif wanted in {"integer", "number"} and re.fullmatch(r"[-+]?\d{1,20}", value):
            hint = "write the number without quotes and without leading zeros"
    elif wanted == "string" and is_shown:
        hint = "put it in quotes"
    return Problem(path, "WrongType", f"{text}, must be {_NAMES[wanted]}", hint)


def _kind_of(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
