"""The CRDs: fresh, and structural by the rules of apiextensions v1."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd.resources import crd
from ncgd.resources.v1alpha1 import KINDS

CHECKED_IN = Path(__file__).parents[3] / "config"


def test_the_checked_in_definitions_are_what_the_model_says(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path): path.read_text() for path in crd.write(tmp_path)}
    checked_in = {path.relative_to(CHECKED_IN): path.read_text() for path in CHECKED_IN.glob("crd*/*.yaml")}
    assert checked_in == written, "run: python -m ncgd.resources.crd config"


def nodes(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    children = {f"{path}.{name}": child for name, child in schema.get("properties", {}).items()}
    children |= {f"{path}[]": schema["items"]} if "items" in schema else {}
    return [(path, schema), *(node for name, child in children.items() for node in nodes(child, name))]


@pytest.mark.parametrize("cel", [False, True])
@pytest.mark.parametrize("kind", crd.DEFINED)
def test_schemas_are_structural(kind: str, *, cel: bool) -> None:
    definition = yaml.safe_load(crd.text(kind, cel=cel))
    assert cel or "x-kubernetes-validations" not in crd.text(kind)
    (version,) = definition["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    for path, schema in nodes(root, kind):
        assert schema.get("type") or schema.get("x-kubernetes-preserve-unknown-fields"), path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "default", "const", "definitions"} & set(schema), path
        assert ("items" in schema) == (schema.get("type") == "array"), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
    if kind in KINDS:
        assert version["subresources"] == {"status": {}}
        assert root["properties"]["status"]["x-kubernetes-preserve-unknown-fields"] is True
    assert definition["metadata"]["name"] == f"{definition['spec']['names']['plural']}.networking.gke.io"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_ours_says_its_default(kind: str) -> None:
    spec = crd.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for path, schema in nodes(spec, "spec"):
        if schema.get("nullable") and "properties" not in schema:
            text = schema.get("description", "").lower()
            assert "default" in text, path


def test_google_s_own_fields_are_required_and_nothing_else_is() -> None:
    def required(kind: str) -> list[str]:
        spec = crd.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        found = [f"{path}.{name}" for path, schema in nodes(spec, "spec") for name in schema.get("required", ())]
        return sorted(name for name in found if "allow[]" not in name and "deny[]" not in name)

    assert required("OverlayVPNTunnel") == [
        "spec.ikeKey",
        "spec.ikeKey.name",
        "spec.localTunnelIP",
        "spec.peer",
        "spec.peer.publicIP",
        "spec.self",
        "spec.self.publicIP",
    ]
    assert required("OverlayBGPPeer") == ["spec.localASN", "spec.localIP", "spec.peerASN", "spec.peerIP"]
    assert required("NetworkConnectivityGateway") == []
