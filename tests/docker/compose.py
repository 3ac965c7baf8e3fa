"""docker-compose.yml through Docker's API, as far as it goes there, and the programs that people give it to.

Keys of a service that are not known here are an error, so nothing of the file is left out unseen.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.errors import NotFound
from docker.models.containers import Container

from tests.docker.engine import buildkit_program

ROOT = Path(__file__).parents[2]
PROJECT = "ncgd-test"
_LABEL = "com.docker.compose.project"
_SECOND = 1_000_000_000
_PLAIN = ("image", "command", "entrypoint", "user", "group_add", "cap_add", "cap_drop", "security_opt", "read_only")
_SHARED = {"networks", "network_mode", "pid", "ports", "restart"}
_ELSEWHERE = {"build", "depends_on", "stop_grace_period"}


class Compose:
    """The project of the file, one at a time per engine: its networks have fixed addresses."""

    def __init__(self, client: docker.DockerClient, environment: Mapping[str, str]) -> None:
        """``environment``: what the file's ``${...}`` take their values from."""
        self._client = client
        self.environment = environment
        self._file = _interpolated(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), environment)
        self.services: dict[str, dict[str, Any]] = self._file["services"]

    def build(self) -> None:
        """Build each image once."""
        for service in {each["image"]: each for each in self.services.values()}.values():
            build_image(self._client, service["build"], service["image"])

    def up(self, *without: str) -> None:
        """Make and start everything; ``without``: services to leave out."""
        for name, network in self._file["networks"].items():
            pools = [docker.types.IPAMPool(**each) for each in network["ipam"]["config"]]
            self._client.networks.create(
                f"{PROJECT}_{name}",
                driver="bridge",
                options=network.get("driver_opts"),
                ipam=docker.types.IPAMConfig(pool_configs=pools),
                labels={_LABEL: PROJECT},
            )
        for name, volume in self._file["volumes"].items():
            self._client.volumes.create(
                f"{PROJECT}_{name}", driver_opts=volume["driver_opts"], labels={_LABEL: PROJECT}
            )
        for name in self._in_order():
            if name not in without:
                self.create(name).start()

    def create(self, name: str, *, lacking: str = "", is_alone: bool = False) -> Container:
        """The container of a service, less one capability; ``is_alone``: with nothing of the others, and run once."""
        service = dict(self.services[name])
        if is_alone:
            service = {key: value for key, value in service.items() if key not in _SHARED} | {"network_mode": "none"}
            own = [each for each in service.get("volumes", ()) if each.startswith((".", "/"))]
            shared = [each.partition(":")[2] for each in service.get("volumes", ()) if each not in own]
            service |= {"volumes": own, "tmpfs": [*service.get("tmpfs", ()), *shared]}
        networks: dict[str, Any] = service.pop("networks", {})
        options = _options(service)
        options["cap_add"] = [each for each in options.get("cap_add", ()) if each != lacking]
        for kind in ("network_mode", "pid_mode"):
            if str(options.get(kind, "")).startswith("service:"):
                options[kind] = f"container:{PROJECT}-{str(options[kind]).partition(':')[2]}"
        (first, ends), *rest = networks.items() or [("", {})]
        if first:
            config = self._client.api.create_endpoint_config(**ends)
            options |= {"network": f"{PROJECT}_{first}", "networking_config": {f"{PROJECT}_{first}": config}}
        container = self._client.containers.create(name=f"{PROJECT}-{name}", labels={_LABEL: PROJECT}, **options)
        for network, more in rest:
            self._client.networks.get(f"{PROJECT}_{network}").connect(container, **more)
        return container

    def __getitem__(self, name: str) -> Container:
        return self._client.containers.get(f"{PROJECT}-{name}")

    def down(self) -> None:
        """Remove all of it, whatever is there."""
        for container in self._client.containers.list(all=True, filters={"label": f"{_LABEL}={PROJECT}"}):
            with suppress(NotFound):
                container.remove(force=True)
        for network in self._client.networks.list(filters={"label": f"{_LABEL}={PROJECT}"}):
            network.remove()
        for volume in self._client.volumes.list(filters={"name": f"{PROJECT}_"}):
            volume.remove()

    def left(self) -> list[str]:
        """What of it the engine still has."""
        label = {"label": f"{_LABEL}={PROJECT}"}
        containers = self._client.containers.list(all=True, filters=label)
        return [
            each.name
            for each in (
                *containers,
                *self._client.networks.list(filters=label),
                *self._client.volumes.list(filters=label),
            )
        ]

    def _in_order(self) -> Iterator[str]:
        """Services after those that they depend on."""
        done: set[str] = set()
        while len(done) < len(self.services):
            ready = [
                name
                for name, each in self.services.items()
                if name not in done and set(each.get("depends_on", ())) <= done
            ]
            assert ready, "services depend on one another in a circle"
            yield from ready
            done |= set(ready)


def build_image(client: docker.DockerClient, build: Mapping[str, Any], tag: str, *, nocache: bool = False) -> None:
    """What ``docker compose build`` does for one image."""
    path = ROOT / build["context"]
    client.images.build(
        path=str(path),
        dockerfile=build["dockerfile"],
        target=build["target"],
        buildargs=build["args"],
        tag=tag,
        nocache=nocache,
        forcerm=True,  # also what a build that fails has run
    )


def build_with_buildkit(build: Mapping[str, Any], tag: str, *options: str) -> None:
    """The same with the builder that Docker's API alone does not reach; AssertionError with its log when it fails."""
    program = buildkit_program()
    assert program, "no docker program here has BuildKit: install docker-buildx"
    given = [each for item in build["args"].items() for each in ("--build-arg", "=".join(item))]
    files = ["--file", str(ROOT / build["dockerfile"]), "--target", build["target"], str(ROOT / build["context"])]
    status, output = typed(
        program, "build", *options, "--tag", tag, *given, *files, DOCKER_BUILDKIT="1", BUILDKIT_PROGRESS="plain"
    )
    assert status == 0, output[-5000:]


def typed(*argv: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of a command, in the checkout."""
    env = {**os.environ, **environment}
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(argv, cwd=ROOT, env=env, stdout=pipe, stderr=both, text=True, check=False)
    return done.returncode, done.stdout


def _options(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service of the file as the SDK's arguments."""
    options = {key: service[key] for key in _PLAIN if key in service}
    for key, value in service.items():
        match key:
            case "network_mode":
                options[key] = value
            case "pid":
                options["pid_mode"] = value
            case "restart":
                options["restart_policy"] = {"Name": value}
            case "logging":
                options["log_config"] = docker.types.LogConfig(type=value["driver"])
            case "devices":
                options[key] = [f"{each}:{each}:rwm" for each in value]
            case "sysctls":
                options[key] = {name: str(each) for name, each in value.items()}
            case "tmpfs":
                options[key] = dict(each.partition(":")[::2] for each in value)
            case "volumes":
                options[key] = [_volume(each) for each in value]
            case "ports":
                options[key] = {f"{each.split(':')[2]}/tcp": tuple(each.split(":")[:2]) for each in value}
            case "healthcheck":
                options[key] = {
                    name: int(each.removesuffix("s")) * _SECOND if str(each).endswith("s") else each
                    for name, each in value.items()
                }
            case _:
                assert key in _PLAIN or key in _ELSEWHERE, f"no test knows what {key} is"
    return options


def _volume(text: str) -> str:
    source, _, rest = text.partition(":")
    if source.startswith("."):
        return f"{(ROOT / source).resolve()}:{rest}"
    return text if source.startswith("/") else f"{PROJECT}_{text}"


def _interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """``${NAME:-default}`` and ``$$`` as the compose specification has them."""
    if isinstance(value, dict):
        return {key: _interpolated(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, environment) for each in value]
    if not isinstance(value, str):
        return value
    found = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: environment.get(match[1]) or match[2], value)
    return found.replace("$$", "$")


def environment() -> dict[str, str]:
    """What a person may set, and a port that is free."""
    return {"STATUS_PORT": "0", **({"BASE_IMAGE": base} if (base := os.environ.get("BASE_IMAGE")) else {})}
