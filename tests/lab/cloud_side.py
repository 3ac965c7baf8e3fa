"""The far side in a test's hands: what the Cloud Router advertises, tunnels that it tears down, charons that end."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ncgd.lab import cloud, processes
from ncgd.lab.topology import STATE, SUBNET, inside, namespace
from tests.integration.netns import until

DEVICE = "ipsec0"
_ADVERTISED = "protocol static subnets {\n    ipv4;\n"


def advertise(node: str, prefixes: Iterable[str] = ()) -> None:
    """Have a Cloud Router task advertise the VPC's subnet and these prefixes, and nothing else."""
    path = STATE / node / "bird.conf"
    head, found, tail = path.read_text().partition(_ADVERTISED)
    assert found, f"{path} does not look like the lab's"
    routes = "".join(f"    route {prefix} unreachable;\n" for prefix in dict.fromkeys((SUBNET, *prefixes)))
    path.write_text(head + found + routes + tail[tail.index("}\n") :])
    assert "Reconfigur" in birdc(node, "configure")


def advertised(node: str) -> set[str]:
    """What a Cloud Router task has, of itself, to tell the gateway."""
    return _prefixes(birdc(node, "show", "route", "export", "site"))


def learned(node: str) -> set[str]:
    """What a Cloud Router task has learned from the gateway."""
    return _prefixes(birdc(node, "show", "route", "protocol", "site"))


def birdc(node: str, *command: str) -> str:
    """One command to a node's BIRD; its answer."""
    answer = _birdc(node, *command)
    answer.check_returncode()
    return answer.stdout


def _birdc(node: str, *command: str) -> "subprocess.CompletedProcess[str]":
    argv = ["birdc", "-s", str(STATE / node / "bird.ctl"), *command]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def told(node: str) -> str:
    """What a Cloud Router task knows and has logged, and its TCP connections: for a test that failed."""
    known = _birdc(node, "show", "protocols", "all", "site")
    connections = subprocess.run(inside(node, "ss", "-Htnapo"), capture_output=True, text=True, check=False).stdout
    logged = processes.log_of(node, "bird").read_text(errors="replace").splitlines()[-30:]
    return "\n".join((f"{node}:", known.stdout + known.stderr, connections, *logged))


def _prefixes(answer: str) -> set[str]:
    return {line.split()[0] for line in answer.splitlines() if "/" in line.partition(" ")[0]}


def terminate(node: str, *options: str) -> None:
    """The cloud tears its tunnel down, in good order: the gateway gets a DELETE. ``--force`` waits for no answer."""
    _swanctl(node, "--terminate", "--ike", "gateway", *options)


def rotate(node: str, psk: bytes) -> None:
    """The cloud's end of a tunnel takes another pre-shared key; SAs stay."""
    reconfigure(node, r"secret = \S+", f"secret = 0x{psk.hex()}")


def reconfigure(node: str, pattern: str, replacement: str) -> None:
    """Edit the connection at the cloud's end of a tunnel; SAs stay, and the next IKE SA is made from it."""
    path = STATE / node / "swanctl.conf"
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count == 1, f"{path} does not look like the lab's"
    path.write_text(text)
    reload(node)


def reload(node: str) -> None:
    """Have charon load the connection and the key that swanctl.conf says now."""
    _swanctl(node, "--load-all", "--noprompt", "--file", str(STATE / node / "swanctl.conf"))


def stop_charon(node: str, number: signal.Signals = signal.SIGTERM) -> None:
    """An HA VPN interface goes away: by SIGTERM it takes its leave with a DELETE, by SIGKILL it does not."""
    pid = processes.recorded()[node, "charon"]
    assert pid is not None, f"no charon runs in {node}"
    os.kill(pid, number)
    until(lambda: processes.recorded()[node, "charon"] is None, 30, f"charon ends in {node}")


def start_charon(node: str, address: str) -> None:
    """The interface is back, its tunnel address with it: where ESP is in userspace, the device went with charon."""
    folder = STATE / node
    with suppress(FileNotFoundError):
        (folder / "charon.vici").unlink()
    processes.spawn(node, "charon", [cloud.CHARON], {"STRONGSWAN_CONF": str(folder / "strongswan.conf")})
    until(lambda: _listens(folder / "charon.vici"), 30, f"charon serves VICI in {node}")
    until(lambda: _ip(node, "link", "set", DEVICE, "mtu", "1398", "up"), 30, f"{DEVICE} in {node}")
    _ip(node, "addr", "replace", address, "dev", DEVICE)
    reload(node)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def stop_bird(node: str) -> None:
    """A Cloud Router task dies."""
    pid = processes.recorded()[node, "bird"]
    assert pid is not None, f"no bird runs in {node}"
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes.recorded()[node, "bird"] is None, 30, f"bird ends in {node}")


def start_bird(node: str) -> None:
    """It is back, as it is configured now, and knows nothing of earlier sessions."""
    cloud.start_bird(node)
    until(lambda: _listens(STATE / node / "bird.ctl"), 30, f"bird runs in {node}")


def _swanctl(node: str, *arguments: str) -> None:
    argv = ("swanctl", *arguments, "--uri", f"unix://{STATE / node / 'charon.vici'}")
    result = subprocess.run(inside(node, *processes.private_run(*argv)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(argv)}: {result.stdout}{result.stderr}"


def _ip(node: str, *arguments: str) -> bool:
    argv = ["ip", "-n", namespace(node), *arguments]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
