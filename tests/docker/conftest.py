"""The image and the container of docker-compose.yml, through Docker's API: no compose program is needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.models.containers import Container

from tests.docker.engine import why_unreachable
from tests.integration.netns import until

ROOT = Path(__file__).parents[2]
HEALTHY_SECONDS = 60.0


class Home:
    """The service ``lab`` of docker-compose.yml: builds its image, and runs it as the file says."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["lab"]

    def build(self) -> None:
        """What ``docker compose build`` does, BASE_IMAGE from the environment included."""
        dockerfile = self._service["build"]["dockerfile"]
        given = {name: os.environ[name] for name in self._service["build"]["args"] if name in os.environ}
        tag = self._service["image"]
        self._client.images.build(path=str(ROOT), dockerfile=dockerfile, tag=tag, buildargs=given, rm=True)

    @contextmanager
    def container(self, *arguments: str, without: str = "") -> Iterator[Container]:
        """A container that has just been started, less one capability; removed at the end, whatever it does then."""
        options = {key: value for key, value in self._service.items() if key not in {"build", "stop_grace_period"}}
        options["tmpfs"] = dict(each.partition(":")[::2] for each in options["tmpfs"])
        options["cap_add"] = [each for each in options["cap_add"] if each != without]
        container = self._client.containers.run(**options, command=list(arguments), detach=True)
        try:
            yield container
        finally:
            container.remove(force=True)


def healthy(container: Container) -> None:
    """Wait until the health check says so; AssertionError with the log when it does not, or the container ends."""

    def settled() -> bool:
        container.reload()
        return container.status != "running" or container.health != "starting"

    until(settled, HEALTHY_SECONDS, "the container's health")
    assert (container.status, container.health) == ("running", "healthy"), log(container)


def log(container: Container) -> str:
    """Everything process 1 and its children have said."""
    return container.logs().decode()


def execute(container: Container, *argv: str) -> str:
    """``docker compose exec``: the output; AssertionError with it when the command fails."""
    code, output = container.exec_run(list(argv))
    assert code == 0, f"{argv}: {output.decode()}"
    return str(output.decode())


def in_node(container: Container, node: str, *argv: str) -> str:
    """Run a command in a node of the lab."""
    return execute(container, "python3", "-m", "ncgd.lab", "exec", node, "--", *argv)


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    """The service with its image built. Fails, rather than skips, where there is no engine."""
    if why := why_unreachable():
        pytest.fail(f"no Docker engine: {why}\nstart one, or set DOCKER_HOST to where it listens", pytrace=False)
    client = docker.from_env(timeout=300)
    try:
        it = Home(client)
        it.build()
        yield it
    finally:
        client.close()


@pytest.fixture(scope="module")
def lab(home: Home) -> Iterator[Container]:
    """One healthy container for a module."""
    with home.container() as container:
        healthy(container)
        yield container
