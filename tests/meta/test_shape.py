"""The shape of the repository holds: sizes, names, top level, and tests that wait for conditions."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {"pyproject.toml", "ncgd", "config", "containers", "tests", "docker-compose.yml", "README.md", "LICENSE"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}


def tracked() -> list[Path]:
    """Files that are committed, or would be."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listing.splitlines() if (ROOT / name).is_file()]


def test_no_file_is_over_400_lines() -> None:
    long = [path for path in tracked() if path.suffix == ".py" and len(path.read_text().splitlines()) > 400]
    assert long == []


def test_no_name_says_nothing() -> None:
    assert [path for path in tracked() if path.stem in NAMES_THAT_SAY_NOTHING] == []


def test_the_top_level_is_what_it_should_be() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_tests_wait_for_conditions_and_mock_nothing_of_ours() -> None:
    forbidden = re.compile(r"\btime\.sleep\(|unittest\.mock|monkeypatch\.setattr\(.*ncgd")
    allowed = {ROOT / "tests/integration/netns.py", Path(__file__)}
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.is_relative_to(ROOT / "tests") and path.suffix == ".py" and path not in allowed
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_what_needs_the_kernel_is_where_its_guest_looks_for_it() -> None:
    mark = re.compile(r"mark\.kernel_esp\b")
    folders = re.findall(r'(?m)^FOLDERS = \("(\w+)", "(\w+)", "(\w+)"\)$', (ROOT / "tests/kernel/run").read_text())
    marked = [path for path in (ROOT / "tests").rglob("*.py") if mark.search(path.read_text())]
    assert {path.relative_to(ROOT).parts[1] for path in marked} == set(*folders)
