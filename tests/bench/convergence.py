"""From a peer's first UPDATE to the last route in the kernel, and what the speaker's memory is then."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench import cost, fib
from tests.bench.speakers import SPEAKERS, awake, start_peer
from tests.integration.netns import Namespace, until, veth


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """One run: seconds, and MB of PSS."""

    seconds: float
    memory_mb: float


def converge(speaker: str, count: int) -> Convergence:
    """Have a speaker learn ``count`` prefixes from one peer. The clock starts at the first route it installs."""
    with (
        tempfile.TemporaryDirectory(prefix="ncgd-bench-") as name,
        Namespace("nb-gw") as gateway,
        Namespace("nb-p1") as far,
        veth(gateway, "g1", "169.254.1.2/30", far, "p", "169.254.1.1/30"),
    ):
        folder = Path(name)
        start_peer(far, folder, 1, fib.prefixes(count), "disabled;")
        control = str(folder / "peer-1.ctl")
        arrivals = fib.Arrivals(gateway)
        started = SPEAKERS[speaker](gateway, 1, folder)
        until(lambda: _is_dialling(gateway), 30, f"{speaker} dials")
        far.run("birdc", "-s", control, "enable", "site")
        with awake(folder / "peer-1.ctl"):
            first, last = arrivals.wait(count, 60)
        memory = cost.pss_mb([pid for process in started for pid in cost.tree(process.pid)])
        return Convergence(seconds=last - first, memory_mb=memory)


def _is_dialling(gateway: Namespace) -> bool:
    """A refused connection leaves a mark: the kernel's count of failed attempts."""
    counters = [line.split() for line in gateway.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*counters, strict=True))["AttemptFails"]) > 0
