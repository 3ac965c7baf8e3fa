"""The pod of config/daemonset without a kubelet: three programs with their rights and no more, ESP in the kernel."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd.lab import gateway, install
from ncgd.lab.topology import STATE, inside
from tests.integration.netns import until
from tests.lab.conftest import PROGRAMS, Lab
from tests.lab.site_side import flowing

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.kernel_esp]

UP = ("--dataplane", "kernel")
MANIFEST = install.CHECKOUT / "config" / "daemonset" / "daemonset.yaml"
SHARED_RUN = 'mount --bind "$1" /run; shift; exec "$@"'
RUN = STATE / "pod-run"


class Pod:
    """Starts and ends containers, as a kubelet and a runtime would."""

    def __init__(self) -> None:
        spec = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]
        self._containers = {each["name"]: each for each in spec["containers"]}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *, without: str = "") -> None:
        """``without``: one of its capabilities, to see whether it is missed."""
        container = self._containers[name]
        argv = [*container["command"], *(["--resources", "/run/resources"] if name == "ncgd" else ())]
        added = container["securityContext"]["capabilities"].get("add", [])
        bounds = ",".join(["-all", *(f"+{each.lower()}" for each in added if each != without)])
        rights = ["setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--no-new-privs"]
        space = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", SHARED_RUN, "sh", str(RUN)]
        with (STATE / "gw" / f"pod-{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                inside("gw", *space, *rights, *argv), stdout=log, stderr=log, env={**os.environ, "PATH": gateway.PATH}
            )

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self._running.pop(name)
        process.send_signal(number)
        process.wait(30)

    def end_all(self) -> None:
        for name in list(self._running):
            self.end(name, signal.SIGKILL)

    def status(self) -> dict[str, Any]:
        argv = [str(install.VENV / "bin" / "ncgctl"), "--socket", str(RUN / "ncgd" / "ncgd.sock")]
        answer = subprocess.run([*argv, "status", "-o", "json"], capture_output=True, text=True, check=False).stdout
        return dict(json.loads(answer)) if answer else {}

    def until_healthy(self) -> None:
        def is_whole() -> bool:
            now = self.status()
            return now.get("status") == "Healthy" and all(row["reason"] == "Usable" for row in now["tunnels"])

        try:
            until(is_whole, 30)
        except AssertionError as late:
            raise AssertionError(f"not Healthy: {self.status()}") from late

    def until_problem(self, *words: str) -> None:
        def is_told() -> bool:
            told = [f"{row['reason']} {row['message']}" for row in self.status().get("problems", ())]
            return any(all(word in line for word in words) for line in told)

        try:
            until(is_told, 30)
        except AssertionError as late:
            raise AssertionError(f"nothing told of {words}: {self.status()}") from late


@pytest.fixture(scope="module")
def pod(lab: Lab) -> Iterator[Pod]:
    """In place of what the lab has started in gw."""
    for program in ("keeper", "ncgd", "exabgp", "charon"):
        pids = lab.processes(program) if program in PROGRAMS else {_keeper()}
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        until(lambda pids=pids: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20, f"{program} has ended")
    shutil.copytree(gateway.RESOURCES, RUN / "resources")
    it = Pod()
    for name in ("charon", "exabgp", "ncgd"):
        it.start(name)
    yield it
    it.end_all()


def _keeper() -> int:
    return int((STATE / "gw" / "keeper.process").read_text().split()[0])


def test_its_rights_are_enough(lab: Lab, pod: Pod) -> None:
    pod.until_healthy()
    assert pod.status()["dataplane"]["mode"] == "kernel"
    assert lab.run("pod", "ping", "-c", "5", "-i", "0.1", "-W", "2", "10.128.0.10").returncode == 0


def test_each_container_ends_and_starts_alone_and_no_packet_is_lost(lab: Lab, pod: Pod) -> None:
    for name in ("ncgd", "exabgp", "charon"):
        others = {other: lab.processes(other) for other in ("ncgd", "exabgp", "charon") if other != name}
        pod.until_healthy()
        with flowing("10.128.0.10") as lost:
            pod.end(name)
            pod.start(name)
            pod.until_healthy()
        assert lost == {"10.128.0.10": 0}
        assert others == {other: lab.processes(other) for other in others}


@pytest.mark.parametrize(
    ("capability", "words"),
    [("NET_ADMIN", ("DataplaneUnavailable", "CAP_NET_ADMIN")), ("NET_RAW", ("NotApplied", "cannot probe"))],
)
def test_ncgd_needs_each_of_its_rights(pod: Pod, capability: str, words: tuple[str, ...]) -> None:
    """charon's are in ``tests/integration/test_become.py``; exabgp has none."""
    pod.until_healthy()
    pod.end("ncgd")
    pod.start("ncgd", without=capability)
    try:
        pod.until_problem(*words)
    finally:
        pod.end("ncgd")
        pod.start("ncgd")
