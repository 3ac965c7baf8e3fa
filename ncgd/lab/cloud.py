"""The far side: two HA VPN interfaces (strongSwan), two Cloud Router tasks and the VPC's routing (BIRD)."""

import shutil
import socket
from pathlib import Path

from ncgd.lab import render
from ncgd.lab.failure import LabFailure, run, succeeds
from ncgd.lab.far_end import GOOGLE, FarEnd
from ncgd.lab.interface import Interface
from ncgd.lab.processes import log_of, private_run, spawn, wait_until
from ncgd.lab.topology import STATE, inside, namespace

CHARON = "/usr/lib/ipsec/charon"
DEVICE_MTU = 1398  # bytes: 1460 outside, UDP encapsulation, AES-GCM


def start(cloud: tuple[Interface, ...], far_end: FarEnd = GOOGLE, *, kernel: bool, prefixes: int) -> None:
    """Start the cloud: the VPN interfaces, then their router tasks, then the VPC. Raises LabFailure."""
    for each in cloud:
        folder = STATE / each.node
        (folder / "strongswan.conf").write_text(render.strongswan(folder, kernel=kernel))
        _write_secret(folder / "swanctl.conf", render.connection(each, far_end, kernel=kernel))
        if kernel:
            _ip(each.node, "link", "add", "ipsec0", "type", "xfrm", "dev", "lo", "if_id", "1")
        spawn(each.node, "charon", [CHARON], {"STRONGSWAN_CONF": str(folder / "strongswan.conf")})
    for each in cloud:
        _load(each)
        _ip(each.node, "link", "set", "ipsec0", "mtu", str(DEVICE_MTU), "up")
        _ip(each.node, "addr", "add", f"{each.router_ip}/30", "dev", "ipsec0")
        _configure_bird(each.node, render.router_task(each, far_end, prefixes))
        start_bird(each.node)
    _configure_bird("vm", render.vpc(cloud))
    start_bird("vm")


def _load(each: Interface) -> None:
    """Hand charon its connection once it listens and, in userspace, has made its TUN device."""
    vici = STATE / each.node / "charon.vici"
    device = inside(each.node, "test", "-e", "/sys/class/net/ipsec0")
    if not wait_until(lambda: listens(vici) and succeeds(*device), 30.0):
        tail = log_of(each.node, "charon").read_text().splitlines()[-12:]
        raise LabFailure(f"charon did not start in {each.node}", details="\n".join(tail))
    config = str(STATE / each.node / "swanctl.conf")
    load = ("swanctl", "--load-all", "--noprompt", "--uri", f"unix://{vici}", "--file", config)
    run(*inside(each.node, *private_run(*load)))


def listens(path: Path) -> bool:
    """True when somebody does on this unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def start_bird(node: str) -> None:
    """Start a node's BIRD with the configuration that it has."""
    path = STATE / node / "bird.conf"
    bird = shutil.which("bird", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "bird"
    spawn(node, "bird", [bird, "-f", "-c", str(path), "-s", str(STATE / node / "bird.ctl")])


def _configure_bird(node: str, config: str) -> None:
    (STATE / node / "bird.conf").write_text(config)


def _ip(node: str, *arguments: str) -> None:
    run("ip", "-n", namespace(node), *arguments)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
