"""The commands of docker-compose.yml's first lines, typed at a compose program."""

from ncgd.lab.topology import VM
from tests.docker.compose import PROJECT, Compose, typed
from tests.docker.conftest import HEALTHY_SECONDS
from tests.docker.engine import compose_program
from tests.integration.netns import until


def test_up_makes_the_whole_lab_healthy_and_down_leaves_nothing(project: Compose) -> None:
    program = compose_program()
    assert program, "there is no docker compose here: install docker-compose"

    def compose(*argv: str) -> tuple[int, str]:
        return typed(*program, "--project-name", PROJECT, *argv, **project.environment)

    try:
        status, output = compose("up", "--detach")
        assert status == 0, output
        until(lambda: "Healthy" in compose("exec", "-T", "ncgd", "ncgctl", "status")[1], HEALTHY_SECONDS)
        until(lambda: compose("exec", "-T", "pod", "ping", "-c1", "-W1", VM)[0] == 0, 30)
        status, output = compose("down", "--volumes")
        assert status == 0, output
        assert project.left() == []
    finally:
        project.down()
