"""The CustomResourceDefinitions, generated from the wire shapes: ``python -m ncgd.resources.crd config``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ncgd.resources import route_slice
from ncgd.resources.cel import add_rules
from ncgd.resources.schema import PRESERVE, Schema, structural_schema
from ncgd.resources.v1alpha1 import GROUP, KINDS, VERSION

_HEADER = "# Generated from ncgd/resources/v1alpha1.py by: python -m ncgd.resources.crd config\n"
CATEGORY = "ncgd"
"""``kubectl get ncgd`` lists everything of it."""
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


@dataclass(frozen=True, slots=True)
class _Face:
    """How a kind is named and listed: columns are name, type, path."""

    plural: str
    short: str
    columns: tuple[tuple[str, str, str], ...]


_FACES = {
    "OverlayVPNTunnel": _Face(
        "overlayvpntunnels",
        "ovt",
        (
            ("Status", "string", ".status.Status"),
            ("Peer", "string", ".spec.peer.publicIP"),
            ("Local", "string", ".spec.localTunnelIP"),
        ),
    ),
    "OverlayBGPPeer": _Face(
        "overlaybgppeers",
        "obp",
        (
            ("Status", "string", ".status.Status"),
            ("Tunnel", "string", ".spec.vpnTunnel"),
            ("Local ASN", "integer", ".spec.localASN"),
            ("Peer IP", "string", ".spec.peerIP"),
            ("Peer ASN", "integer", ".spec.peerASN"),
        ),
    ),
    "NetworkConnectivityGateway": _Face(
        "networkconnectivitygateways",
        "ncg",
        (
            ("Status", "string", ".status.Status"),
            ("Node", "string", ".status.CurrNode"),
            ("Reported", "date", ".status.LastReportTime"),
        ),
    ),
    route_slice.KIND: _Face(
        "overlayrouteslices",
        "ors",
        (
            ("Gateway", "string", ".spec.gateway"),
            ("Node", "string", ".spec.node"),
            ("Epoch", "integer", ".spec.epoch"),
        ),
    ),
}
_SHAPES: dict[str, type] = {**KINDS, route_slice.KIND: route_slice.OverlayRouteSlice}
DEFINED = tuple(_SHAPES)
"""Every kind that has a definition: those that users write, and OverlayRouteSlice."""


def definition(kind: str, *, cel: bool = False) -> dict[str, Any]:
    """The CustomResourceDefinition (``apiextensions.k8s.io/v1``) of one of our kinds, with CEL rules or without."""
    schema = _object_schema(kind)
    if cel:
        add_rules(kind, schema)
    face = _FACES[kind]
    columns = [{"name": name, "type": form, "jsonPath": path} for name, form, path in face.columns]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{face.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": face.plural,
                "singular": kind.lower(),
                "shortNames": [face.short],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if "status" in schema["properties"] else {}),
                    "additionalPrinterColumns": [*columns, _AGE],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def plural(kind: str) -> str:
    """How a kind is called in a path: ``overlayvpntunnels``."""
    return _FACES[kind].plural


def short(kind: str) -> str:
    """Its short name for ``kubectl get``: ``ovt``."""
    return _FACES[kind].short


def is_ours(installed: dict[str, Any]) -> bool:
    """Whether a definition in a cluster is one of ncgd's: Google's NCG has the same names, and no category ``ncgd``."""
    names = (installed.get("spec") or {}).get("names") or {}
    return CATEGORY in (names.get("categories") or ())


def lacking(kind: str, installed: dict[str, Any]) -> list[str]:
    """What a definition in a cluster lacks of ours: dotted fields that its server would drop from objects."""
    version = _served(installed)
    if version is None:
        return [VERSION]
    ours = structural_schema(_SHAPES[kind])["properties"]
    is_told = "status" not in ours or "status" in (version.get("subresources") or {})
    missing = [] if is_told else ["the status subresource"]
    return [*missing, *_fields_lacking(ours["spec"], _spec(version), "spec")]


def exceeding(kind: str, installed: dict[str, Any]) -> list[str]:
    """What a definition in a cluster has beyond ours, which would go if ours replaced it."""
    ours = structural_schema(_SHAPES[kind])["properties"]["spec"]
    return _fields_lacking(_spec(_served(installed) or {}), ours, "spec")


def _served(definition: dict[str, Any]) -> dict[str, Any] | None:
    versions = (definition.get("spec") or {}).get("versions") or []
    return next((each for each in versions if each.get("name") == VERSION and each.get("served")), None)


def _spec(version: dict[str, Any]) -> Schema:
    properties = ((version.get("schema") or {}).get("openAPIV3Schema") or {}).get("properties") or {}
    return properties.get("spec") or {}


def _fields_lacking(ours: Schema, theirs: Schema, path: str) -> list[str]:
    if theirs.get(PRESERVE):
        return []
    if "items" in ours:
        return _fields_lacking(ours["items"], theirs.get("items") or {}, f"{path}[]")
    known = theirs.get("properties") or {}
    found: list[str] = []
    for name, field in ours.get("properties", {}).items():
        below = f"{path}.{name}"
        found.extend(_fields_lacking(field, known[name], below) if name in known else [below])
    return found


def text(kind: str, *, cel: bool = False) -> str:
    """The definition as YAML, the content of ``config/crd/<plural>.yaml`` or ``config/crd-cel/<plural>.yaml``."""
    value = definition(kind, cel=cel)
    return _HEADER + yaml.dump(value, Dumper=yaml.SafeDumper, sort_keys=False, width=110, allow_unicode=True)


def write(folder: Path) -> list[Path]:
    """Write every definition into ``crd`` and ``crd-cel`` below a folder, and return the files."""
    paths = []
    for name, cel in (("crd", False), ("crd-cel", True)):
        (folder / name).mkdir(exist_ok=True)
        for kind in DEFINED:
            path = folder / name / f"{plural(kind)}.yaml"
            path.write_text(text(kind, cel=cel))
            paths.append(path)
    return paths


def _object_schema(kind: str) -> Schema:
    schema = structural_schema(_SHAPES[kind])
    # An API server checks metadata itself and allows no rules on it here.
    schema["properties"]["metadata"] = {"type": "object"}
    if "status" in schema["properties"]:
        schema["properties"]["status"][PRESERVE] = True
    schema["required"] = [name for name in schema["required"] if name == "spec"]
    if not schema["required"]:
        del schema["required"]
    return schema


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
