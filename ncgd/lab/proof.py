"""What ``up`` proves before it says that the lab works: packets through each tunnel, and addresses kept end to end."""

import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncgd.lab.failure import LabFailure, run
from ncgd.lab.interface import Interface
from ncgd.lab.processes import wait_until
from ncgd.lab.topology import PINNED_VM, POD, VM, inside, namespace

PINGS = 5
_CLONE_NEWNET = 0x4000_0000
_PIN_TABLE = "7001"
_TCP_SECONDS = 5.0
_VPC_SECONDS = 15.0
"""Routers dial the VM's BIRD again after 5 s at most."""


def ping_through(each: Interface, device: str) -> str:
    """Ping the VM from the pod through one tunnel, there and back; what was seen, in a line. Raises LabFailure.

    A VM address of its own is pinned to the tunnel for the time of the ping, in ``gw`` by a rule and for good in
    ``vm``. That the packets went this way is not believed but counted, at the cloud's end of both tunnels.
    """
    target = PINNED_VM[each.node]
    before = {node: _counters(node) for node in PINNED_VM}
    with _pinned(target, each.router_ip, device):
        ping = inside("pod", "ping", "-c", str(PINGS), "-i", "0.05", "-W", "2", "-q", target)
        result = subprocess.run(ping, capture_output=True, text=True, check=False)
    through = {
        node: tuple(now - then for now, then in zip(_counters(node), before[node], strict=True)) for node in PINNED_VM
    }
    expected = {node: (PINGS, PINGS) if node == each.node else (0, 0) for node in PINNED_VM}
    if result.returncode or through != expected:
        seen = f"requests and replies seen at the cloud: {through}, expected {expected}"
        raise LabFailure(f"ping {POD} -> {target} through {each.tunnel} failed", seen, result.stdout.strip())
    times = result.stdout.rpartition("= ")[2].split("/")
    return f"{PINGS} of {PINGS} through {each.tunnel} ({device}, {each.node}), {times[1]} ms"


@contextmanager
def _pinned(target: str, gateway: str, device: str) -> Iterator[None]:
    """A route of higher preference than ncgd's for one host, through one tunnel."""
    ip = ("ip", "-n", namespace("gw"))
    rule = ("to", target, "lookup", _PIN_TABLE, "pref", "100")
    run(*ip, "route", "add", target, "via", gateway, "dev", device, "onlink", "table", _PIN_TABLE)
    try:
        run(*ip, "rule", "add", *rule)
        try:
            yield
        finally:
            run(*ip, "rule", "del", *rule)
    finally:
        run(*ip, "route", "flush", "table", _PIN_TABLE)


def _counters(node: str) -> tuple[int, ...]:
    """Echo requests out of the tunnel and replies into it, forwarded ones only."""
    listed: list[dict[str, Any]] = json.loads(run(*inside(node, "nft", "-j", "list", "counters")))["nftables"]
    packets = {each["counter"]["name"]: int(each["counter"]["packets"]) for each in listed if "counter" in each}
    return packets["requests"], packets["replies"]


def tcp(client_node: str, client: str, server_node: str, server: str) -> str:
    """Open a TCP connection between nodes and talk both ways; what both ends see, in a line. Raises LabFailure.

    Both ends must see the other's own address: nothing on the way translates.
    """
    what = f"TCP {client_node} {client} -> {server_node} {server}"
    with socket_in(server_node) as listener, socket_in(client_node) as caller:
        try:
            listener.bind((server, 0))
            listener.listen(1)
            caller.bind((client, 0))
            caller.connect((server, listener.getsockname()[1]))
            accepted, seen_by_server = listener.accept()
            with accepted:
                accepted.settimeout(_TCP_SECONDS)
                caller.sendall(b"ping")
                heard = accepted.recv(4)
                accepted.sendall(b"pong")
                answered = caller.recv(4)
            seen_by_client = caller.getpeername()
        except OSError as error:
            raise LabFailure(
                f"{what}: {error}", "exec NODE -- tcpdump -ni any host 10.128.0.10 shows how far it comes"
            ) from error
    if (heard, answered, seen_by_server[0], seen_by_client[0]) != (b"ping", b"pong", client, server):
        raise LabFailure(f"{what}: the server saw {seen_by_server[0]}, the client {seen_by_client[0]}")
    return f"{client_node} {client} -> {server_node} {server}: each sees the other's own address"


def tcp_both_ways() -> list[str]:
    """The VM opens a connection to the pod, once the VPC has told it the way, then the pod to the VM."""
    known = ("ip", "-n", namespace("vm"), "route", "get", POD)
    wait_until(lambda: subprocess.run(known, capture_output=True, check=False).returncode == 0, _VPC_SECONDS)
    return [tcp("vm", VM, "pod", POD), tcp("pod", POD, "vm", VM)]


def socket_in(node: str) -> socket.socket:
    """A TCP socket that lives in a node. Raises LabFailure."""
    return socket_at(f"/run/netns/{namespace(node)}")


def socket_at(path: str) -> socket.socket:
    """A TCP socket in a network namespace. Made in a thread that enters the namespace and then ends."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(path).open() as handle:
            if libc.setns(handle.fileno(), _CLONE_NEWNET):
                failed.append(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
            else:
                made.append(socket.socket())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise LabFailure(f"cannot enter {path}: {failed[0]}")
    made[0].settimeout(_TCP_SECONDS)
    return made[0]
