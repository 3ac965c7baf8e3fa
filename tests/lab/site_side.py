"""The near side in a test's hands: manifests, what ncgd says of itself, what the kernel holds, and pings that count."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import yaml

from ncgd.lab import gateway
from ncgd.lab.topology import POD, inside, namespace
from tests.integration.netns import until
from tests.lab import cloud_side

TUNNELS = "overlay-vpn-tunnels.yaml"
PEERS = "overlay-bgp-peers.yaml"
GATEWAY = "gateway.yaml"
SECRET = "psk-secret.yaml"
NODE_OF = {"tunnel-1": "cloud0", "tunnel-2": "cloud1"}
_RETURN_TABLES = {"10.128.0.64/28": 110, "10.128.0.80/28": 120}
"""Ranges of the VM whose answers leave the VPC through cloud0, or cloud1, only (tables of the lab)."""
_COUNTERS = """
table ip many {
    counter there {}
    counter back {}
    chain forward { type filter hook forward priority filter
        iifname "ipsec0" ip daddr 10.128.0.64/27 icmp type echo-request counter name there
        oifname "ipsec0" ip saddr 10.128.0.64/27 icmp type echo-reply counter name back
    }
}
"""

Manifest = dict[str, Any]


@contextmanager
def edited(name: str) -> Iterator[list[Manifest]]:
    """The documents of a manifest file, to be changed in place; written when the block ends, and live from then on."""
    path = gateway.RESOURCES / name
    documents = list(yaml.safe_load_all(path.read_text()))
    yield documents
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))


def healthy() -> dict[str, Any]:
    """Wait until the gateway is Healthy with everything installed and no tunnel being renewed; its status."""

    def settled() -> dict[str, Any]:
        now = gateway.status()
        is_whole = now.get("status") == "Healthy" and now["routes"]["installed"] == now["routes"]["desired"]
        is_settled = is_whole and all(row["reason"] == "Usable" for row in now["tunnels"])
        return now if is_settled and not now["held"] else {}

    try:
        return until(settled, 60)
    except AssertionError as error:
        far = "\n".join(map(cloud_side.told, NODE_OF.values()))
        near = subprocess.run(inside("gw", "ss", "-Htnapo"), capture_output=True, text=True, check=False).stdout
        raise AssertionError(f"not Healthy:\n{gateway.screen()}\n{near}\n{far}") from error


def untroubled() -> dict[str, Any]:
    """Wait until it is healthy and nothing else is told either, such as a loss that is over; its status."""
    return until(lambda: now if not (now := healthy())["problems"] else {}, 30, "no problem is told")


def screen() -> str:
    """What ``ncgctl status`` prints, in one line."""
    return " ".join(gateway.ncgctl("status").stdout.split())


def says(*words: str, seconds: float = 30) -> str:
    """Wait until ``ncgctl status`` says all of this; what it says."""
    try:
        return until(lambda: said if all(word in (said := screen()) for word in words) else "", seconds)
    except AssertionError as error:
        raise AssertionError(f"the screen lacks one of {words}:\n{gateway.screen()}") from error


def got(kind: str, name: str) -> dict[str, Any]:
    """``status`` of ``ncgctl get KIND NAME -o json``."""
    status: dict[str, Any] = json.loads(gateway.ncgctl("get", kind, name, "-o", "json").stdout)["status"]
    return status


def tunnel(name: str) -> dict[str, Any]:
    """A tunnel's row of the status; empty while there is none."""
    return next((row for row in gateway.status().get("tunnels", ()) if row["name"] == name), {})


def peer(name: str) -> dict[str, Any]:
    """A peer's row of the status; empty while there is none."""
    return next((row for row in gateway.status().get("peers", ()) if row["name"] == name), {})


def ip(arguments: str) -> str:
    """``ip`` in the gateway, as somebody else on that machine would use it; raises AssertionError when it fails."""
    argv = ["ip", "-n", namespace("gw"), *arguments.split()]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(argv)}: {result.stderr}"
    return result.stdout


def ours() -> dict[str, int]:
    """What carries ncgd's mark: prefix to nexthop group (0 without one), from the kernel; backstops are left out."""
    rows = json.loads(ip("-j route show table main proto 157") or "[]")
    return {row["dst"]: row.get("nhid", 0) for row in rows if row.get("type") != "unreachable"}


def backstops() -> set[str]:
    """The prefixes that an ``unreachable`` route of ncgd's stands behind."""
    return {row["dst"] for row in json.loads(ip("-j route show table main proto 157 type unreachable") or "[]")}


def nexthops() -> list[dict[str, Any]]:
    """The nexthop objects of ncgd, ordered by id."""
    rows: list[dict[str, Any]] = json.loads(ip("-j nexthop show proto 157") or "[]")
    return sorted(rows, key=lambda row: int(row["id"]))


def sa_ids(name: str) -> set[str]:
    """Initiator's SPIs of the IKE SAs that a tunnel has now; empty when its charon has ended."""
    spis = set()
    for socket in gateway.RUN.glob("charon*/charon.vici"):
        argv = ["swanctl", "--list-sas", "--raw", "--uri", f"unix://{socket}"]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        spis |= set(re.findall(rf"list-sa event \{{ncg-{name} \{{.*?initiator-spi=(\w+)", answer))
    return spis


def links() -> dict[str, dict[str, Any]]:
    """The interfaces of gw with their addresses, by name."""
    return {row["ifname"]: row for row in json.loads(ip("-j addr show")) if row}


class Flow:
    """A ping between the pod and an address of the VM, a hundred a second; the pod begins unless told otherwise."""

    def __init__(self, address: str, *, is_back: bool = False) -> None:
        self.address = address
        way = ("vm", "ping", "-I", address, POD) if is_back else ("pod", "ping", address)
        self._way = inside(*way, "-n")
        argv = [*self._way, "-i", "0.01"]
        self._output = TemporaryFile("w+")  # noqa: SIM115 - a pipe that nobody reads would stop it after 64 KiB
        self._ping = subprocess.Popen(argv, stdout=self._output, stderr=subprocess.STDOUT, text=True)

    def stop(self) -> int:
        """End it; how many answers are missing before the last one that came."""
        behind = [*self._way, "-q", "-c", "1", "-W", "5"]  # it comes back after those that wait in a queue
        subprocess.run(behind, capture_output=True, check=False)
        self._ping.send_signal(signal.SIGINT)
        self._ping.wait(30)
        with self._output:
            self._output.seek(0)
            output = self._output.read()
        answered = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", output)]
        sent = int(re.findall(r"(\d+) packets transmitted", output)[-1])
        assert answered, output[-2000:]
        # The last few may still be under way; a flow that ended earlier has lost the rest.
        last = sent if sent - answered[-1] > 20 else answered[-1]
        return last - len(set(answered))


@contextmanager
def flowing(*addresses: str, is_back: bool = False) -> Iterator[dict[str, int]]:
    """Pings to (or from) these addresses while the block runs; afterwards the dict holds how many each has lost."""
    lost: dict[str, int] = {}
    flows = [Flow(address, is_back=is_back) for address in addresses]
    try:
        yield lost
    finally:
        with ExitStack() as stops:
            for flow in flows:
                stops.callback(lambda each: lost.__setitem__(each.address, each.stop()), flow)


@contextmanager
def vm_with_addresses(prefix: str) -> Iterator[None]:
    """The VM answers for a range of its own, through whichever cloud interface is the best."""
    _vm(f"addr add {prefix} dev lo")
    try:
        yield
    finally:
        _vm(f"addr del {prefix} dev lo")


@contextmanager
def vm_with_many_addresses() -> Iterator[None]:
    """The VM answers for ranges of its own, each through one cloud interface only, and the cloud counts that."""
    for prefix, table in _RETURN_TABLES.items():
        _vm(f"addr add {prefix} dev lo")
        _vm(f"rule add from {prefix} lookup {table}")
    for node in NODE_OF.values():
        subprocess.run(inside(node, "nft", "-f", "-"), input=_COUNTERS, text=True, check=True)
    try:
        yield
    finally:
        for node in NODE_OF.values():
            subprocess.run(inside(node, "nft", "delete", "table", "ip", "many"), check=True)
        for prefix, table in _RETURN_TABLES.items():
            _vm(f"rule del from {prefix} lookup {table}")
            _vm(f"addr del {prefix} dev lo")


def _vm(arguments: str) -> None:
    subprocess.run(["ip", "-n", namespace("vm"), *arguments.split()], check=True)


def address_through(tunnel_name: str) -> str:
    """An address of the VM that pings reach through this tunnel, and through this tunnel only come back from."""
    node = NODE_OF[tunnel_name]
    first = 64 if node == "cloud0" else 80

    def found() -> str:
        """Nothing while the cloud has not learned the way back through this tunnel yet."""
        for last in range(first + 1, first + 15):
            address = f"10.128.0.{last}"
            before = _counted(node)
            ping = inside("pod", "ping", "-n", "-q", "-c", "1", "-W", "2", address)
            is_answered = subprocess.run(ping, check=False, capture_output=True).returncode == 0
            if is_answered and _counted(node) == [count + 1 for count in before]:
                return address
        return ""

    return until(found, 30, f"a ping goes through {tunnel_name}")


def _counted(node: str) -> list[int]:
    """Pings and answers that a cloud node has forwarded, of those to the VM's many addresses."""
    listed = subprocess.run(inside(node, "nft", "-j", "list", "counters"), capture_output=True, text=True, check=True)
    counters = [row["counter"] for row in json.loads(listed.stdout)["nftables"] if "counter" in row]
    return [row["packets"] for name in ("there", "back") for row in counters if row["name"] == name]


def log_text() -> str:
    """What ncgd has logged in this lab."""
    return (Path(gateway.RUN) / "keeper.log").read_text(errors="replace")


def log_of_charon(name: str) -> str:
    """What the charon of a tunnel has logged in this lab."""
    own = gateway.RUN / f"charon-{name}" / "charon.log"
    path = own if own.exists() else gateway.RUN / "charon" / "charon.log"
    return path.read_text(errors="replace")
