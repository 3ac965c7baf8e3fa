"""One of two equal peers dies: how long until no packet is sent to it any more."""

import os
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from tests.bench import fib
from tests.bench.speakers import SPEAKERS, start_peer
from tests.integration.netns import Namespace, until, veth

SAMPLES = 200
"""So many destinations are watched, spread over all prefixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """One run, in seconds from the moment the end of the TCP connection came in."""

    first_seconds: float
    all_seconds: float


def fail_over(speaker: str, count: int) -> Failover:
    """Have a speaker learn ``count`` prefixes from two peers and kill one of them."""
    with tempfile.TemporaryDirectory(prefix="ncgd-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        gateway = stack.enter_context(Namespace("nb-gw"))
        peers = []
        for number in (1, 2):
            far = stack.enter_context(Namespace(f"nb-p{number}"))
            near_end, far_end = (f"169.254.{number}.{host}/30" for host in (2, 1))
            stack.enter_context(veth(gateway, f"g{number}", near_end, far, "p", far_end))
            peers.append(start_peer(far, folder, number, fib.prefixes(count)))
        SPEAKERS[speaker](gateway, 2, folder)
        doomed = int(gateway.run("cat", "/sys/class/net/g1/ifindex"))
        lookups, addresses = fib.Lookups(gateway), _addresses(count)
        until(lambda: lookups.interface(addresses[-1]), 60, f"{speaker} has a route")
        until(lambda: _is_spread(lookups, addresses, doomed), 60, f"{speaker} shares the load")
        until(lambda: _is_quiet(gateway), 60, "the routes stand still")
        watched = lookups.through(addresses, doomed)
        ends = fib.Ends(gateway, "g1")
        os.killpg(peers[0].pid, signal.SIGKILL)
        while not ends.seen():
            continue
        began = time.monotonic()
        first, left = 0.0, watched
        while left:
            left = lookups.through(left, doomed)
            if not first and len(left) < len(watched):
                first = time.monotonic()
            assert time.monotonic() < began + 60, f"{speaker} still sends to {len(left)} of {len(watched)}"
        return Failover(first_seconds=first - began, all_seconds=time.monotonic() - began)


def _addresses(count: int) -> list[IPv4Address]:
    chosen = fib.prefixes(count)[:: max(1, count // SAMPLES)]
    return [IPv4Address(prefix.partition("/")[0]) + 5 for prefix in chosen]


def _is_spread(lookups: fib.Lookups, addresses: list[IPv4Address], doomed: int) -> bool:
    """All are reachable, and about half go either way."""
    ways = [lookups.interface(address) for address in addresses]
    return 0 not in ways and 0.3 < ways.count(doomed) / len(ways) < 0.7


def _is_quiet(gateway: Namespace) -> bool:
    """No route has changed for a second."""
    watch = gateway.start("timeout", "1", "ip", "monitor", "route", log=(log := Path(tempfile.mktemp())))  # noqa: S306
    watch.wait()
    is_quiet = not log.stat().st_size
    log.unlink()
    return is_quiet
