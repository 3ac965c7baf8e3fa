"""Documents point to what is there: other documents and their sections, tests, and commands."""

import re
from pathlib import Path

import pytest

from tests.meta.test_shape import ROOT, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]


def anchors(path: Path) -> set[str]:
    """Sections of a document, as GitHub and GitLab name them."""
    titles = re.findall(r"(?m)^#+ (.+)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, section in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]+))?\)", path.read_text()):
        there = path.parent / target if target else path
        assert there.exists(), target
        assert not section or section in anchors(there), f"{target}#{section}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_are_named_are_there(path: Path) -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
