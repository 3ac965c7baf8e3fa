"""The two commands of docker-compose.yml's first lines, typed at a compose program."""

import os
import subprocess

from ncgd.lab.topology import VM
from tests.docker.compose import PROJECT, ROOT, Compose, compose_program
from tests.docker.conftest import HEALTHY_SECONDS
from tests.integration.netns import until


def typed(project: Compose, *argv: str) -> tuple[int, str]:
    """Exit status and output of a compose command."""
    command = [*compose_program(), "--project-name", PROJECT, *argv]
    env, pipe = {**os.environ, **project.environment}, subprocess.PIPE
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def test_up_makes_the_whole_lab_healthy_and_down_leaves_nothing(project: Compose) -> None:
    try:
        status, output = typed(project, "up", "--detach")
        assert status == 0, output
        until(lambda: "Healthy" in typed(project, "exec", "-T", "ncgd", "ncgctl", "status")[1], HEALTHY_SECONDS)
        until(lambda: typed(project, "exec", "-T", "pod", "ping", "-c1", "-W1", VM)[0] == 0, 30)
        status, output = typed(project, "down", "--volumes")
        assert status == 0, output
        assert project.left() == []
    finally:
        project.down()
