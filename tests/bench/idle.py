"""What ncgd and its programs cost while nothing happens, tunnels up and probed."""

from collections.abc import Iterator
from pathlib import Path

from ncgd.lab import install, processes
from tests.bench import cost
from tests.bench.outage import rest

_SETTLE_SECONDS, _SECONDS = 5, 15
_OURS = ("bin/ncgd ", "exabgp/repaired.py", "exabgp/bridge.py")


def shares() -> Iterator[tuple[str, float]]:
    """Per cent of a core: ncgd with exabgp and its bridge; the same and the charons."""
    rest(_SETTLE_SECONDS)
    ours, charons = programs()
    before = cost.cpu_seconds(ours), cost.cpu_seconds(charons)
    rest(_SECONDS)
    used = [cost.cpu_seconds(pids) - then for pids, then in zip((ours, charons), before, strict=True)]
    yield "idle", used[0] / _SECONDS * 100
    yield "idle-charons", sum(used) / _SECONDS * 100


def programs() -> tuple[list[int], list[int]]:
    """Process ids in the gateway: ncgd, then exabgp and its bridge; the charons."""
    lines = {pid: _command_line(pid) for pid in processes.in_nodes()["gw"]}
    lines = {pid: line for pid, line in lines.items() if "ncgd.lab.keeper" not in line}
    ours = [pid for name in _OURS for pid, line in lines.items() if name in line]
    return ours, [pid for pid, line in lines.items() if line.startswith(install.PACKAGES["strongswan-charon"])]


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
