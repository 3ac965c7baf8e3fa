"""How long pings fail while something breaks: the longest gap between answers, and how many never came."""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.integration.netns import Namespace, until

_ANSWER = re.compile(r"\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+) ttl")


@dataclass(slots=True)
class Outage:
    """Filled when the pings have ended: seconds beyond the usual interval, packets, time of day of the first answer."""

    seconds: float = 0.0
    sent: int = 0
    lost: int = 0
    first_answer: float = 0.0


@contextmanager
def pinging(
    space: Namespace, target: str, *options: str, interval: float = 0.01, answered: bool = True
) -> Iterator[Outage]:
    """Ping a target while the block runs, which begins with the first answer unless ``answered`` is False."""
    argv = ["ip", "netns", "exec", space.name, "ping", "-D", "-i", str(interval), *options, target]
    outage = Outage()
    with tempfile.NamedTemporaryFile() as said, subprocess.Popen(argv, stdout=said) as ping:
        try:
            if answered:
                _await_answer(Path(said.name))
            yield outage
            _await_answer(Path(said.name))
        finally:
            ping.send_signal(signal.SIGINT)
            ping.wait()
            text = Path(said.name).read_text()
    answers = [(float(when), int(number)) for when, number in _ANSWER.findall(text)]
    times, numbers = zip(*answers, strict=True)
    outage.seconds = max(0.0, max((later - earlier for earlier, later in pairwise(times)), default=0.0) - interval)
    # Those before the last answer; what came after it may still have been under way.
    outage.sent = max(numbers)
    outage.lost = outage.sent - len(set(numbers))
    outage.first_answer = times[0]


def rest(seconds: float) -> None:
    """Let time pass: it is what is measured."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 5)


def _await_answer(said: Path) -> None:
    until(lambda: "bytes from" in said.read_text(), what="a ping is answered")
