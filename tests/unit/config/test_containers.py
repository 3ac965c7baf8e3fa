"""containers/ and docker-compose.yml: what they pin fits the code, and the lab grants what the pod grants."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from ncgd import __version__
from tests.unit.config.test_daemonset import CONTAINERS

ROOT = Path(__file__).parents[3]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_the_images_pin_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["kubernetes"]]
    text = (ROOT / "containers" / "requirements.txt").read_text()
    pinned = {name.lower(): version for name, version in re.findall(r"(?m)^([\w-]+)==(\S+) ", text)}
    assert text.count("--hash=sha256:") >= len(pinned)
    for each in map(Requirement, wanted):
        assert each.specifier.contains(pinned[each.name.lower()]), f"{each}: pip-compile again"


def test_images_are_of_this_version() -> None:
    assert {each["image"].partition(":")[2] for each in SERVICES.values()} == {__version__}


def test_the_lab_s_gateway_has_the_rights_of_the_pod() -> None:
    for name in ("ncgd", "charon", "exabgp"):
        of_the_pod = set(CONTAINERS[name]["securityContext"]["capabilities"].get("add", ()))
        more = {"NET_BIND_SERVICE"} if name == "ncgd" else set()  # to see the devices of userspace charons
        assert set(SERVICES[name].get("cap_add", ())) == of_the_pod | more


def test_every_service_is_hardened_and_says_what_each_capability_is_for() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["restart"] == "always", name
        assert service["healthcheck"], name
        assert "privileged" not in service, name
    granted = re.findall(r"(?m)^ +- (NET_\w+|SYS_\w+)(.*)$", (ROOT / "docker-compose.yml").read_text())
    assert len(granted) >= 10
    assert [name for name, reason in granted if not reason.startswith(" # ")] == []
