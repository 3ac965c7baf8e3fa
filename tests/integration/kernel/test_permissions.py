"""Without CAP_NET_ADMIN, and in a container with a read-only /proc/sys."""

import json
import sys

import pytest

from ncgd.drivers.kernel.probe import probe
from tests.integration.kernel.host import host
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root

PROGRAM = (sys.executable, "-m", "tests.integration.kernel.unprivileged")


def run(space: Namespace, *prefix: str) -> dict[str, str]:
    results: dict[str, str] = json.loads(space.run(*prefix, *PROGRAM))
    return results


def test_without_net_admin_every_write_is_rejected_and_every_read_works() -> None:
    with host("kn-rights") as space:
        results = run(space, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-all")
        for table in ("links", "addresses", "nexthops", "routes"):
            assert results[table].startswith("Rejected: netlink: "), results
            assert "CAP_NET_ADMIN" in results[table]
        assert results["clamps"].startswith("Rejected: nft -j list table inet ncgd: Operation not permitted")
        assert "cannot set sysctl net.ipv4.ip_forward to 1" in results["sysctls"] or results["sysctls"] == "done"
        assert (results["interfaces"], results["read"]) == ("a0 a1 b0 b1 lo", "0 0")


def test_a_read_only_proc_is_explained_and_the_rest_goes_on() -> None:
    with host("kn-rights") as space:
        space.run("sysctl", "-qw", "net.ipv4.ip_forward=0")  # a new namespace has what the host had
        mount = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
        results = run(space, "unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh")
        assert "cannot set sysctl net.ipv4.ip_forward to 1: Read-only file system" in results["sysctls"]
        assert "sysctl -w net.ipv4.ip_forward=1" in results["sysctls"]
        assert results["links"] == results["addresses"] == results["nexthops"] == results["clamps"] == "done"


def test_the_probe_says_who_may_administer() -> None:
    with host("kn-rights") as space:
        show = "from ncgd.drivers.kernel.probe import probe; print(probe().may_administer)"
        assert space.run(sys.executable, "-c", show).strip() == "True"
        without = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-all")
        assert space.run(*without, sys.executable, "-c", show).strip() == "False"


def test_the_probe_changes_nothing() -> None:
    with host("kn-rights") as space:
        before = space.ip("-o link show")
        space.call(probe)
        assert space.ip("-o link show") == before
