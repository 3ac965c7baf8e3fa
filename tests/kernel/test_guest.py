"""What every other test here builds on: the kernel's own IPsec, nexthop groups and namespaces."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.netns import Namespace, until, veth

pytestmark = [pytest.mark.root, pytest.mark.kernel_esp]

CHARON = "mount -t tmpfs tmpfs /run && exec /usr/lib/ipsec/charon"  # two charons need two /run for their pid files
STRONGSWAN_CONF = """
charon {{
  load = random nonce openssl kdf pem pkcs1 x509 kernel-netlink socket-default vici
  install_routes = no
  install_virtual_ip = no
  plugins {{ vici {{ socket = unix://{folder}/{name}.vici }} }}
  filelog {{ log {{ path = {folder}/{name}.log
    default = 1 }} }}
}}
"""
SWANCTL_CONF = """
connections {{
  tunnel {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha256-ecp256
    local {{ auth = psk }}
    remote {{ auth = psk }}
    if_id_in = 7
    if_id_out = 7
    children {{ tunnel {{
      local_ts = 0.0.0.0/0
      remote_ts = 0.0.0.0/0
      esp_proposals = aes256gcm16-ecp256
    }} }}
  }}
}}
secrets {{ ike {{ secret = "only for this test" }} }}
"""


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces, 192.0.2.1 and 192.0.2.2, joined by a veth."""
    with (
        Namespace("kt-one") as one,
        Namespace("kt-two") as two,
        veth(one, "outer", "192.0.2.1/24", two, "outer", "192.0.2.2/24"),
    ):
        yield one, two


def test_namespaces_reach_each_other(pair: tuple[Namespace, Namespace]) -> None:
    until(lambda: pair[0].succeeds("ping", "-c1", "-W1", "192.0.2.2"), what="ping over the veth")


def test_xfrm_interface_keeps_its_if_id() -> None:
    with Namespace("kt-one") as space:
        space.ip("link add tunnel type xfrm dev lo if_id 7")
        assert "if_id 0x7" in space.ip("-d link show tunnel")


def test_aes_gcm_sa_is_accepted() -> None:
    with Namespace("kt-one") as space:
        ends = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100"
        space.ip(f"xfrm state add {ends} mode tunnel if_id 7 aead rfc4106(gcm(aes)) 0x{'5a' * 36} 128")
        assert "rfc4106(gcm(aes))" in space.ip("xfrm state")


def test_route_follows_its_nexthop_group(pair: tuple[Namespace, Namespace]) -> None:
    one, _ = pair
    one.ip("link add spare type dummy")
    one.ip("addr add 198.51.100.1/24 dev spare")
    one.ip("link set spare up")
    one.ip("nexthop add id 1 via 192.0.2.2 dev outer")
    one.ip("nexthop add id 2 via 198.51.100.2 dev spare")
    one.ip("nexthop add id 10 group 1")
    one.ip("route add 203.0.113.0/24 nhid 10")
    assert "dev outer" in one.ip("route get 203.0.113.9")
    one.ip("nexthop replace id 10 group 2")
    assert "dev spare" in one.ip("route get 203.0.113.9")


def test_tunnel_between_two_charons_carries_ping(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    one, two = pair
    for space, name, number, other in ((one, "one", 1, 2), (two, "two", 2, 1)):
        space.ip("link add tunnel type xfrm dev lo if_id 7")
        space.ip(f"addr add 169.254.1.{number}/30 dev tunnel")
        space.ip("link set tunnel up mtu 1400")
        start_charon(space, name, tmp_path)
        connection = SWANCTL_CONF.format(local=f"192.0.2.{number}", remote=f"192.0.2.{other}")
        (tmp_path / f"{name}.swanctl").write_text(connection)
        swanctl(space, name, tmp_path, "--load-all", "--file", f"{tmp_path}/{name}.swanctl")
    swanctl(one, "one", tmp_path, "--initiate", "--child", "tunnel")
    until(lambda: one.succeeds("ping", "-c3", "-i0.1", "-W1", "169.254.1.2"), what="ping through the tunnel")
    assert re.search(r"[1-9]\d*\(packets\)", one.ip("-s xfrm state"))


def start_charon(space: Namespace, name: str, folder: Path) -> None:
    configuration = folder / f"{name}.strongswan"
    configuration.write_text(STRONGSWAN_CONF.format(folder=folder, name=name))
    space.start("unshare", "-m", "sh", "-c", CHARON, env={"STRONGSWAN_CONF": str(configuration)})
    until((folder / f"{name}.vici").is_socket, what=f"charon {name} answers")


def swanctl(space: Namespace, name: str, folder: Path, command: str, *arguments: str) -> str:
    return space.run("swanctl", command, "--uri", f"unix://{folder}/{name}.vici", *arguments)
