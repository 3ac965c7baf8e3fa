"""Wire shapes as structural schemas (Kubernetes ``apiextensions`` v1).

One schema serves twice: in the CRD, and for ``structural.violations``, so that a folder of files and an API
server refuse the same things. msgspec writes JSON Schema, which an API server refuses as it is.
"""

from typing import Any

import msgspec

Schema = dict[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"

LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
"""How several writers share a list: by its entries' key."""

_KEPT = (
    "description",
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    LIST_TYPE,
    LIST_KEYS,
)


def structural_schema(shape: type) -> Schema:
    """The structural schema of a msgspec struct.

    References are inlined; "or null" becomes ``nullable``; defaults stay out, because an API server would write
    them into the user's object.
    """
    (root,), components = msgspec.json.schema_components([shape])
    return _convert(root, components)


def _convert(node: Schema, components: dict[str, Any]) -> Schema:
    if "$ref" in node:
        target = components[node["$ref"].rpartition("/")[2]]
        return _convert({**target, **{key: node[key] for key in node if key != "$ref"}}, components)
    if "anyOf" in node:
        (only,) = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        about = {key: node[key] for key in ("description",) if key in node}
        return {**_convert({**only, **about}, components), "nullable": True}
    schema = {key: node[key] for key in _KEPT if key in node}
    if "description" in schema:
        schema["description"] = schema["description"].replace("``", "")
    if "enum" in node:
        schema["type"] = "string" if isinstance(node["enum"][0], str) else "integer"
    if "properties" in node:
        schema["properties"] = {name: _convert(child, components) for name, child in node["properties"].items()}
    if node.get("required"):
        schema["required"] = list(node["required"])
    if isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _convert(node["additionalProperties"], components)
    if "items" in node:
        schema["items"] = _convert(node["items"], components)
    if "type" not in schema:
        schema[PRESERVE] = True
    return schema
