"""Checks of one machine."""

import re
from collections.abc import Iterator

from ncgd.decision.preflight.facts import NodeFacts, Reach
from ncgd.decision.preflight.verdict import Check, fail, ok, warn
from ncgd.model.fib import LINK_PREFIX
from ncgd.model.spec import Intent

OLDEST_KERNEL = (5, 3)
"""Nexthop objects came with Linux 5.3, XFRM interfaces with 4.19."""
STRICT = 1
CHARON = "charon"
UNSEEN = "?"
"""A program in another PID namespace."""


def node_checks(
    node: NodeFacts, intent: Intent, *, is_gateway: bool, in_pods: bool = False, is_installed: bool = False
) -> Iterator[Check]:
    """Everything about one machine; ``is_gateway``: tunnels may end here.

    ``in_pods``: ncgd runs in a cluster, or will; ``is_installed``: it does.
    """
    yield _kernel(node)
    if is_gateway:
        yield _dataplane(node, in_pods=in_pods)
        yield from _ports(node, is_installed=is_installed)
        yield from _reach(node.name, node.reach)
    yield _guard(node)
    yield _forwarding(node)
    yield _reverse_path(node, intent)


def _kernel(node: NodeFacts) -> Check:
    match = re.match(r"(\d+)\.(\d+)", node.kernel)
    if match and (int(match[1]), int(match[2])) >= OLDEST_KERNEL:
        return ok("kernel", node.name, f"Linux {node.kernel}")
    return fail(
        "kernel", node.name, f"Linux {node.kernel}", "upgrade to Linux 5.3 or later: older ones have no nexthops"
    )


def _dataplane(node: NodeFacts, *, in_pods: bool) -> Check:
    """``in_pods``: one charon serves all tunnels, and userspace ESP needs one for each: config/userspace has them."""
    can = node.capability
    if not can.may_administer:
        return warn("dataplane", node.name, can.detail, "run ncgctl as root, or the pod with NET_ADMIN, to find out")
    if can.kernel_esp:
        return ok("dataplane", node.name, "kernel ESP with XFRM interfaces and AES-GCM")
    lacks = f"no kernel ESP ({can.detail})"
    load = "load xfrm_interface, esp4 and gcm (package linux-modules-extra on some clouds)"
    if in_pods:
        return fail("dataplane", node.name, lacks, f"{load}, or choose another node, or see config/userspace")
    if can.userspace_esp:
        return warn("dataplane", node.name, lacks, f"{load}; userspace ESP is slower")
    return fail("dataplane", node.name, lacks, f"{load}, or provide /dev/net/tun and charon's kernel-libipsec")


def _guard(node: NodeFacts) -> Check:
    if node.nft:
        return ok("nft", node.name, node.nft)
    todo = "install nftables: without it leak protection has its routes only, and MSS is not clamped"
    return warn("nft", node.name, "there is no nft", todo)


def _forwarding(node: NodeFacts) -> Check:
    if node.ip_forward:
        return ok("forwarding", node.name, "net.ipv4.ip_forward = 1")
    return ok("forwarding", node.name, "net.ipv4.ip_forward = 0; ncgd turns it on once everything is protected")


def _reverse_path(node: NodeFacts, intent: Intent) -> Check:
    strict = {name for name, mode in node.rp_filter.items() if mode == STRICT}
    inside = sorted(name for name in strict if name.startswith(LINK_PREFIX))
    if inside:
        todo = f"find who sets it (sysctl.d, a CNI): sysctl -w net.ipv4.conf.{inside[0]}.rp_filter=2"
        saw = f"strict on {', '.join(inside)}: what returns by the other tunnel is dropped"
        return fail("rp_filter", node.name, saw, todo)
    named = {tunnel.uplink for tunnel in intent.tunnels.values() if tunnel.uplink}
    outside = sorted(strict & ({*node.uplinks} | named))
    if outside and len({*node.uplinks} | named) > 1:
        todo = f"sysctl -w {' '.join(f'net.ipv4.conf.{name}.rp_filter=2' for name in outside)}"
        saw = f"strict on {', '.join(outside)}, with several uplinks: answers that come by another are dropped"
        return warn("rp_filter", node.name, saw, todo)
    return ok(
        "rp_filter", node.name, f"strict on {', '.join(sorted(strict))}, which is fine there" if strict else "loose"
    )


def _ports(node: NodeFacts, *, is_installed: bool) -> Iterator[Check]:
    """``is_installed``: a charon of ncgd may run in a pod, whose process another pod does not see."""
    taken = {port: program for port, program in sorted(node.udp_ports.items()) if program != CHARON}
    for port, program in taken.items():
        todo = f"stop it: charon needs this port (ss -lunp 'sport = :{port}')"
        if program != UNSEEN:
            yield fail("ike-port", node.name, f"UDP {port} is taken by {program}", todo)
        elif not is_installed:
            yield warn("ike-port", node.name, f"UDP {port} is taken by a program that a pod cannot see", todo)
    if is_installed and UNSEEN in taken.values():
        yield ok("ike-port", node.name, "UDP 500 and 4500 are taken, as ncgd's pod would do it")
    if not taken:
        whose = "charon's" if node.udp_ports else "free"
        yield ok("ike-port", node.name, f"UDP 500 and 4500 are {whose}")


def _reach(where: str, tried: tuple[Reach, ...]) -> Iterator[Check]:
    outcomes: dict[tuple[str, str], list[int]] = {}
    for each in tried:
        outcomes.setdefault((each.peer, each.outcome), []).append(each.port)
    for (peer, outcome), ports in outcomes.items():
        target = f"{peer}, UDP {' and '.join(map(str, ports))}"
        if outcome == "answered":
            yield ok("reach", where, f"{target}: the peer answers IKE")
        elif outcome == "silent":
            todo = "allow UDP 500 and 4500 both ways; a peer answers only the address that it knows as ours"
            yield warn("reach", where, f"{target}: no answer", todo)
        else:
            yield fail("reach", where, f"{target}: {outcome}", "check route, firewall and spec.peer.publicIP")
