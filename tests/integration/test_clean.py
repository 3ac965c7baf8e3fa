"""``ncgd --clean``: nothing of ncgd stays on a machine, nothing of others goes."""

import json
import re
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ncgd.daemon.lock import only_one
from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.nftables.transport import Nft
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import IF_ID_BASE, Link, LinkKind, RouteChange, Vxlan
from tests.integration.kernel.host import GROUP4, GROUP6, drive, host, raise_nexthops
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root

OURS, OTHER_TABLES = ("ncgd", "ncgd_guard"), ("ncgdx", "filter")


def clean(space: Namespace, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = ["ip", "netns", "exec", space.name, sys.executable, "-m", "ncgd", "--clean", "--run-dir", str(tmp_path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def tables(space: Namespace) -> set[str]:
    listed = json.loads(space.run("nft", "-j", "list", "tables"))["nftables"]
    return {each["table"]["name"] for each in listed if "table" in each}


def test_what_is_ours_goes_and_what_is_not_stays(tmp_path: Path) -> None:
    with host("kn-clean") as space:

        async def fill(kernel: Kernel, _: list[Event]) -> None:
            local = IPv4Address("192.0.2.1")
            vxlan = Vxlan(local=local, mac="02:00:00:00:00:01", network=157, port=8157)
            link = Link(name="ncgvx", kind=LinkKind.VXLAN, mtu=1400, vxlan=vxlan)
            assert not (await kernel.links.write(Delta({"ncgvx": link}))).failed
            await raise_nexthops(kernel)
            routes = {px.parse("10.128.0.0/20"): GROUP4, px.parse("2001:db8:ffff::/48"): GROUP6}
            change = RouteChange(routes=dict(routes), backstops=dict.fromkeys(routes, True))
            assert not (await kernel.program(change)).failed
            for name in (*OURS, *OTHER_TABLES):
                await Nft().run("add", "table", "inet", name)

        drive(space, fill)
        space.ip("link add ncgbridge type bridge")
        space.ip("route add 10.9.0.0/16 dev a0")
        others = space.ip("route show")
        assert "10.128.0.0/20" in others
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "guarded-prefixes").write_text("x")

        answer = clean(space, tmp_path)
        assert answer.returncode == 0, answer.stderr
        assert "4 routes and 8 nexthops" in answer.stdout
        assert "proto 157" not in space.ip("route show table all") + space.ip("-6 route show table all")
        assert space.ip("nexthop show") == ""
        assert "10.9.0.0/16" in space.ip("route show")
        assert "ncgvx" not in space.ip("link show")
        assert "ncgbridge" in space.ip("link show"), "no kind of link that ncgd makes"
        assert tables(space) == set(OTHER_TABLES)
        assert list(tmp_path.iterdir()) in ([tmp_path / "state"], [])
        assert not (tmp_path / "state" / "guarded-prefixes").exists()

        again = clean(space, tmp_path)
        assert (again.returncode, again.stdout) == (0, "nothing of ncgd is left here\n")


def test_it_refuses_while_an_ncgd_runs(tmp_path: Path) -> None:
    with host("kn-clean") as space, only_one(tmp_path):
        answer = clean(space, tmp_path)
        assert answer.returncode == 2
        assert "another ncgd" in answer.stderr


def xfrm(space: Namespace, spi: str, if_id: int) -> None:
    """An SA and a policy as strongSwan leaves them when it is killed."""
    ends = "src 192.0.2.1 dst 192.0.2.99"
    key = "0x" + "11" * 36
    space.ip(
        f"xfrm state add {ends} proto esp spi {spi} reqid 1 mode tunnel if_id {if_id} aead rfc4106(gcm(aes)) {key} 128"
    )
    space.ip(f"xfrm policy add dir out src 0.0.0.0/0 dst 0.0.0.0/0 if_id {if_id} tmpl {ends} proto esp mode tunnel")


@pytest.mark.kernel_esp
def test_sas_that_a_killed_charon_has_left_go_and_others_stay(tmp_path: Path) -> None:
    with host("kn-clean") as space:
        xfrm(space, "0x1001", IF_ID_BASE + 1)
        xfrm(space, "0x1002", IF_ID_BASE + 2)
        xfrm(space, "0x2001", 7)
        answer = clean(space, tmp_path)
        assert (answer.returncode, "4 SAs and policies" in answer.stdout) == (0, True), answer.stderr + answer.stdout
        assert re.findall(r"spi (0x\w+)", space.ip("xfrm state")) == ["0x00002001"]
        assert re.findall(r"if_id (0x\w+)", space.ip("xfrm policy")) == ["0x7"]
