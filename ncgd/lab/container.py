"""``python3 -m ncgd.lab.container NODE``: one node of the lab as process 1 of a container of docker-compose.yml.

Docker makes the links and gives the addresses; what else makes the node what it is happens here: routes, translation,
and the cloud's programs. The node of the gateway holds the namespaces that ncgd, charon and ExaBGP share.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ncgd.daemon import capabilities
from ncgd.drivers.kernel.probe import probe
from ncgd.lab import cloud, render, topology
from ncgd.lab.failure import LabFailure, run, succeeds
from ncgd.lab.far_end import GOOGLE
from ncgd.lab.interface import Interface, interfaces
from ncgd.lab.processes import wait_until

STATE = Path("/run/lab")
RESOURCES = Path("/etc/ncgd/resources")
_NAT = "198.51.100.2"
"""Where the internet, one network here, finds the site's public address."""
_NEEDED = {capabilities.NET_ADMIN: "addresses, routes, nftables"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Lines for ``ip -batch``, in which ``{ADDRESS}`` is the device that has it; nftables rules; programs."""

    lines: tuple[str, ...]
    rules: str = ""
    start: Callable[[str], Mapping[int, str]] = lambda _: {}
    """Starts the node's programs: their process ids, and what each is."""


def _cloud(name: str) -> Mapping[int, str]:
    """A VPN interface and its Cloud Router task."""
    each = _of(name)
    kernel = probe().kernel_esp
    (STATE / "strongswan.conf").write_text(render.strongswan(STATE, kernel=kernel))
    config = STATE / "swanctl.conf"
    config.touch(mode=0o600)
    config.write_text(render.connection(each, GOOGLE, kernel=kernel))
    if kernel:
        _ip("link add ipsec0 type xfrm dev lo if_id 1")
    environment = {**os.environ, "STRONGSWAN_CONF": str(STATE / "strongswan.conf")}
    charon = subprocess.Popen([cloud.CHARON], env=environment)
    vici = STATE / "charon.vici"
    if not wait_until(lambda: cloud.listens(vici) and succeeds("test", "-e", "/sys/class/net/ipsec0"), 30.0):
        raise LabFailure("charon did not start")
    run("swanctl", "--load-all", "--noprompt", "--uri", f"unix://{vici}", "--file", str(config))
    _ip(f"link set ipsec0 mtu {cloud.DEVICE_MTU} up", f"addr add {each.router_ip}/30 dev ipsec0")
    return {charon.pid: "charon", **_bird(render.router_task(each, GOOGLE, 0))}


def _vpc(_: str) -> Mapping[int, str]:
    """The VPC's routing."""
    return _bird(render.vpc(interfaces(RESOURCES)))


def _of(name: str) -> Interface:
    return next(each for each in interfaces(RESOURCES) if each.node == name)


def _bird(configuration: str) -> Mapping[int, str]:
    (STATE / "bird.conf").write_text(configuration)
    argv = ["bird", "-f", "-c", str(STATE / "bird.conf"), "-s", str(STATE / "bird.ctl")]
    return {subprocess.Popen(argv).pid: "bird"}


_AWAY = "route flush exact default"
"""Docker's own default route leads to the machine it runs on."""
NODES = {
    "pod": Node(lines=(_AWAY, "route add default via 10.10.0.1")),
    "gateway": Node(lines=(_AWAY, "route add default via 192.168.100.1")),
    "nat": Node(lines=(_AWAY, "addr add 203.0.113.10/32 dev lo"), rules=topology.NAT),
    **{
        name: Node(
            lines=(
                _AWAY,
                f"route add {topology.VPC} via {render.FABRIC[name][1]}",
                f"route add 203.0.113.0/24 via {_NAT}",
            ),
            rules=topology.COUNTERS,
            start=_cloud,
        )
        for name in render.FABRIC
    },
    "vm": Node(
        lines=(
            _AWAY,
            f"addr add {render.FABRIC['cloud1'][1]}/24 dev {{{render.FABRIC['cloud0'][1]}}}",
            *topology.vm_lines(render.FABRIC["cloud0"][0], render.FABRIC["cloud1"][0]),
        ),
        start=_vpc,
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Be a node until SIGTERM; 1 when it cannot be made, or one of its programs has ended."""
    (name,) = argv or sys.argv[1:]
    node = NODES[name]
    try:
        if lacking := capabilities.missing(_NEEDED, capabilities.effective()):
            raise LabFailure(f"{name} lacks {lacking}", "docker-compose.yml gives it, and says why")
        STATE.mkdir(mode=0o700, exist_ok=True)
        _ip(*node.lines)
        if node.rules:
            run("nft", "-f", "-", stdin=node.rules)
        programs = node.start(name)
    except LabFailure as failure:
        print(f"{failure}\n  {failure.hint}\n{failure.details}", file=sys.stderr)
        return 1
    print(f"{name} is ready", flush=True)
    (STATE / "ready").touch()
    return _stay(programs)


def _stay(programs: Mapping[int, str]) -> int:
    """Reap whatever ends here, as process 1 has to, until told to end or a program has ended."""
    awaited = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored is not waited for either
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while True:
        for pid in _ended():
            if pid in programs:
                print(f"{programs[pid]} has ended", file=sys.stderr)
                return 1
        if signal.sigwait(awaited) is not signal.SIGCHLD:
            for pid in programs:
                os.kill(pid, signal.SIGTERM)
            return 0


def _ended() -> list[int]:
    """The processes that have ended, reaped."""
    pids: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return pids
        if pid == 0:
            return pids
        pids.append(pid)


def _ip(*lines: str) -> None:
    devices = {
        address["local"]: link["ifname"]
        for link in json.loads(run("ip", "-json", "addr"))
        for address in link["addr_info"]
    }
    run("ip", "-batch", "-", stdin="".join(f"{_with(devices, line)}\n" for line in lines))


def _with(devices: Mapping[str, str], line: str) -> str:
    for address, device in devices.items():
        line = line.replace(f"{{{address}}}", device)
    return line


if __name__ == "__main__":
    sys.exit(main())
