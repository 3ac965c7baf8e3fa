"""The resource reference, generated from the wire shapes: ``python -m ncgd.resources.reference config``."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from ncgd.resources.cel import RULES
from ncgd.resources.crd import plural, short
from ncgd.resources.schema import Schema, structural_schema
from ncgd.resources.v1alpha1 import API_VERSION, KINDS, PrefixRule

FILE = "REFERENCE.md"
_INTRODUCTION = f"""\
# Resources

Generated from ncgd/resources/v1alpha1.py by: `python -m ncgd.resources.reference config`

All are `apiVersion: {API_VERSION}`, the same in a folder of YAML files and in a cluster (definitions:
[crd](crd), [crd-cel](crd-cel)). What is **required** is what Google's NCG requires; the rest is ncgd's own, optional,
and says its default. `[]` is each entry of a list. A value in quotes needs them: kubectl reads `Off` as a boolean.
Beyond types, ncgd checks what belongs together, and names every mistake: [what each code means](TROUBLESHOOTING.md).
Working sets: [examples](examples).
"""
_KEY = """
## Secret

A core `v1` Secret in the namespace of the tunnel. The key is the exact bytes: mind a newline at the end.

| field | type | what |
|---|---|---|
| `data.psk` | string | The pre-shared key, base64. |
| `stringData.psk` | string | The same as plain text; wins. |
"""
_HEAD = ("", "| field | type | what |", "|---|---|---|")


def text() -> str:
    """The reference as Markdown, the content of ``config/REFERENCE.md``."""
    parts = [_INTRODUCTION, *(_of_kind(kind) for kind in KINDS), _prefix_rules(), _status(), _KEY]
    return "".join(parts)


def _of_kind(kind: str) -> str:
    schema = structural_schema(KINDS[kind])
    spec = schema["properties"]["spec"]
    lines = ["", f"## {kind}", "", f"{schema['description']} `kubectl get {short(kind)}`, or `{plural(kind)}`.", *_HEAD]
    lines += _below(spec, "spec")
    if kind in RULES:
        lines += ["", "With [crd-cel](crd-cel), an API server refuses at once what breaks these:", ""]
        lines += [f"- `{path}`: {message}" for path, rules in RULES[kind].items() for _, message in rules]
    return "\n".join(lines) + "\n"


def _prefix_rules() -> str:
    schema = structural_schema(PrefixRule)
    return "\n".join(["", "## Prefix rules", "", schema["description"], *_HEAD, *_below(schema, "")]) + "\n"


def _status() -> str:
    """The gateway's status has every field of the others'."""
    schema = structural_schema(KINDS["NetworkConnectivityGateway"])["properties"]["status"]
    lines = ["", "## Status", "", "What ncgd reports; `Curr…`, `Created…` and `Last…` at the gateway only.", *_HEAD]
    return "\n".join([*lines, *(_row(f"status.{name}", each) for name, each in schema["properties"].items())]) + "\n"


def _below(node: Schema, path: str) -> Iterator[str]:
    """A line for every field below a node."""
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}".removeprefix(".")
        yield _row(where, child, "**Required.** " if name in node.get("required", ()) else "")
        if not _is_prefix_rules(child):
            yield from _below(child.get("items", child), f"{where}[]" if "items" in child else where)


def _row(path: str, node: Schema, mark: str = "") -> str:
    return f"| `{path}` | {_type(node)} | {mark}{node.get('description', '')} |"


def _is_prefix_rules(node: Schema) -> bool:
    return "prefix" in node.get("items", {}).get("properties", {})


def _type(node: Schema) -> str:
    if "enum" in node:
        return ", ".join(f"`{_written(choice)}`" for choice in node["enum"])
    match node.get("type"):
        case "array":
            of = "[prefix rules](#prefix-rules)" if _is_prefix_rules(node) else f"{_type(node['items'])}s"
            return f"{of}, at most {node['maxItems']}" if "maxItems" in node else of
        case "integer" | "number" as form if "minimum" in node:
            return f"{form}, {node['minimum']} to {node['maximum']}"
        case form:
            return str(form)


def _written(choice: str | int) -> str:
    """As it must be written for YAML 1.1, which kubectl reads."""
    return str(choice) if yaml.safe_load(str(choice)) == choice else f'"{choice}"'


if __name__ == "__main__":
    target = Path(sys.argv[1]) / FILE
    target.write_text(text())
    sys.stdout.write(f"{target}\n")
