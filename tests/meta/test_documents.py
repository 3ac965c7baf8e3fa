"""Documents point to what is there: other documents and their sections, tests, and commands."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
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


def code(path: Path) -> Iterator[str]:
    """Every line of code in a document: fenced, and between back quotes."""
    for number, part in enumerate(path.read_text().split("```")):
        yield from part.splitlines()[1:] if number % 2 else re.findall(r"`([^`]+)`", part)


def commands(path: Path) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Commands of ours that a document tells people to type: program and action, and the options."""
    for line in code(path):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for program in (["ncgctl"], ["ncgd"], ["python3", "-m", "ncgd.lab"]):
            for start in range(len(words)):
                if words[start : start + len(program)] == program and words[:start] in ([], ["sudo"]):
                    given = words[start + len(program) :]
                    own = given[: given.index("--")] if "--" in given else given
                    action = tuple(own[:1]) if own and re.fullmatch("[a-z]+", own[0]) else ()
                    yield (*program, *action), {word.partition("=")[0] for word in own if re.match("--?[a-z]", word)}


@cache
def help_of(*command: str) -> str:
    """What a command says of itself; empty when there is no such command."""
    module = {"ncgctl": "ncgd.cli.main", "ncgd": "ncgd.daemon.main", "python3": "ncgd.lab"}[command[0]]
    action = command[3:] if command[0] == "python3" else command[1:]
    call = f"import sys; sys.argv[0] = {command[0]!r}; from {module} import main; sys.exit(main())"
    start = ["-m", module] if command[0] == "python3" else ["-c", call]
    argv = [sys.executable, *start, *action, "--help"]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if result.returncode else result.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_there_with_their_options(path: Path) -> None:
    for command, options in commands(path):
        text = help_of(*command)
        assert text, " ".join(command)
        for option in options:
            assert re.search(rf"(?<![\w-]){option}\b", text), f"{' '.join(command)} {option}"
