"""All that a gateway is and has, without what only counts, numbers or ages: it must be the same after a fault."""

import json
import re
import subprocess
from typing import Any

from ncgd.lab import gateway
from ncgd.lab.topology import STATE, inside
from tests.lab import cloud_side, site_side
from tests.lab.conftest import PROGRAMS, Lab
from tests.lab.site_side import NODE_OF

_PASSES = {"bytesIn", "bytesOut", "carried", "establishedSeconds", "uptimeSeconds", "keySeconds", "probe", "drift"}
"""Counters, ages and measurements in the status."""
_HAPPENED = {"failovers"}
"""Fields that tell what happened."""
_SYSCTLS = r"^net\.ipv4\.(ip_forward|fib_multipath|nexthop|ping_group|conf)"

Snapshot = dict[str, Any]


def snapshot(lab: Lab) -> Snapshot:
    """What there is now, by what it is. Interfaces go by their tunnel: a charon of userspace numbers its devices."""
    status = gateway.status()
    names = {row["interface"]: f"<{row['name']}>" for row in status.get("tunnels", ()) if row["interface"]}
    seen = {
        "status": _lasting(status),
        "routes": _routes(),
        "nexthops": _nexthops(),
        "rules": _in("gw", "ip", "-N", "rule").splitlines(),
        "links": [_link(row) for row in site_side.links().values()],
        "sysctls": _in("gw", "sysctl", "-a", "-r", _SYSCTLS).splitlines(),
        "nftables": _nftables(),
        "programs": {program: len(lab.processes(program)) for program in PROGRAMS},
        "SAs here": [_sas(str(socket)) for socket in sorted(gateway.RUN.glob("charon*/charon.vici"))],
        "SAs in the kernel": len(re.findall(r"(?m)^src ", _in("gw", "ip", "xfrm", "state"))),
        "way back": _in("vm", "ip", "route", "show", "10.10.0.0/24").split(),
    }
    for node in NODE_OF.values():
        seen |= {
            f"live IKE SAs of {node}": _sas(str(STATE / node / "charon.vici")).count("ESTABLISHED"),
            f"learned by {node}": re.findall(
                r"(?m)^\S+/\d+|via \S+|BGP\.med: \d+",
                cloud_side.birdc(node, "show", "route", "protocol", "site", "all"),
            ),
        }
    text = json.dumps(seen)
    for interface, name in names.items():
        text = re.sub(rf"\b{re.escape(interface)}\b", name, text)
    lasting: Snapshot = json.loads(text)
    return {key: sorted(value) if isinstance(value, list) else value for key, value in lasting.items()}


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not as it was, a line each."""
    lines = []
    for key, was in before.items():
        now = after[key]
        if isinstance(was, list) and isinstance(now, list):
            lines += [f"{key}: gone: {each}" for each in was if was.count(each) > now.count(each)]
            lines += [f"{key}: new: {each}" for each in now if now.count(each) > was.count(each)]
        elif was != now:
            lines.append(f"{key}: was {was}, is {now}")
    return lines


def _lasting(status: dict[str, Any]) -> list[str]:
    """The status, a line for each tunnel, session and other field."""
    lines = []
    for field, value in status.items():
        if field in _HAPPENED:
            continue
        for row in value if isinstance(value, list) else [value]:
            kept = {key: each for key, each in row.items() if key not in _PASSES} if isinstance(row, dict) else row
            lines.append(f"{field} {re.sub(r'[0-9.]+ ms, [0-9]+% lost', 'N', json.dumps(kept))}")
    return lines


def _routes() -> list[str]:
    """All tables, without ids of nexthops and the kernel's own for link-local addresses, which it tries first."""
    shown = re.sub(r"nhid \d+ ", "", _in("gw", "ip", "-N", "route", "show", "table", "all"))
    return [line for line in shown.splitlines() if "fe80:" not in line]


def _nexthops() -> list[str]:
    """Groups by the devices of their members."""
    rows = site_side.nexthops()
    device = {row["id"]: row.get("dev", "blackhole") for row in rows}
    return [
        f"group of {sorted(device.get(each['id'], '?') for each in row['group'])}"
        if "group" in row
        else device[row["id"]]
        for row in rows
    ]


def _nftables() -> list[str]:
    """Rules and sets, without handles. A set that was needed once may stay, empty, and with it its rule."""
    rows = [
        each for row in json.loads(_in("gw", "nft", "-j", "-s", "list", "ruleset"))["nftables"] for each in row.items()
    ]
    empty = {f"@{row['name']}" for kind, row in rows if kind == "set" and not row.get("elem")}
    lines = [f"{kind} { ({key: value for key, value in row.items() if key != 'handle'}) }" for kind, row in rows]
    return [line for line in lines if not any(f"'{name}'" in line or f"'{name[1:]}'" in line for name in empty)]


def _link(row: dict[str, Any]) -> str:
    addresses = sorted(f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"] if each["family"] == "inet")
    return f"{row['ifname']} {sorted(row['flags'])} mtu {row['mtu']} {row['operstate']} {addresses}"


def _sas(socket: str) -> list[str]:
    """IKE and CHILD SAs of a charon, by state."""
    argv = ["swanctl", "--list-sas", "--raw", "--uri", f"unix://{socket}"]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return sorted(re.findall(r"\bstate=(\w+)", answer))


def _in(node: str, *argv: str) -> str:
    return subprocess.run(inside(node, *argv), capture_output=True, text=True, check=True).stdout
