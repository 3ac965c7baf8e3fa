"""A Docker engine for the tests: the one that answers, or one of their own that leaves nothing behind.

Standard library only: tests/run asks before it knows what it can run.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ncgd.lab import install
from ncgd.lab.failure import LabFailure, succeeds

_ASK = "import docker; docker.from_env().ping()"
_TIDY = """
import docker
engine = docker.from_env(timeout=300)
engine.containers.prune()
engine.images.prune({"dangling": True, "until": "24h"})
engine.api.prune_builds()
"""
"""What runs of long ago have left in an engine that is ours; what is younger makes the next build a fast one."""
NETWORK = "NCGD_TEST_ENGINE_NETWORK"
"""The network namespace in which the engine publishes ports, where that is not ours: a path."""
_PACKAGES = {"dockerd": "docker.io", "slirp4netns": "slirp4netns"}
_READY_SECONDS = 60.0
# Process 1 of namespaces of its own: what it starts ends with it, and this machine's rules, routes and /run stay as
# they are. 10.0.2.3 is where slirp4netns(1) answers for this machine's name servers. dockerd needs cgroups, in which
# its containers show up: version 1 or 2, as they are mounted here.
_INSIDE = """
mount -t tmpfs ncgd-docker /run
echo "nameserver 10.0.2.3" > /run/resolv.conf
mount --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf || echo /etc/resolv.conf)"
ip link set lo up
read -r _ # the network is there
exec dockerd --host "unix://$1/docker.sock" --data-root "$2" --exec-root /run/docker --pidfile /run/docker.pid
"""


def why_unreachable(python: str = sys.executable) -> str:
    """Empty when an engine answers where DOCKER_HOST or its default points; else why not, in a line.

    ``python`` is one that has Docker's SDK. It runs on its own: a refused connection leaves the SDK's sockets open.
    """
    argv = [python, "-P", "-W", "ignore", "-c", _ASK]
    asked = subprocess.run(argv, capture_output=True, text=True, check=False)
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else ""


@contextmanager
def engine(python: str, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """The environment in which an engine is found: empty where one answers, else that of one which ends with this.

    Raises LabFailure when there can be none here.
    """
    if not (why := why_unreachable(python)):
        yield {}
        return
    say(f"no Docker engine answers ({why}): starting one for the tests")
    if missing := [package for program, package in _PACKAGES.items() if not shutil.which(program)]:
        install.install_packages(missing, say)
    if not (buildkit_program() and compose_program()):
        install.install_packages(_clients(), say)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ncgd-docker-")))
        found = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
        dockerd = _start_dockerd(folder, stack)
        environment = {**os.environ, **found}
        deadline = time.monotonic() + _READY_SECONDS
        while subprocess.run([python, "-P", "-c", _ASK], env=environment, capture_output=True, check=False).returncode:
            if dockerd.poll() is not None or time.monotonic() > deadline:
                tail = (folder / "log").read_text()[-3000:]
                raise LabFailure("dockerd does not answer", "the end of its log is above", tail)
        try:
            yield {**found, NETWORK: f"/proc/{_child(dockerd.pid)}/ns/net"}
        finally:
            subprocess.run([python, "-P", "-c", _TIDY], env=environment, check=False)


def buildkit_program() -> str:
    """A docker program that builds with BuildKit; empty where there is none."""
    for program in ("docker", "/usr/bin/docker"):
        if succeeds("env", "DOCKER_BUILDKIT=1", program, "build", "--help"):
            return program
    return ""


def compose_program() -> list[str]:
    """``docker compose``, or the program of its own that Debian 12 has; empty where there is neither."""
    for argv in (["docker", "compose"], ["/usr/bin/docker", "compose"], ["docker-compose"]):
        if succeeds(*argv, "version"):
            return argv
    return []


def _clients() -> list[str]:
    """Debian 12 has the docker program, with BuildKit, in docker.io; Debian 13 and Ubuntu split some of it off."""
    split_off = ("docker-cli", "docker-buildx", "docker-compose-v2")
    known = [each for each in split_off if succeeds("apt-cache", "show", each)]
    return known if "docker-compose-v2" in known else [*known, "docker-compose"]


def _start_dockerd(folder: Path, stack: ExitStack) -> "subprocess.Popen[bytes]":
    log = stack.enter_context((folder / "log").open("wb"))
    spaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private")
    argv = [*spaces, "--kill-child=SIGTERM", "sh", "-ec", _INSIDE, "sh", str(folder), str(_data())]
    dockerd = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log)
    stack.callback(_end, dockerd)
    assert dockerd.stdin
    heard, told = os.pipe()
    network = ["slirp4netns", "--configure", "--disable-host-loopback", f"--ready-fd={told}", str(_child(dockerd.pid))]
    slirp = subprocess.Popen([*network, "tap0"], stdout=log, stderr=log, pass_fds=[told])
    stack.callback(_end, slirp)
    os.close(told)
    with os.fdopen(heard, "rb") as ready:
        if not ready.read(1):
            raise LabFailure(
                "slirp4netns gives no network", "the end of its log is above", (folder / "log").read_text()
            )
    dockerd.stdin.write(b"\n")
    dockerd.stdin.close()
    return dockerd


def _data() -> Path:
    """Images and layers, kept from run to run."""
    folder = Path(os.environ.get("NCGD_CACHE") or Path.home() / ".cache" / "ncgd") / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _child(pid: int) -> int:
    """The process 1 that ``unshare`` has forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + _READY_SECONDS
    while not (found := children.read_text().split()):
        if time.monotonic() > deadline:
            raise LabFailure("unshare made no namespaces", "is this root?")
    return int(found[0])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """In good order: dockerd ends its containers. What is left after a while is killed, with all that it started."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() or [str(process.pid)]:
        os.kill(int(child), signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
