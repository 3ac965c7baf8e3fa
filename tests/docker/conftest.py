"""An engine, the images, and the lab of docker-compose.yml on it."""

import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from ncgd.lab.topology import POD
from tests.docker import debian_image
from tests.docker.compose import Compose, environment
from tests.docker.engine import why_unreachable
from tests.integration.netns import until

HEALTHY_SECONDS = 90.0


def execute(container: Container, *argv: str, **options: Any) -> str:
    """``docker compose exec``: the output; AssertionError with it when the command fails."""
    code, output = container.exec_run(list(argv), **options)
    assert code == 0, f"{argv}: {output.decode()}"
    return str(output.decode())


def log(container: Container) -> str:
    """Everything that its programs have said."""
    return str(container.logs().decode())


def healthy(lab: Compose) -> None:
    """Wait until every service is; AssertionError with the logs of those that are not."""

    def unwell() -> list[str]:
        return [name for name in lab.services if health(lab[name]) != "healthy"]

    try:
        until(lambda: not unwell(), HEALTHY_SECONDS, "all services are healthy")
    except AssertionError as error:
        raise AssertionError("\n".join(f"== {name}\n{log(lab[name])[-3000:]}" for name in unwell())) from error
    until(lambda: lab["vm"].exec_run(["ip", "route", "get", POD])[0] == 0, 30, "the VPC knows the way back")


def health(container: Container) -> str:
    """``starting``, ``healthy``, ``unhealthy``, or what else it is."""
    state = container.client.api.inspect_container(container.id)["State"]
    return str(state["Health"]["Status"] if state["Status"] == "running" else state["Status"])


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """Fails, rather than skips, where there is no engine."""
    if why := why_unreachable():
        pytest.fail(f"no Docker engine: {why}\ntests/run docker starts one; or set DOCKER_HOST", pytrace=False)
    it = docker.from_env(timeout=300)
    try:
        yield it
    finally:
        it.close()


@pytest.fixture(scope="session")
def project(client: docker.DockerClient) -> Iterator[Compose]:
    """The project with its images built, and nothing of it up."""
    given = environment()
    it = Compose(client, {"BASE_IMAGE": debian_image.ensure(client), **given})
    it.down()
    began = time.monotonic()
    it.build()
    print(f"images built in {time.monotonic() - began:.0f} s")
    try:
        yield it
    finally:
        it.down()


@pytest.fixture(scope="module")
def lab(project: Compose) -> Iterator[Compose]:
    """All of it, healthy, for a module."""
    began = time.monotonic()
    project.up()
    healthy(project)
    print(f"healthy {time.monotonic() - began:.1f} s after up")
    try:
        yield project
    finally:
        project.down()
