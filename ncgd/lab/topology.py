"""Nodes, links, addresses and static routes of the lab; making and removing them."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ncgd.lab.failure import run

STATE = Path("/run/ncgd-lab")
"""Everything the lab writes: configuration, sockets, logs, process records. One folder per node."""
STATE_SIZE = "64m"
"""A file system of its own: when it is full, only the lab's disk is."""

_FAR_NODES = {
    "internet": "a router that knows public addresses only",
    "cloud0": "HA VPN interface 0 and Cloud Router task 0",
    "cloud1": "HA VPN interface 1 and Cloud Router task 1",
    "vm": "a VM of the VPC, 10.128.0.10",
}
NODES = {
    "pod": "a pod of the cluster, 10.10.0.10",
    "gw": "the gateway node: ncgd, charon, exabgp",
    "nat": "1:1 NAT, 192.168.100.2 <-> 203.0.113.10",
    **_FAR_NODES,
}
CLUSTER_NODES = {
    "pod1": "a pod on node1, 10.20.1.10",
    "pod2": "a pod on node2, 10.20.2.10",
    "pod3": "a pod on node3, 10.20.3.10",
    "node1": "a node that may be the gateway, 192.168.100.11: ncgd",
    "node2": "a node that may be the gateway, 192.168.100.12: ncgd",
    "node3": "a node that may not, 192.168.100.13: ncgd",
    "lan": "the switch between them, and the API server, 192.168.100.250",
    "nat": "NAT, 192.168.100.0/24 -> 203.0.113.10",
    **_FAR_NODES,
}
ALL_NODES = CLUSTER_NODES | NODES

POD = "10.10.0.10"
VM = "10.128.0.10"
PINNED_VM = {"cloud0": "10.128.0.11", "cloud1": "10.128.0.12"}
"""More addresses of the VM, whose answers leave the VPC through one cloud interface only."""
VPC = "10.128.0.0/9"
SUBNET = "10.128.0.0/20"
EXTRA = "10.192.0.0/10"
"""Where ``--prefixes`` takes its prefixes from; the VM answers for all of it."""
INTERNET_MTU = 1460
"""Bytes; what a Cloud VPN gateway has on the internet (Google Cloud VPN, "MTU considerations")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A veth pair: node, device and address/length (or ``master BRIDGE``) at either end; MTU in bytes."""

    ends: tuple[tuple[str, str, str], tuple[str, str, str]]
    mtu: int = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What a lab consists of, by node: what it is, lines for ``ip -batch``, kernel settings, nftables rules."""

    nodes: Mapping[str, str]
    links: tuple[Link, ...]
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Before the links are made."""
    routes: Mapping[str, tuple[str, ...]]
    sysctls: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, str]


FAR_LINKS = (
    Link(ends=(("nat", "wan0", "203.0.113.10/24"), ("internet", "site", "203.0.113.1/24")), mtu=INTERNET_MTU),
    Link(
        ends=(("cloud0", "wan0", "198.51.100.11/31"), ("internet", "cloud0", "198.51.100.10/31")),
        mtu=INTERNET_MTU,
    ),
    Link(
        ends=(("cloud1", "wan0", "198.51.100.12/31"), ("internet", "cloud1", "198.51.100.13/31")),
        mtu=INTERNET_MTU,
    ),
    Link(ends=(("cloud0", "vpc0", "100.64.0.2/31"), ("vm", "cloud0", "100.64.0.3/31")), mtu=INTERNET_MTU),
    Link(ends=(("cloud1", "vpc0", "100.64.0.4/31"), ("vm", "cloud1", "100.64.0.5/31")), mtu=INTERNET_MTU),
)


def vm_lines(cloud0: str, cloud1: str) -> tuple[str, ...]:
    """The VM's addresses and routes; ``cloud0`` and ``cloud1`` are where it finds the router tasks."""
    return (
        *(f"addr add {address}/32 dev lo" for address in (VM, *PINNED_VM.values())),
        f"route add local {EXTRA} dev lo",
        f"rule add from {PINNED_VM['cloud0']} lookup 110",
        f"route add default via {cloud0} table 110",
        f"rule add from {PINNED_VM['cloud1']} lookup 120",
        f"route add default via {cloud1} table 120",
    )


# The internet gets none: a packet with a 10.x address that comes this far ends here.
FAR_ROUTES = {
    "nat": ("route add default via 203.0.113.1",),
    "cloud0": (f"route add {VPC} via 100.64.0.3", "route add 203.0.113.0/24 via 198.51.100.10"),
    "cloud1": (f"route add {VPC} via 100.64.0.5", "route add 203.0.113.0/24 via 198.51.100.13"),
    "vm": vm_lines("100.64.0.2", "100.64.0.4"),
}

ROUTER = ("net.ipv4.ip_forward=1",)
NO_IPV6 = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
# Set before links are made; a new namespace inherits the host's IPv4 settings, which may be anything.
FAR_SYSCTLS = {
    "nat": (*ROUTER, *NO_IPV6),
    "internet": (*ROUTER, *NO_IPV6),
    "cloud0": (*ROUTER, *NO_IPV6),
    "cloud1": (*ROUTER, *NO_IPV6),
    "vm": ("net.ipv4.fib_multipath_hash_policy=1", *NO_IPV6),
}
_EVERYWHERE = (
    "net.ipv4.ip_forward=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
)

NAT = """
table ip nat {
    chain in { type nat hook prerouting priority dstnat
        ip daddr 203.0.113.10 dnat to 192.168.100.2
    }
    chain out { type nat hook postrouting priority srcnat
        ip saddr 192.168.100.2 snat to 203.0.113.10
    }
}
"""
# Forwarded pings only: what ncgd probes with ends at the cloud's own link-local address.
COUNTERS = """
table inet lab {
    counter requests {}
    counter replies {}
    chain forward { type filter hook forward priority filter
        iifname "ipsec0" ip daddr 10.128.0.11-10.128.0.12 icmp type echo-request counter name requests
        oifname "ipsec0" ip saddr 10.128.0.11-10.128.0.12 icmp type echo-reply counter name replies
    }
}
"""
FAR_RULES = {"cloud0": COUNTERS, "cloud1": COUNTERS}

SITE = Topology(
    nodes=NODES,
    links=(
        Link(ends=(("pod", "eth0", f"{POD}/24"), ("gw", "lan0", "10.10.0.1/24"))),
        Link(ends=(("gw", "wan0", "192.168.100.2/24"), ("nat", "lan0", "192.168.100.1/24"))),
        *FAR_LINKS,
    ),
    routes={
        "pod": ("route add default via 10.10.0.1",),
        "gw": ("route add default via 192.168.100.1",),
        **FAR_ROUTES,
    },
    sysctls=FAR_SYSCTLS,  # ncgd sets what gw needs
    rules={"nat": NAT, **FAR_RULES},
)


def namespace(node: str) -> str:
    """The name of a node's network namespace."""
    return f"ncgd-{node}"


def exists(node: str) -> bool:
    """True when the node's namespace is there."""
    return Path("/run/netns", namespace(node)).exists()


def build(topology: Topology = SITE) -> None:
    """Make namespaces, links, addresses, routes and NAT. Raises LabFailure."""
    STATE.mkdir(mode=0o755)
    run("mount", "-t", "tmpfs", "-o", f"mode=755,size={STATE_SIZE}", "ncgd-lab", str(STATE))
    for node in topology.nodes:
        (STATE / node).mkdir(mode=0o700)
    build_nodes(topology, topology.nodes)


def build_nodes(topology: Topology, nodes: Collection[str]) -> None:
    """Make some of the nodes, with every link between them, and to the others, which are there. Raises LabFailure."""
    for node in nodes:
        run("ip", "netns", "add", namespace(node))
        run(*inside(node, "sysctl", "-q", "-e", "-w", *_EVERYWHERE, *topology.sysctls.get(node, ())))
        _batch(node, ["link set lo up", *topology.devices.get(node, ())])
    batches: dict[str, list[str]] = {}
    for link in topology.links:
        (near, near_device, _), (far, far_device, _) = link.ends
        if near not in nodes and far not in nodes:
            continue
        make = f"link add {near_device} mtu {link.mtu} type veth peer name {far_device} mtu {link.mtu}"
        run("ip", "-n", namespace(near), *make.split(), "netns", namespace(far))
        for node, device, address in link.ends:
            what = (
                f"link set {device} {address}" if address.startswith("master ") else f"addr add {address} dev {device}"
            )
            batches.setdefault(node, []).extend((what, f"link set {device} up"))
    for node, batch in batches.items():
        _batch(node, batch)
    for node in nodes:
        _batch(node, topology.routes.get(node, ()))
        if node in topology.rules:
            run(*inside(node, "nft", "-f", "-"), stdin=topology.rules[node])


def _batch(node: str, lines: Collection[str]) -> None:
    run("ip", "-n", namespace(node), "-batch", "-", stdin="".join(f"{line}\n" for line in lines))


def remove() -> None:
    """Delete namespaces (their links go with them) and the state folder; fine when some are not there."""
    for node in ALL_NODES:
        if exists(node):
            run("ip", "netns", "del", namespace(node))
    if STATE.is_mount():
        run("umount", str(STATE))
    if STATE.exists():
        shutil.rmtree(STATE)


def inside(node: str, *argv: str) -> tuple[str, ...]:
    """The command line that runs ``argv`` in a node."""
    return ("ip", "netns", "exec", namespace(node), *argv)
