"""``--help`` teaches: it fits a terminal, has examples, and each of them can be typed as it stands."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from ncgd.cli.commands import HIDDEN, known
from ncgd.cli.main import main

NAMES = [name for name, _ in known()]


def shown(*arguments: str) -> str:
    answer = CliRunner().invoke(main, [*arguments, "--help"], prog_name="ncgctl", terminal_width=None)
    assert answer.exit_code == 0
    return answer.stdout


def examples(text: str) -> list[str]:
    """What stands behind ``ncgctl`` in a help text, up to a pipe, a comment, or a column of explanation."""
    lines = (line.strip() for line in text.splitlines() if not line.startswith("Usage:"))
    found = (
        re.search(r"(?:^|[(:;] |-- |until |<\()\(?ncgctl ((?:\S+ ?)+)", re.sub(r"(?<=\S)  +\S.*| #.*", "", line))
        for line in lines
    )
    return [re.split(r" [|>]|\)", match.group(1))[0].strip() for match in found if match]


@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_there_and_its_help_fits_80_columns(name: str) -> None:
    assert max(map(len, shown(name).splitlines())) <= 80


@pytest.mark.parametrize("name", ["", *NAMES])
def test_examples_can_be_typed_as_they_stand(name: str) -> None:
    context = click.Context(main, info_name="ncgctl")
    for example in examples(shown(*([name] if name else []))):
        words = shlex.split(example)
        if words[0] == "COMMAND" or words[0].startswith("--"):
            continue
        command = main.get_command(context, words[0])
        assert command is not None, example
        command.make_context(words[0], words[1:], parent=context).close()


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_examples(name: str) -> None:
    assert [each for each in examples(shown(name)) if each.startswith(name)]


def test_the_usage_says_where_the_socket_is_named() -> None:
    """``ncgctl status --socket PATH`` is refused, and the usage had nothing before COMMAND."""
    assert shown().startswith("Usage: ncgctl [--socket PATH] COMMAND [OPTIONS]\n")


def test_nothing_is_listed_that_only_ncgctl_itself_runs() -> None:
    assert all(name not in shown() for name in HIDDEN)
