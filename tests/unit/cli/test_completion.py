"""Completion, as the shells themselves do it."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncgd.cli.commands import HIDDEN, known
from ncgd.cli.completion import SHELLS
from ncgd.cli.main import main
from tests.unit.api.test_api import degraded_site, ncgctl, served


def installed(tmp_path: Path) -> dict[str, str]:
    """An environment with ``ncgctl`` on its PATH, as this checkout has it."""
    program = tmp_path / "bin" / "ncgctl"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom ncgd.cli.main import main\nmain(prog_name='ncgctl')\n")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def in_bash(environment: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = shlex.join(words)
    script = f"""
        source <(ncgctl completion bash)
        COMP_WORDS=({line}) COMP_CWORD={len(words) - 1} COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        _ncgctl_completion ncgctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    argv = ["bash", "--norc", "-ec", script]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_choices_and_what_ncgd_knows(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    assert in_bash(environment, "ncgctl", "") == [name for name, _ in known()]
    assert in_bash(environment, "ncgctl", "ev") == ["events"]
    assert in_bash(environment, "ncgctl", "status", "--w") == ["--watch"]
    assert in_bash(environment, "ncgctl", "get", "overlayb") == ["overlaybgppeer"]
    assert in_bash(environment, "ncgctl", "completion", "") == list(SHELLS)
    with served(degraded_site(), tmp_path) as socket:
        there = ("ncgctl", "--socket", str(socket))
        assert in_bash(environment, *there, "explain", "tun") == ["tunnel-1", "tunnel-2"]
        assert in_bash(environment, *there, "explain", "10.1") == ["10.128.0.0/20"]
        assert in_bash(environment, *there, "get", "overlaybgppeer", "") == ["peer-1", "peer-2"]
        assert in_bash(environment, *there, "events", "peer") == ["peer-1", "peer-2"]


def test_without_an_ncgd_nothing_is_offered_and_nothing_said(tmp_path: Path) -> None:
    assert in_bash(installed(tmp_path), "ncgctl", "--socket", str(tmp_path / "none"), "explain", "t") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_what_each_word_means(tmp_path: Path, shell: str) -> None:
    words: dict[str, Sequence[str]] = {"zsh": ("ncgctl explain tun", "2"), "fish": ("ncgctl explain", "tun")}
    with served(degraded_site(), tmp_path) as socket:
        environment = {
            "_NCGCTL_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": words[shell][0],
            "COMP_CWORD": words[shell][1],
            "NCGD_SOCKET": str(socket),
        }
        answer = CliRunner().invoke(main, [], prog_name="ncgctl", env=environment)
    assert "tunnel-1" in answer.output
    assert "down: " in answer.output
    script = ncgctl(tmp_path / "none", "completion", shell).stdout
    assert f"_NCGCTL_COMPLETE={shell}_complete" in script


def test_what_only_ncgctl_itself_runs_is_not_offered(tmp_path: Path) -> None:
    assert not set(in_bash(installed(tmp_path), "ncgctl", "n")) & HIDDEN.keys()


def test_an_unknown_shell_is_named(tmp_path: Path) -> None:
    answer = ncgctl(tmp_path / "none", "completion", "tcsh")
    assert answer.exit_code == 2
    assert "tcsh" in answer.stderr
