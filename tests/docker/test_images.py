"""What is in the images, what is not, and that they can be made again."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.docker.compose import PROJECT, ROOT, Compose, build_image, build_with_buildkit
from tests.docker.conftest import execute
from tests.integration.netns import until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
IMAGES = ("ncgd:0.1.0", "ncgd-lab-peer:0.1.0")
COMPILERS = ("cc", "gcc", "g++", "clang", "ld", "as", "make", "pip", "pip3", "easy_install")


@pytest.fixture
def shell(project: Compose, client: docker.DockerClient) -> Iterator[Callable[..., str]]:
    """Runs a command in an image."""
    made: list[Container] = []

    def run(image: str, *argv: str) -> str:
        it = client.containers.run(image, entrypoint=["sleep", "600"], detach=True, network_mode="none")
        made.append(it)
        return execute(it, *argv)

    yield run
    for each in made:
        each.remove(force=True)


@pytest.mark.parametrize("image", IMAGES)
def test_no_compiler_and_no_pip_inside(shell: Callable[..., str], image: str) -> None:
    looked = "; ".join(f"command -v {name} || :" for name in COMPILERS)
    assert shell(image, "sh", "-c", looked) == ""
    for module in ("pip", "ensurepip", "setuptools"):
        tried = f"! python3 -c 'import {module}' 2>/dev/null && ! /usr/bin/python3 -c 'import {module}' 2>/dev/null"
        shell(image, "sh", "-c", tried)


@pytest.mark.parametrize("image", IMAGES)
def test_it_is_small(project: Compose, client: docker.DockerClient, image: str) -> None:
    packer = zlib.compressobj(6, wbits=31)  # as registries have it
    size = sum(len(packer.compress(chunk)) for chunk in client.images.get(image).save()) + len(packer.flush())
    print(f"{image}: {size / 1e6:.0f} MB compressed")
    assert size <= 150e6


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_names_all_that_is_inside(shell: Callable[..., str], image: str) -> None:
    bill = json.loads(shell(image, "cat", "/usr/share/sbom/ncgd.spdx.json"))
    assert bill["spdxVersion"] == "SPDX-2.3"
    named = {each["externalRefs"][0]["referenceLocator"].partition("?")[0] for each in bill["packages"]}
    debian = shell(image, "dpkg-query", "-W", "-f", "pkg:deb/debian/${Package}@${Version}\n").split()
    listing = "from importlib.metadata import distributions as d; print(*(f'{e.name}@{e.version}' for e in d()))"
    python = {re.sub(r"[-_.]+(?=.*@)", "-", each).lower() for each in shell(image, "python3", "-c", listing).split()}
    assert named == {*debian, *(f"pkg:pypi/{each}" for each in python)}
    assert {"ncgd@0.1.0", "exabgp@5.0.15"} <= python
    assert len({each["SPDXID"] for each in bill["packages"]}) == len(bill["packages"])


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_in_it_tells_when_and_where_it_was_made(shell: Callable[..., str], image: str) -> None:
    young = "find / -xdev -newermt @1767225600 -type f ! -path '/proc/*' ! -path '/sys/*' ! -path '/dev/*'"
    made_by_the_engine = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/.dockerenv"}
    assert set(shell(image, "sh", "-c", young).split()) <= made_by_the_engine
    assert set(shell(image, "cut", "-d:", "-f3", "/etc/shadow").split()) == {str(1767225600 // 86400)}
    leftovers = "ls -A /tmp /var/log /var/lib/apt/lists /var/cache/apt /root/.cache 2>/dev/null | grep -v : || :"
    kept = shell(image, "sh", "-c", f"find /var/log -type f; {leftovers}").split()
    assert [name for name in kept if name not in {"apt", "private"}] == []


def test_both_builders_make_the_same_image_of_the_same_sources(project: Compose, client: docker.DockerClient) -> None:
    """``docker compose up`` builds with BuildKit, which failed at what the legacy builder allowed."""
    again = f"{PROJECT}:again"
    build_with_buildkit(project.services["ncgd"]["build"], again, "--no-cache")
    try:
        first, second = (client.images.get(name).attrs for name in (IMAGES[0], again))
        assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
        for key in ("Entrypoint", "Cmd", "Env", "Healthcheck", "StopSignal", "User"):
            assert first["Config"].get(key) == second["Config"].get(key), key
    finally:
        client.images.remove(again)


@pytest.mark.parametrize(
    ("capability", "what"), [("NET_ADMIN", "SAs, policies"), ("NET_BIND_SERVICE", "UDP ports 500")]
)
def test_charon_names_the_capability_that_it_lacks(project: Compose, capability: str, what: str) -> None:
    container = project.create("charon", lacking=capability, is_alone=True)
    try:
        container.start()
        assert container.wait(timeout=60)["StatusCode"] == 2
        assert f"charons cannot be started: it lacks CAP_{capability} ({what}" in container.logs().decode()
    finally:
        project.down()


def test_ncgd_names_net_admin_when_it_lacks_it(project: Compose) -> None:
    capability = "NET_ADMIN"
    container = project.create("ncgd", lacking=capability, is_alone=True)
    try:
        container.start()
        until(lambda: capability in container.exec_run(["ncgctl", "status"])[1].decode(), 60, "ncgctl status names it")
    finally:
        project.down()


@pytest.mark.parametrize("node", ["gateway", "nat", "cloud0", "vm", "pod"])
def test_a_node_names_the_capability_that_it_lacks(project: Compose, node: str) -> None:
    container = project.create(node, lacking="NET_ADMIN", is_alone=True)
    try:
        container.start()
        assert container.wait(timeout=60)["StatusCode"] == 1
        assert f"{node} lacks CAP_NET_ADMIN (" in container.logs().decode()
    finally:
        project.down()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_mirror_and_proxy_are_those_of_the_build_arguments(
    project: Compose, client: docker.DockerClient, name: str
) -> None:
    """Neither is there: a build that asks another one would get on."""
    build = project.services["ncgd"]["build"]
    mirror = "deb [trusted=yes] http://mirror.invalid/debian bookworm main"
    arguments = {**build["args"], "APT_SOURCES": mirror, name: "http://127.0.0.1:9"}
    with pytest.raises(docker.errors.BuildError) as failed:
        build_image(client, {**build, "args": arguments}, f"{PROJECT}:never", nocache=True)
    said = "".join(line.get("stream", "") for line in failed.value.build_log)
    assert "http://mirror.invalid/debian" in said
    assert "127.0.0.1:9" in said
    assert said.count("Failed to fetch") == said.count("http://mirror.invalid/debian/dists") > 0


def test_no_build_file_names_a_mirror() -> None:
    texts = [
        path.read_text() for path in Path(ROOT, "containers").iterdir() if path.name in {"Dockerfile", "apt-install"}
    ]
    assert len(texts) == 2
    assert {url for text in texts for url in re.findall(r"https?://[^\s/\"]+", text)} <= {"http://ncgd"}
