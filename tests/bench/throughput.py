"""TCP from pod to VM through one tunnel, there and back: how much it carries."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from ncgd.lab import topology
from ncgd.lab.failure import LabFailure
from tests.bench.sites import Site, node
from tests.integration.netns import until

PORT = 5201
RUNS, SECONDS = 5, 3


def mbit(site: Site) -> float:
    """Mbit/s that arrive, the median of some runs."""
    runs: list[float] = []
    for _ in range(RUNS):
        with streaming(site, SECONDS, "--omit", "1") as report:
            pass
        runs.append(report["end"]["sum_received"]["bits_per_second"] / 1e6)
    return median(runs)


@contextmanager
def streaming(site: Site, seconds: int, *options: str) -> Iterator[dict[str, Any]]:
    """Run iperf3 for ``seconds`` beside the block; its report is filled in when both have ended. Raises LabFailure."""
    if not shutil.which("iperf3"):
        raise LabFailure("iperf3 is not installed")
    target, port = _one_way(site)
    report: dict[str, Any] = {}
    pod, vm = node("pod"), node("vm")
    server = vm.start("iperf3", "--server", "--bind", target)
    try:
        until(lambda: f"{target}:{PORT}" in vm.run("ss", "-Hltn"), what="iperf3 listens")
        argv = ["iperf3", "--json", "--client", target, "--cport", str(port), "--time", str(seconds), *options]
        with subprocess.Popen(
            ["ip", "netns", "exec", pod.name, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as client:
            yield report
            report.update(json.loads(client.communicate()[0]))
        assert "error" not in report, report["error"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _one_way(site: Site) -> tuple[str, int]:
    """A VM address whose answers return by one tunnel, and a source port that the gateway hashes into the same."""
    far = site.cloud[0]
    target = topology.PINNED_VM[far.node]
    for port in range(20_000, 20_100):
        flow = f"route get {target} from {topology.POD} iif lan0 ipproto 6 sport {port} dport {PORT}"
        device = node("gw").ip(flow).split(" dev ")[1].split()[0]
        if f" {far.gateway_ip}" in node("gw").ip(f"-4 -o addr show dev {device}"):
            return target, port
    raise AssertionError("of 100 flows none goes through the first tunnel")
