"""The resource reference: fresh, and complete."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ncgd.resources import reference
from ncgd.resources.schema import structural_schema
from ncgd.resources.v1alpha1 import KINDS

CHECKED_IN = Path(__file__).parents[3] / "config" / reference.FILE


def test_the_checked_in_reference_is_what_the_model_says() -> None:
    assert CHECKED_IN.read_text() == reference.text(), "run: python -m ncgd.resources.reference config"


def fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        if "prefix" not in child.get("items", {}).get("properties", {}):
            yield from fields(child, f"{path}.{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_there_with_its_default(kind: str) -> None:
    section = reference.text().split(f"## {kind}\n")[1].split("\n## ")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    assert set(rows) == set(fields(structural_schema(KINDS[kind])["properties"]["spec"], "spec"))
    for path, line in rows.items():
        assert "| object |" in line or "**Required.**" in line or "default" in line.lower(), path


def test_every_field_says_what_it_is() -> None:
    rows = [line.split(" | ") for line in reference.text().splitlines() if line.startswith("| `")]
    assert [name for name, _, what in rows if len(what.replace("**Required.**", "").strip(" |")) < 10] == []


def test_a_value_that_kubectl_would_misread_is_in_quotes() -> None:
    assert '| `spec.leakProtection` | `"Off"`, `Strict` |' in reference.text()
