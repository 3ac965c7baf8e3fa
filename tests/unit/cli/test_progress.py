"""Whoever waits for more than a second is told for what; on a terminal, and nowhere else."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.netns import until
from tests.unit.api.test_api import degraded_site, served
from tests.unit.cli.screen_reader import Terminal

NCGCTL = (sys.executable, "-c", "from ncgd.cli.main import main; main()")


@pytest.fixture
def silent_cluster(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of such an API server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.getsockname()[1]}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        yield path


def test_an_ncgd_that_is_slow(tmp_path: Path) -> None:
    path = tmp_path / "slow.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        terminal = Terminal([*NCGCTL, "--socket", str(path), "status"], {})
        try:
            until(lambda: "has not answered yet, waiting" in terminal.text, 20, "what is waited for")
            with listening.accept()[0] as connection:
                connection.recv(65536)  # what is unread when it closes would reset the connection
                connection.sendall(b'HTTP/1.0 503 no\r\n\r\n{"error": "it has just started"}')
            assert terminal.process.wait(30) == 1
            until(lambda: "just started" in terminal.text, 5, "the answer")
            assert "waiting" not in terminal.text, "what has been waited for is no news any more"
        finally:
            terminal.close()


def test_an_api_server_that_is_slow(silent_cluster: Path) -> None:
    terminal = Terminal([*NCGCTL, "verify", "--kubeconfig", str(silent_cluster)], {})
    try:
        until(lambda: "the API server has not answered everything yet" in terminal.text, 20, "what is waited for")
    finally:
        terminal.close()


@pytest.mark.parametrize(("environment", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_single_status_has_colours_on_a_terminal(
    tmp_path: Path,
    environment: dict[str, str],
    has_colour: bool,
) -> None:
    with served(degraded_site(), tmp_path) as path:
        argv = [*NCGCTL, "--socket", str(path), "status"]
        terminal = Terminal(argv, environment)
        try:
            assert terminal.process.wait(30) == 1
            until(lambda: "ERROR" in terminal.text, 5, "the screen")
            assert (b"\033[31mERROR" in terminal.sent) == has_colour
        finally:
            terminal.close()
        piped = subprocess.run(argv, capture_output=True, check=False, timeout=30)
    assert b"\033" not in piped.stdout
    assert piped.stderr == b""
