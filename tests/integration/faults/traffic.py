"""Numbered packets between pod and VM, every 10 ms, and what became of each.

Four flows: either direction, and in it one through each tunnel. ``Traffic`` drives a process that sends and receives
them all, so that what a test does meanwhile delays none; run as a program, this file is that process.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from ncgd.lab import gateway, install
from ncgd.lab.topology import POD, VM, namespace
from tests.integration.netns import enter, until
from tests.lab.site_side import NODE_OF

INTERVAL_SECONDS = 0.01
_PORT = 7000
SMALL, LARGE = 100, 1398 - 28
"""Bytes of payload; the larger is what fits the MTU of the lab's tunnels, and makes 1.1 Mbit/s of each flow."""
_LATE_SECONDS = 1.0  # how long after the last packet was sent the others may still arrive
_NUMBER = struct.Struct("!Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One direction through one tunnel: bytes of payload; namespaces, addresses and UDP ports of both ends."""

    direction: str
    tunnel: str
    size: int
    source: tuple[str, str, int]
    target: tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of a flow: packets sent and lost; seconds of the longest time in which none got through at once."""

    flow: Flow
    sent: int
    lost: int
    outage: float


class Traffic:
    """The four flows while the block runs; ``accounts`` afterwards."""

    def __init__(self, size: int = SMALL) -> None:
        self.flows = [_choose(direction, tunnel, size) for direction in ("out", "back") for tunnel in NODE_OF]
        self.accounts: list[Account] = []

    def __enter__(self) -> "Traffic":
        argv = [sys.executable, "-m", __name__, json.dumps([asdict(flow) for flow in self.flows])]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=install.CHECKOUT
        )
        self.flow_again()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        output, _errors = self._process.communicate(timeout=30)
        told = json.loads(output)
        self.accounts = [
            _account(flow, sent, dict(arrived)) for flow, (sent, arrived) in zip(self.flows, told, strict=True)
        ]

    def flow_again(self, seconds: float = 20) -> None:
        """Wait until packets sent from now on arrive, on every flow."""
        begin = self._ask()["now"]

        def all_arrive() -> bool:
            return all(last > begin for last in self._ask()["last"])

        until(all_arrive, seconds, "traffic flows both ways through either tunnel")

    def _ask(self) -> dict[str, Any]:
        """The process' clock, and when the last packet that arrived on each flow had been sent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _account(flow: Flow, sent: list[float], arrived: dict[int, float]) -> Account:
    """``sent`` in seconds by number, ``arrived`` by number: an outage lasts from a packet that is lost, or as long as
    one is late, to the sending of the next that is not.
    """
    outage, since = 0.0, None
    for number, moment in enumerate(sent):
        if number in arrived:
            late = arrived[number] - moment
            outage = max(outage, late if late > INTERVAL_SECONDS else 0.0, moment - since if since else 0.0)
            since = None
        elif since is None:
            since = moment
    outage = max(outage, sent[-1] - since if since else 0.0)
    return Account(flow=flow, sent=len(sent), lost=len(sent) - len(arrived), outage=outage)


def _choose(direction: str, tunnel: str, size: int) -> Flow:
    """A source port for which the first router on the way takes this tunnel."""
    index = list(NODE_OF).index(tunnel)
    device = next(row["interface"] for row in gateway.status()["tunnels"] if row["name"] == tunnel)
    if direction == "out":
        ends, port, where, way = (("pod", POD), ("vm", VM)), _PORT + index, "gw", device
        incoming: tuple[str, ...] = ("iif", "lan0")
    else:
        ends, port, where, way = (("vm", VM), ("pod", POD)), _PORT + 10 + index, "vm", NODE_OF[tunnel]
        incoming = ()
    for source_port in range(20_000 + 100 * index, 20_100 + 100 * index):
        ports = ("ipproto", str(socket.IPPROTO_UDP), "sport", str(source_port), "dport", str(port))
        argv = ["ip", "-j", "-n", namespace(where), "route", "get", ends[1][1], "from", ends[0][1], *incoming, *ports]
        if json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)[0]["dev"] == way:
            return Flow(
                direction=direction, tunnel=tunnel, size=size, source=(*ends[0], source_port), target=(*ends[1], port)
            )
    raise AssertionError(f"no port of 100 takes {direction} through {tunnel}: it carries nothing")


def _main(flows: list[dict[str, Any]]) -> None:
    """Send and receive until standard input ends, answer each line on it; then print all that was sent and arrived."""
    os.nice(-20)
    # Each socket stays in the namespace that it was made in.
    receivers = [_socket(*flow["target"]) for flow in flows]
    senders = [_socket(*flow["source"]) for flow in flows]
    sent: list[list[float]] = [[] for _ in flows]
    arrived: list[dict[int, float]] = [{} for _ in flows]
    poller = select.poll()
    index_of = {receiver.fileno(): index for index, receiver in enumerate(receivers)}
    for descriptor in (sys.stdin.fileno(), *index_of):
        poller.register(descriptor, select.POLLIN)

    def receive(until_moment: float) -> bool:
        """False when standard input has ended."""
        while (left := until_moment - time.monotonic()) > 0:
            for descriptor, _ in poller.poll(left * 1000):
                if descriptor not in index_of:
                    if not os.read(descriptor, 100):
                        poller.unregister(descriptor)
                        return False
                    last = [times[max(got)] if got else 0.0 for times, got in zip(sent, arrived, strict=True)]
                    print(json.dumps({"now": time.monotonic(), "last": last}), flush=True)
                    continue
                index = index_of[descriptor]
                packet = receivers[index].recv(2048)
                arrived[index].setdefault(_NUMBER.unpack_from(packet)[0], time.monotonic())
        return True

    begin = time.monotonic()
    for turn in count(1):
        for flow, sender, times in zip(flows, senders, sent, strict=True):
            times.append(time.monotonic())
            try:
                sender.sendto(_NUMBER.pack(len(times) - 1).ljust(flow["size"]), tuple(flow["target"][1:]))
            except OSError:
                continue  # its own kernel has no way: lost
        if not receive(begin + turn * INTERVAL_SECONDS):
            break
    receive(time.monotonic() + _LATE_SECONDS)
    print(json.dumps([[times, list(got.items())] for times, got in zip(sent, arrived, strict=True)]))


def _socket(node: str, address: str, port: int) -> socket.socket:
    enter(Path("/run/netns", namespace(node)))
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((address, port))
    return made


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
