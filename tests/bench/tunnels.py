"""The whole gateway in the lab, with real tunnels: start, idle cost, outages when things break."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ncgd.lab import gateway, install, processes, topology
from tests.bench import cost
from tests.bench.outage import Outage, pinging
from tests.integration.netns import until

IDLE_SECONDS = 10
_NCGD, _SPEAKER, _BRIDGE = "bin/ncgd ", "exabgp/repaired.py", "exabgp/bridge.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnels:
    """One lab, from up to down. Seconds, packets, share of a core."""

    start_seconds: float
    idle_share: float
    idle_share_with_charons: float
    restart_lost: int
    restart_flaps: int
    silent_seconds: float
    ike_delete_seconds: float
    session_reset_seconds: float


def measure() -> Tunnels:
    """Bring the lab up, measure, take it down."""
    try:
        start_seconds = _up()
        idle = _idle_shares()
        restart, flaps = _kill_ncgd()
        return Tunnels(
            start_seconds=start_seconds,
            idle_share=idle["ncgd"],
            idle_share_with_charons=sum(idle.values()),
            restart_lost=restart.lost,
            restart_flaps=flaps,
            silent_seconds=_silence(),
            ike_delete_seconds=_delete_ike(),
            session_reset_seconds=_reset_session(),
        )
    finally:
        _lab("down")


def _lab(command: str) -> str:
    argv = [sys.executable, "-m", "ncgd.lab", command]
    return subprocess.run(argv, cwd=install.CHECKOUT, capture_output=True, text=True, check=True).stdout


def _up() -> float:
    """Seconds from starting ncgd, which starts charon and exabgp, to Healthy; the cloud waits already."""
    said = _lab("up")
    began, ended = (
        float(found[1]) for text in ("starting ncgd", "Healthy,") if (found := re.search(rf"([\d.]+) s  {text}", said))
    )
    return ended - began


def _idle_shares() -> dict[str, float]:
    """Shares of a core that the programs take while nothing happens."""
    programs = _programs()
    before = {name: cost.cpu_seconds(pids) for name, pids in programs.items()}
    _rest(IDLE_SECONDS)
    return {name: (cost.cpu_seconds(pids) - before[name]) / IDLE_SECONDS for name, pids in programs.items()}


def _programs() -> dict[str, list[int]]:
    """Process ids in gw: ncgd with exabgp and its bridge, and the charons."""
    lines = {pid: _command_line(pid) for pid in processes.in_nodes()["gw"]}
    ours = [pid for pid, line in lines.items() if any(name in line for name in (_NCGD, _SPEAKER, _BRIDGE))]
    keeper = [pid for pid in ours if "keeper" in lines[pid]]
    charons = [pid for pid, line in lines.items() if line.startswith(install.PACKAGES["strongswan-charon"])]
    return {"ncgd": [pid for pid in ours if pid not in keeper], "charon": charons}


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _rest(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 5)


def _healthy() -> bool:
    return gateway.status().get("status") == "Healthy"


def _sessions() -> set[str]:
    """When each session came up, as the Cloud Router sees it."""
    found = set()
    for node in ("cloud0", "cloud1"):
        control = str(topology.STATE / node / "bird.ctl")
        found.add(node + _in(node, "birdc", "-s", control, "show", "protocols", "site").splitlines()[-1])
    return found


def _in(node: str, *argv: str, stdin: str | None = None) -> str:
    command = topology.inside(node, *argv)
    return subprocess.run(command, capture_output=True, text=True, check=True, input=stdin).stdout


def _kill_ncgd() -> tuple[Outage, int]:
    """Kill -9 ncgd, which its keeper starts again; packets lost, and sessions that are not the same any more."""
    before = _sessions()
    (pid,) = (pid for pid in _programs()["ncgd"] if _NCGD in _command_line(pid))
    with pinging("ncgd-pod", topology.VM) as outage:
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), what="ncgd is gone")
        until(_healthy, 30, "Healthy after a restart of ncgd")
        _rest(1)
    return outage, len(before - _sessions())


def _carrier() -> tuple[str, str]:
    """Cloud node and its public address through which the pings leave now."""
    shown = _in("gw", "ip", "route", "get", topology.VM, "from", topology.POD, "iif", "lan0", "ipproto", "icmp")
    device = shown.split(" dev ")[1].split()[0]
    remote = next(tunnel["remote"] for tunnel in gateway.status()["tunnels"] if tunnel["interface"] == device)
    return {"198.51.100.11": "cloud0", "198.51.100.12": "cloud1"}[remote], remote


def _silence() -> float:
    """The outer path of a tunnel drops everything, both ways."""
    _, remote = _carrier()
    rules = f"ip daddr {remote} drop; ip saddr {remote} drop;"
    table = f"table ip silent {{\n chain c {{ type filter hook forward priority 0; {rules} }}\n}}\n"
    with pinging("ncgd-pod", topology.VM) as outage:
        _rest(0.3)
        _in("internet", "nft", "-f", "-", stdin=table)
        _rest(4)
    _in("internet", "nft", "delete", "table", "ip", "silent")
    until(_healthy, 60, "Healthy after a silent tunnel")
    return outage.seconds


def _delete_ike() -> float:
    """The peer deletes the IKE SA."""
    node, _ = _carrier()
    vici = topology.STATE / node / "charon.vici"
    delete = ("swanctl", "--terminate", "--ike", "gateway", "--timeout", "1", "--uri", f"unix://{vici}")
    with pinging("ncgd-pod", topology.VM) as outage:
        _rest(0.3)
        _in(node, *delete)
        _rest(2)
    until(_healthy, 60, "Healthy after an IKE delete")
    return outage.seconds


def _reset_session() -> float:
    """The peer ends the BGP session with a NOTIFICATION."""
    node, _ = _carrier()
    with pinging("ncgd-pod", topology.VM) as outage:
        _rest(0.3)
        _in(node, "birdc", "-s", str(topology.STATE / node / "bird.ctl"), "restart", "site")
        _rest(2)
    until(_healthy, 60, "Healthy after a session reset")
    return outage.seconds
