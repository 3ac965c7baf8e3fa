"""Programs in nodes: started detached, recorded with their start time, ended with whatever they left behind.

A process belongs to the lab when it is in one of the lab's namespaces, or when its record (process id and start
time) still fits. Nothing else is ever signalled.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ncgd.lab.failure import LabFailure
from ncgd.lab.topology import ALL_NODES, STATE, inside, namespace

# charon's process id file is compiled in as /run/charon.pid: each program gets a /run of its own, in which the
# lab's state stays visible. AppArmor profiles of charon would deny it our configuration; root may opt out.
_ENTER = """
mount --bind "$1" /mnt || exit
mount -t tmpfs -o mode=755 ncgd-lab /run && mkdir "$1" && mount --move /mnt "$1" || exit
if [ -e /proc/self/attr/apparmor/exec ]; then echo "exec unconfined" 2>/dev/null >/proc/self/attr/apparmor/exec; fi
shift; exec "$@"
"""

_children: list["subprocess.Popen[bytes]"] = []  # held: they outlive us, and are reaped should they not


def private_run(*argv: str) -> tuple[str, ...]:
    """``argv`` with a /run of its own; to be run inside a node only (``ip netns exec`` unshares mounts)."""
    return ("sh", "-c", _ENTER, "enter", str(STATE), *argv)


def spawn(node: str, name: str, argv: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Start a program in a node, its output in ``STATE/<node>/<name>.log``."""
    with log_of(node, name).open("ab") as log:
        process = subprocess.Popen(
            inside(node, *private_run(*argv)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **(env or {})},
        )
    _children.append(process)
    _record(node, name).write_text(f"{process.pid} {_start_time(process.pid)}")


def log_of(node: str, name: str) -> Path:
    """Where a program's output goes."""
    return STATE / node / f"{name}.log"


def recorded() -> dict[tuple[str, str], int | None]:
    """(node, name): process id of everything spawned; None when it has ended."""
    found: dict[tuple[str, str], int | None] = {}
    for record in sorted(STATE.glob("*/*.process")):
        pid, started = record.read_text().split() or ("0", "")
        alive = _start_time(int(pid)) == started
        found[record.parent.name, record.stem] = int(pid) if alive else None
    return found


def in_nodes() -> dict[str, list[int]]:
    """Process ids by node, from the kernel: also what was started by what we started."""
    nodes: dict[tuple[int, int], str] = {}
    for node in ALL_NODES:
        try:
            status = Path("/run/netns", namespace(node)).stat()
        except OSError:
            continue
        nodes[status.st_dev, status.st_ino] = node
    found: dict[str, list[int]] = {node: [] for node in nodes.values()}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "ns" / "net").stat()
            except OSError:  # it ended, or is a zombie
                continue
            node_of = nodes.get((status.st_dev, status.st_ino))
            if node_of:
                found[node_of].append(int(folder.name))
    return found


def end_all() -> None:
    """End every process of the lab, keepers first so that they restart nothing. Raises LabFailure after 10 s."""
    for keeper in _keepers():
        _signal(keeper, signal.SIGTERM)
    wait_until(lambda: not _keepers(), 3.0)
    began = time.monotonic()
    told: set[int] = set()
    while left := _all():
        elapsed = time.monotonic() - began
        if elapsed > 10.0:
            raise LabFailure(f"these processes do not end: {sorted(left)}", "look at them with ps -fp")
        for pid in left - told if elapsed < 2.0 else left:
            _signal(pid, signal.SIGTERM if elapsed < 2.0 else signal.SIGKILL)
        told |= left
        time.sleep(0.02)


def end_in(*nodes: str) -> None:
    """Kill every process in these nodes, at once and without a word to them. Raises LabFailure after 10 s."""

    def left() -> list[int]:
        found = in_nodes()
        return [pid for node in nodes for pid in found.get(node, ())]

    deadline = time.monotonic() + 10.0
    while pids := left():
        if time.monotonic() > deadline:
            raise LabFailure(f"these processes do not end: {sorted(pids)}", "look at them with ps -fp")
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.02)


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Poll until ``condition()`` is true; False when that takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _keepers() -> list[int]:
    return [pid for (_, name), pid in recorded().items() if name == "keeper" and pid]


def _all() -> set[int]:
    pids = {pid for pids in in_nodes().values() for pid in pids}
    return pids | {pid for pid in recorded().values() if pid}


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended by itself


def _record(node: str, name: str) -> Path:
    return STATE / node / f"{name}.process"


def _start_time(pid: int) -> str | None:
    """Start time in clock ticks since boot, field 22 of proc(5) stat; None when it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
