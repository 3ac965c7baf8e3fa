"""The cluster-shaped near side: three nodes with a pod each on one link, as a simple CNI joins them.

::

    pod1 ── node1 ──┐
    pod2 ── node2 ──┼── lan ──── nat ════ internet ════ cloud0, cloud1 ──── vm
    pod3 ── node3 ──┘   API server

The CNI's part is played by static routes between the nodes, by forwarding, and by a masquerade of everything that pods
send out of the cluster, as flannel and kube-proxy write it: in iptables.
"""

from ncgd.lab.failure import run
from ncgd.lab.topology import (
    CLUSTER_NODES,
    FAR_LINKS,
    FAR_ROUTES,
    FAR_RULES,
    FAR_SYSCTLS,
    NO_IPV6,
    ROUTER,
    Link,
    Topology,
    inside,
)

WORKERS = ("node1", "node2", "node3")
CANDIDATES = ("node1", "node2")
CLUSTER_CIDR = "10.20.0.0/16"
API_ADDRESS = "192.168.100.250"

_NAT = """
table ip nat {
    chain out { type nat hook postrouting priority srcnat
        oifname "wan0" ip saddr 192.168.100.0/24 snat to 203.0.113.10
    }
}
"""
_MASQUERADE = (
    "*nat\n:LAB-POSTRTG - [0:0]\n-A POSTROUTING -j LAB-POSTRTG\n"
    f"-A LAB-POSTRTG -s {CLUSTER_CIDR} -d {CLUSTER_CIDR} -j RETURN\n"
    f"-A LAB-POSTRTG -s {CLUSTER_CIDR} ! -d 224.0.0.0/4 -j MASQUERADE --random-fully\nCOMMIT\n"
)


def number(node: str) -> int:
    """3 of ``node3`` and ``pod3``."""
    return int(node[-1])


def address(worker: str) -> str:
    """Of a node on the link that all nodes share."""
    return f"192.168.100.{10 + number(worker)}"


def pod_cidr(worker: str) -> str:
    """The range that a node gives its pods addresses from."""
    return f"10.20.{number(worker)}.0/24"


def pod_address(pod: str) -> str:
    """Of a pod."""
    return f"10.20.{number(pod)}.10"


def pod_of(worker: str) -> str:
    """The pod of a node."""
    return f"pod{number(worker)}"


def masquerade(worker: str) -> None:
    """Have a node masquerade what its pods send out of the cluster, as a CNI does. Raises LabFailure."""
    run(*inside(worker, "iptables-nft-restore", "--noflush"), stdin=_MASQUERADE)


def _worker_routes(worker: str) -> tuple[str, ...]:
    others = (other for other in WORKERS if other != worker)
    return (
        "route add default via 192.168.100.1",
        *(f"route add {pod_cidr(other)} via {address(other)}" for other in others),
    )


CLUSTER = Topology(
    nodes=CLUSTER_NODES,
    devices={
        "lan": ("link add br0 type bridge", f"addr add {API_ADDRESS}/24 dev br0", "link set br0 up"),
    },
    links=(
        *(
            Link(ends=((pod_of(each), "eth0", f"{pod_address(each)}/24"), (each, "cni0", f"10.20.{number(each)}.1/24")))
            for each in WORKERS
        ),
        *(Link(ends=((each, "eth0", f"{address(each)}/24"), ("lan", each, "master br0"))) for each in WORKERS),
        Link(ends=(("nat", "lan0", "192.168.100.1/24"), ("lan", "nat", "master br0"))),
        *FAR_LINKS,
    ),
    routes={
        **{pod_of(each): (f"route add default via 10.20.{number(each)}.1",) for each in WORKERS},
        **{each: _worker_routes(each) for each in WORKERS},
        **FAR_ROUTES,
    },
    sysctls={**dict.fromkeys(WORKERS, ROUTER), "lan": NO_IPV6, **FAR_SYSCTLS},
    rules={"nat": _NAT, **FAR_RULES},
)
