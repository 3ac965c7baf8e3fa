"""From a pod on a node that is not the gateway to a VM: with its own address, by the gateway's node, or not at all."""

import re
import subprocess
from pathlib import Path

import pytest

from ncgd.model.spec import NodeTransport
from tests.integration.netns import Namespace, until
from tests.integration.nodes.cluster import POD, VM, Cluster, cluster

pytestmark = pytest.mark.root

PINGS = 300


def strict(space: Namespace, interface: str) -> None:
    space.run("sysctl", "-qw", f"net.ipv4.conf.{interface}.rp_filter=1")


def flush(space: Namespace) -> None:
    """Our routes are removed by somebody else; iproute2 stops at the first, so their next hops go."""
    space.succeeds("ip", "nexthop", "flush", "proto", "157")


def lost_while(place: Cluster, action: "list[tuple[str, int]]") -> int:
    """Echo requests that get no answer, one every 10 ms, while the gateway moves."""
    argv = ["ip", "netns", "exec", place.pod.name, "ping", "-n", "-q", "-i", "0.01", "-c", str(PINGS), "-W", "1", VM]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        for holder, epoch in action:
            before = place.came_from(POD)
            until(lambda before=before: place.came_from(POD) > before + 30, what="the ping is under way")
            place.moves(holder, epoch)
        output = ping.communicate()[0]
    found = re.search(r"(\d+) received", output)
    assert found, output
    return PINGS - int(found[1])


@pytest.mark.parametrize("is_linked", [True, False], ids=["direct", "vxlan"])
def test_pods_and_the_node_itself_reach_the_vm_with_their_own_addresses_and_follow_the_gateway(
    tmp_path: Path, *, is_linked: bool
) -> None:
    with cluster(tmp_path, is_linked=is_linked) as place:
        assert place.ncgd.report
        assert place.ncgd.report.crossing
        assert place.ncgd.report.crossing.transport == ("Direct" if is_linked else "VXLAN")
        assert place.came_from(POD) >= 1
        assert place.pings(place.node)
        assert place.came_from(place.addresses["node"]) >= 1

        routes = place.node.ip("route show proto 157")
        lost = lost_while(place, [("b", 2), ("a", 3)])
        print(f"{lost} of {PINGS} echoes lost in two moves")
        assert lost <= 10, f"{lost} of {PINGS} lost in two moves"
        assert place.node.ip("route show proto 157") == routes
        assert place.leaked() == 0
        until(lambda: place.ncgd.report is not None and place.ncgd.report.problems == (), what="all is well")


def test_strict_reverse_path_filters_would_drop_what_comes_back_and_what_comes_in(tmp_path: Path) -> None:
    with cluster(tmp_path, is_linked=False) as place:
        assert place.node.run("sysctl", "-n", "net.ipv4.conf.eth0.rp_filter").strip() == "2"
        strict(place.node, "eth0")
        assert not place.pings(place.pod), "answers come by eth0, and the way there is ncgvx"
        place.node.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=2")
        assert place.pings(place.pod)
        strict(place.gateways["a"], "ncgvx")
        assert not place.pings(place.pod), "packets of pods come by ncgvx, and the way to pods is the CNI's"


@pytest.mark.parametrize("is_linked", [True, False], ids=["direct", "vxlan"])
def test_without_a_gateway_or_a_way_to_it_nothing_leaves(tmp_path: Path, *, is_linked: bool) -> None:
    with cluster(tmp_path, is_linked=is_linked) as place:
        place.moves("", 2)
        until(lambda: not place.pings(place.pod), what="held back")
        assert not place.pings(place.node)
        flush(place.node)
        assert not place.pings(place.pod)
        assert place.leaked() == 0
        place.moves("b", 3)
        until(lambda: place.pings(place.pod), 20, "back")
        place.node.ip("route del default")
        place.node.ip("route del 192.168.51.0/24")
        until(lambda: _reasons(place) == {"NoRouteToGateway"}, what="told")
        assert not place.pings(place.pod)
        place.node.ip("route add 192.168.51.0/24 dev eth0")
        place.node.ip("route add default via 192.168.51.254")
        until(lambda: place.pings(place.pod), 20, "back")
        assert place.leaked() == 0


def _reasons(place: Cluster) -> set[str]:
    return {problem.reason for problem in place.ncgd.report.problems} if place.ncgd.report else set()


def test_what_others_do_to_our_device_and_routes_is_put_right(tmp_path: Path) -> None:
    with cluster(tmp_path, is_linked=True, transport=NodeTransport.VXLAN) as place:
        place.node.ip("link del ncgvx")
        until(lambda: place.pings(place.pod), 20, "the device and all on it is back")
        # The second is often too quick for a reading to see it.
        for commands in ("link set ncgvx down\n", "link set ncgvx down\nlink set ncgvx up\n"):
            place.node.run("ip", "-batch", "-", stdin=commands)
            until(lambda: place.pings(place.pod), 20, f"what the kernel drops is told again after {commands}")
        flush(place.node)
        place.node.run("nft", "flush", "ruleset")
        until(lambda: place.pings(place.pod), 20, "routes and guard are back")
        assert place.leaked() == 0
        place.publishes()
        until(lambda: "10.128" not in place.node.ip("route show proto 157"), what="let go")
        until(lambda: place.pings(place.pod) or place.leaked() > 0, what="the router is given it, and counts")
