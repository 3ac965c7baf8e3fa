"""A tunnel at its limit loses packets, echoes among them; it is not called dead for that."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ncgd.lab import topology
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.test_liveness import interfaces_used, reasons

pytestmark = [pytest.mark.lab, pytest.mark.root]

FLOOD = """
import select, socket, sys, time
source, target, megabits = sys.argv[1], sys.argv[2], float(sys.argv[3])
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
for flow in flows:
    flow.bind((source, 0))
began, sent = time.monotonic(), 0
while True:
    due = (time.monotonic() - began) * megabits * 1e6 / 8
    while sent < due:
        for flow in flows:
            sent += flow.sendto(bytes(1200), (target, 9))
    select.select([], [], [], 0.001)
"""
"""UDP that nobody answers, at a steady rate, in so many flows that about half of them take either tunnel."""
RATE = 5
"""What the path of tunnel-1 takes each way, Mbit/s; twice as much is sent into it."""
WAYS = {"to the cloud": ("internet", "cloud0"), "from the cloud": ("cloud0", "wan0")}
"""Node and device at which each direction of tunnel-1, and nothing else, leaves."""
QUEUES = {"short": "pfifo limit 8", "long": "bfifo limit 250kb"}
"""A short one drops small packets as readily as large ones; a long one holds them for 0.4 s either way. What takes
longer than the probe's patience (1.5 s with the defaults) is dead for it."""


@contextmanager
def narrow(queue: str) -> Iterator[None]:
    """Both directions of tunnel-1 pass through such a queue."""
    for node, device in WAYS.values():
        _tc(node, f"qdisc add dev {device} root handle 1: tbf rate {RATE}mbit burst 4kb limit 1mb")
        _tc(node, f"qdisc add dev {device} parent 1:1 {queue}")
    try:
        yield
    finally:
        for node, device in WAYS.values():
            _tc(node, f"qdisc del dev {device} root")


def _tc(node: str, arguments: str) -> str:
    argv = topology.inside(node, "tc", *arguments.split())
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def carried(way: str) -> tuple[int, bool]:
    """Bytes that have gone this way so far, and whether more of them wait."""
    node, device = WAYS[way]
    said = _tc(node, f"-s qdisc show dev {device} root").split()
    return int(said[said.index("Sent") + 1]), said[said.index("backlog") + 1] != "0b"


@contextmanager
def flooded(node: str, source: str, target: str, megabits: int) -> Iterator[None]:
    argv = topology.inside(node, sys.executable, "-c", FLOOD, source, target, str(megabits))
    with subprocess.Popen(argv) as flood:
        try:
            yield
        finally:
            flood.kill()


def deaths_of(tunnel: str) -> int:
    """The other tunnel is not narrow: when it dies here, the floods have left its charon no CPU for a while."""
    return len(re.findall(rf"tunnel {tunnel} .*probe Dead", site_side.log_text()))


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("ways", [["to the cloud"], ["from the cloud"], list(WAYS)], ids=["out", "in", "both"])
def test_a_tunnel_at_its_limit_is_not_called_dead(lab: Lab, queue: str, ways: list[str]) -> None:
    site_side.healthy()
    with site_side.vm_with_many_addresses(), ExitStack() as load:
        address = site_side.address_through("tunnel-1")
        deaths = deaths_of("tunnel-1")
        load.enter_context(narrow(QUEUES[queue]))
        if "to the cloud" in ways:
            load.enter_context(flooded("pod", topology.POD, address, 4 * RATE))
        if "from the cloud" in ways:
            load.enter_context(flooded("vm", address, topology.POD, 2 * RATE))
        for way in ways:
            enough = carried(way)[0] + RATE * 1_000_000
            until(lambda way=way, enough=enough: carried(way) >= (enough, True), 150, "8 s at the limit")
        assert deaths_of("tunnel-1") == deaths, site_side.log_text()
        until(lambda: len(interfaces_used(lab)) == 2, 30, "both tunnels carry")
        assert reasons(lab)["tunnel-1"] == "Usable"
    site_side.healthy()
