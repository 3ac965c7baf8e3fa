"""``ncgctl verify`` of a plain host, NCG's flags that are actions, and how it ends when nothing answers."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ncgd.cli.commands import ACTIONS, known
from ncgd.cli.main import main
from tests.integration.netns import until
from tests.unit.cli.screen_reader import Terminal
from tests.unit.resources.manifests import a_file, gateway, peer, secret


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def ncgctl(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def folder(tmp_path: Path, *manifests: object) -> str:
    path = tmp_path / "resources"
    path.mkdir()
    (path / "all.yaml").write_bytes(a_file(*manifests))
    return str(path)


def test_a_host_is_checked_without_a_cluster(tmp_path: Path) -> None:
    answer = ncgctl("verify", "--resources", folder(tmp_path, secret(), gateway()), "-o", "json")
    told = json.loads(answer.stdout)
    assert set(told) == {"verdict", "checks"}
    assert {"kernel", "nft", "forwarding", "rp_filter", "resources"} <= {check["name"] for check in told["checks"]}
    assert all(set(check) == {"name", "where", "verdict", "saw", "todo"} for check in told["checks"])


def test_it_exits_1_and_says_what_to_do_when_a_check_fails(tmp_path: Path) -> None:
    answer = ncgctl("verify", "--resources", folder(tmp_path, secret(), peer(1)))
    assert answer.exit_code == 1
    assert "FAIL  resources" in answer.stdout
    assert "→ create the tunnel" in answer.stdout


@pytest.mark.parametrize("before", [(), ("--resources", "/nowhere")])
def test_ncg_s_flags_are_actions_wherever_they_stand(before: tuple[str, ...]) -> None:
    answer = ncgctl(*before, "--verify", "-o", "json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["verdict"] == "fail"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not found"),
        ("clusters: [", "no YAML"),
        ("users: [{name: a, user: {token: s3cr3t}]", "no YAML"),
        ("{}", "it has no 'clusters'"),
        ("current-context: x\ncontexts: []", "cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    answer = ncgctl("--verify", "--kubeconfig", str(path))
    assert (answer.exit_code, words in answer.stderr) == (2, True), answer.stderr
    assert "s3cr3t" not in answer.output


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    answer = ncgctl("verify", "--kubeconfig", str(path))
    assert (answer.exit_code, "http://127.0.0.1:1 cannot be reached" in answer.stderr) == (3, True)


def test_the_help_names_every_command_flag_and_exit_status() -> None:
    text = ncgctl("--help").stdout
    commands = {name for name, _ in known()}
    for word in (*commands, *ACTIONS, "--socket", "Exit status"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
    for name in commands:
        assert ncgctl(name, "--help").exit_code == 0


def test_it_is_as_wide_as_the_terminal() -> None:
    """At 80 columns each line of 120 went on in the next one's first columns."""
    argv = [sys.executable, "-c", "from ncgd.cli.main import main; main()", "verify", "--resources", "/nowhere"]
    terminal = Terminal(argv, {}, rows=150, columns=60)
    try:
        assert terminal.process.wait(30) == 1
        until(lambda: "failed, " in terminal.text, 5, "the sum")
        assert max(map(len, terminal.lines)) <= 60
    finally:
        terminal.close()
