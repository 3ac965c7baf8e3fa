"""What leaves the gateway: the kernels of its neighbours count each packet that is neither IKE nor ESP."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ncgd.lab.topology import VPC, inside

_CLOUD = "{ 198.51.100.11, 198.51.100.12 }"
_GATEWAY = "{ 203.0.113.10, 192.168.100.0/24 }"
_ENCRYPTED = f"""
        ip saddr {_GATEWAY} ip daddr {_CLOUD} udp dport {{ 500, 4500 }} accept
        ip saddr {_GATEWAY} ip daddr {_CLOUD} ip protocol 50 accept
        ip saddr {_GATEWAY} ip daddr {_CLOUD} icmp type destination-unreachable accept
        ip saddr {_CLOUD} ip daddr {_GATEWAY} udp sport {{ 500, 4500 }} accept
        ip saddr {_CLOUD} ip daddr {_GATEWAY} ip protocol 50 accept"""
"""IKE and ESP; the errors that answer ESP when a charon is gone, which quote nothing that was not seen before; and
the cloud's own packets, which a NAT without a way to the gateway sends back.
"""
_WHERE = {
    "nat": f'iifname != "lan0" accept {_ENCRYPTED}',
    "internet": f'iifname != "site" accept {_ENCRYPTED}',
    "pod": f"ip daddr != {VPC} accept",
}
"""Who sees what leaves the gateway through its uplink, before and after NAT, and through the pods' network."""


@contextmanager
def watching() -> Iterator[dict[str, int]]:
    """While the block runs, watch; then the dict holds packets in clear by "where source > target protocol"."""
    for node, rules in _WHERE.items():
        table = f"""
table ip witness {{
    set clear {{ type ipv4_addr . ipv4_addr . inet_proto; size 4096; flags dynamic; counter; }}
    chain arriving {{ type filter hook prerouting priority -450
        {rules}
        add @clear {{ ip saddr . ip daddr . ip protocol }}
    }}
}}"""
        subprocess.run(inside(node, "nft", "-f", "-"), input=table, text=True, check=True)
    seen: dict[str, int] = {}
    try:
        yield seen
    finally:
        for node in _WHERE:
            seen |= _read(node)
            subprocess.run(inside(node, "nft", "delete", "table", "ip", "witness"), check=True)


def _read(node: str) -> dict[str, int]:
    argv = inside(node, "nft", "-j", "list", "set", "ip", "witness", "clear")
    answer = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    (clear,) = (row["set"] for row in answer["nftables"] if "set" in row)
    return {
        "{} {} > {} {}".format(node, *element["elem"]["val"]["concat"]): element["elem"]["counter"]["packets"]
        for element in clear.get("elem", ())
    }
