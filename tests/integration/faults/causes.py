"""Causes of faults in the programs and the machine: each does damage, waits until it has told, and undoes it."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from ncgd.lab import gateway, processes
from ncgd.lab.topology import STATE, SUBNET
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab

TUNNEL_IP = "169.254.1.1/30"
NEW = "10.200.0.0/24"


@contextmanager
def ike_deleted(_lab: Lab) -> Iterator[None]:
    """The cloud deletes the IKE SA of tunnel 1; it takes a new one at once."""
    before = site_side.sa_ids("tunnel-1")
    cloud_side.terminate("cloud0")
    until(lambda: (now := site_side.sa_ids("tunnel-1")) and not now & before, 20, "tunnel-1 has another IKE SA")
    yield


@contextmanager
def peer_reset(_lab: Lab) -> Iterator[None]:
    """Interface 0 of the VPN gateway and its Cloud Router task die without a word, and know of nothing afterwards."""
    cloud_side.stop_bird("cloud0")
    cloud_side.stop_charon("cloud0", signal.SIGKILL)
    until(lambda: not site_side.tunnel("tunnel-1")["usable"], 20, "tunnel-1 is found unusable")
    try:
        yield
    finally:
        cloud_side.start_charon("cloud0", TUNNEL_IP)
        cloud_side.start_bird("cloud0")


@contextmanager
def router_restarted(_lab: Lab) -> Iterator[None]:
    """The Cloud Router task dies, and comes back while its paths are stale but kept (RFC 4724)."""
    cloud_side.stop_bird("cloud0")
    until(lambda: site_side.peer("peer-1")["status"] != "established", 20, "the session has ended")
    try:
        yield
    finally:
        cloud_side.start_bird("cloud0")


@contextmanager
def router_frozen(_lab: Lab) -> Iterator[None]:
    """The Cloud Router task says nothing any more until the session's hold time is over; its TCP lives on."""
    pid = processes.recorded()["cloud0", "bird"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: site_side.peer("peer-1")["status"] != "established", 30, "the hold timer has expired")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def routes_flapping(_lab: Lab) -> Iterator[None]:
    """The Cloud Router announces and withdraws a thousand prefixes, ten times."""
    many = [str(prefix) for prefix in IPv4Network("10.200.0.0/14").subnets(new_prefix=24)]
    for turn in range(20):
        cloud_side.advertise("cloud0", [] if turn % 2 else many)
    cloud_side.advertise("cloud0", many)
    until(lambda: site_side.ours().keys() == {SUBNET, *many}, 20, "the kernel holds what was announced last")
    try:
        yield
    finally:
        cloud_side.advertise("cloud0")


@contextmanager
def disk_full(lab: Lab) -> Iterator[None]:
    """There is no room where ncgd keeps its files, and it has to start anew."""
    ballast = STATE / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(bytes(4096))
            except OSError:
                pass
        _restart(lab, "ncgd", signal.SIGKILL)
        yield
    finally:
        ballast.unlink()


@contextmanager
def disk_read_only(lab: Lab) -> Iterator[None]:
    """ncgd may not write any of its files any more, learns something new, and has to start anew."""
    keeper = processes.recorded()["gw", "keeper"]

    def beside_ncgd(*argv: str) -> None:
        subprocess.run(["nsenter", "--mount", f"--target={keeper}", *argv], check=True)

    folder = str(gateway.RUN)
    beside_ncgd("mount", "--bind", folder, folder)
    beside_ncgd("mount", "-o", "remount,bind,ro", folder)
    try:
        cloud_side.advertise("cloud0", [NEW])
        until(lambda: NEW in site_side.ours(), 20, "what is new is installed")
        site_side.says("StateNotWritten", "Read-only file system")
        for pid in lab.processes("ncgd"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: "cannot run: [Errno 30] Read-only file system" in site_side.log_text(), 20, "it cannot start")
        yield
    finally:
        beside_ncgd("umount", folder)
        cloud_side.advertise("cloud0")


@contextmanager
def memory_exhausted(lab: Lab) -> Iterator[None]:
    """ncgd gets no more memory than it has, and has to take in four thousand prefixes."""
    _restart(lab, "ncgd", signal.SIGKILL)  # one that has no freed memory left over
    (pid,) = lab.processes("ncgd")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), resource.RLIM_INFINITY))
    many = [str(prefix) for prefix in IPv4Network("10.192.0.0/13").subnets(new_prefix=25)]
    cloud_side.advertise("cloud0", many)
    try:
        until(lambda: site_side.ours().keys() == {SUBNET, *many}, 30, "all of them are installed")
        assert lab.processes("ncgd") != {pid}, "the limit did not matter"
        yield
    finally:
        cloud_side.advertise("cloud0")


@contextmanager
def clock_set(lab: Lab, *, there: str, back: str) -> Iterator[None]:
    """The wall clock is set, and set right in the end; each time a bridge has to learn what there is, and how old."""
    _step_clock(there)
    try:
        _kill_bridge(lab)
        yield
    finally:
        _step_clock(back)
    _kill_bridge(lab)


def _kill_bridge(lab: Lab) -> None:
    """The next one asks exabgp how old its sessions are."""
    (before,) = lab.processes("bridge")
    os.kill(before, signal.SIGKILL)
    until(lambda: (now := lab.processes("bridge")) and now != {before}, 20, "there is another bridge")
    site_side.healthy()


def _step_clock(by: str) -> None:
    subprocess.run(["date", "-s", by], check=True, capture_output=True)


def _restart(lab: Lab, program: str, number: signal.Signals) -> None:
    """Kill a program of gw; wait until the next one runs and the gateway is Healthy."""
    before = lab.processes(program)
    for pid in before:
        os.kill(pid, number)
    until(
        lambda: (now := lab.processes(program)) and not now & before and gateway.status().get("status") == "Healthy",
        20,
        f"{program} is back",
    )
