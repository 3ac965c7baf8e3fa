"""The lab with one gateway or another in it: ncgd, or strongSwan and BIRD by hand."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ncgd.cli import client
from ncgd.errors import NcgdError
from ncgd.lab import cloud, gateway, interface, machine, processes, topology
from ncgd.lab.failure import LabFailure
from tests.bench import byhand
from tests.bench.outage import pinging
from tests.bench.results import NCGD
from tests.integration.netns import Namespace, until

BY_HAND = "strongSwan + BIRD"
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A lab that is up, with what its start took: seconds to the first answer to a ping, and until it was ready."""

    cloud: tuple[interface.Interface, ...]
    is_ready: Callable[[], bool]
    first_answer_seconds: float
    ready_seconds: float

    def heal(self) -> None:
        """Wait until everything is as it was."""
        until(self.is_ready, READY_SECONDS, "the gateway is ready again")

    def carrier(self) -> tuple[interface.Interface, str]:
        """Through which of the cloud's interfaces, and which device of the gateway, pings from the pod leave now."""
        way = f"route get {topology.VM} from {topology.POD} iif lan0 ipproto 1"
        device = node("gw").ip(way).split(" dev ")[1].split()[0]
        address = node("gw").ip(f"-4 -o addr show dev {device}")
        return next(each for each in self.cloud if f" {each.gateway_ip}" in address), device


@contextmanager
def site(name: str) -> Iterator[Site]:
    """Bring up the lab with the gateway ``name``; the clock starts when the cloud waits. All is gone afterwards.

    Raises LabFailure.
    """
    kernel = machine.kernel_has_esp()
    if not kernel and not machine.has_tun():
        raise LabFailure("no ESP in this kernel, and no /dev/net/tun for ESP in userspace")
    try:
        topology.build()
        gateway.copy_resources("auto", 0)
        interfaces = interface.interfaces(gateway.RESOURCES)
        cloud.start(interfaces, kernel=kernel, prefixes=0)
        is_up = is_healthy if name == NCGD else byhand.is_ready
        with pinging(node("pod"), topology.VM, answered=False) as pings:
            began = time.time()
            if name == NCGD:
                gateway.start()
            else:
                byhand.start(interfaces, kernel=kernel)
            until(is_up, READY_SECONDS, f"{name} is ready")
            ready = time.time()
            until(_returns_by_both, READY_SECONDS, "the VPC answers through both tunnels")
        yield Site(
            cloud=interfaces,
            is_ready=lambda: is_up() and _returns_by_both(),
            first_answer_seconds=pings.first_answer - began,
            ready_seconds=ready - began,
        )
    finally:
        processes.end_all()
        topology.remove()


def node(name: str) -> Namespace:
    """A node of the lab that is up, to run things in."""
    return Namespace(topology.namespace(name))


def status() -> dict[str, Any]:
    """What ncgd says of itself; empty while it does not answer."""
    try:
        return dict(client.get(gateway.SOCKET, "/v1/status"))
    except NcgdError:
        return {}


def is_healthy() -> bool:
    """True while ncgd says so."""
    return status().get("status") == "Healthy"


def _returns_by_both() -> bool:
    return node("vm").ip("route show 10.10.0.0/24").count("nexthop") == len(interface.ADDRESSES)
