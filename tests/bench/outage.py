"""How long pings fail while something breaks: the longest gap between answers, and how many never came."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

INTERVAL_SECONDS = 0.01


@dataclass(slots=True)
class Outage:
    """Filled when the pings have ended: seconds beyond the usual interval, and packets."""

    seconds: float = 0.0
    lost: int = 0


@contextmanager
def pinging(namespace: str, target: str, *options: str) -> Iterator[Outage]:
    """Ping a target every 10 ms while the block runs."""
    argv = ["ip", "netns", "exec", namespace, "ping", "-D", "-i", str(INTERVAL_SECONDS), *options, target]
    outage = Outage()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        assert ping.stdout is not None
        lines = [ping.stdout.readline(), ping.stdout.readline()]  # the header, the first answer
        try:
            yield outage
        finally:
            ping.send_signal(2)  # SIGINT: it says how many were lost, and ends
            lines += ping.stdout.readlines()
    times = [float(found[1]) for line in lines if (found := re.match(r"\[(\d+\.\d+)\] \d+ bytes from", line))]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    outage.seconds = max(0.0, max(gaps) - INTERVAL_SECONDS)
    # Those before the last answer; what came after it may still have been under way.
    numbers = [int(found[1]) for line in lines if (found := re.search(r"icmp_seq=(\d+) ttl", line))]
    outage.lost = max(numbers) - len(set(numbers))
