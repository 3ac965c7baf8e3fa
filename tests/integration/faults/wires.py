"""Causes of faults in the network: on the path, in the NAT, at the gateway's own interfaces."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from ncgd.lab.topology import inside, namespace
from tests.integration.netns import in_namespace, until
from tests.lab import site_side
from tests.lab.conftest import Lab

CLOUD0, CLOUD1 = "198.51.100.11", "198.51.100.12"
TO, FROM = f"ip daddr {CLOUD0}", f"ip saddr {CLOUD0}"
TO_OTHER, FROM_OTHER = f"ip daddr {CLOUD1}", f"ip saddr {CLOUD1}"
ESP = tuple(f"{way} {what}" for way in (TO, FROM) for what in ("ip protocol 50", "udp length > 8 @th,64,32 != 0"))
"""ESP alone or in UDP: where IKE in UDP 4500 has four zero octets, ESP has its SPI (RFC 3948 §2.2)."""

Cause = Callable[[Lab], AbstractContextManager[None]]


def dead(*tunnels: str) -> bool:
    """ncgd has found that these tunnels carry nothing."""
    return all(site_side.tunnel(name).get("reason") in {"DataPathDead", "UplinkDown"} for name in tunnels)


def path_drops(*rules: str, until_dead: tuple[str, ...] = (), seconds: float = 0) -> Cause:
    """Between site and cloud, packets that match one of the rules are dropped: until ncgd has found these tunnels dead,
    or for some seconds.
    """

    @contextmanager
    def cause(_lab: Lab) -> Iterator[None]:
        body = "".join(f"    {rule} drop\n" for rule in rules)
        _nft("internet", f"table ip fault {{\nchain c {{ type filter hook forward priority filter\n{body}}}\n}}")
        end = time.monotonic() + seconds
        try:
            until(lambda: dead(*until_dead) and time.monotonic() > end, seconds + 20, f"{until_dead} found dead")
            yield
        finally:
            _nft("internet", "delete table ip fault")

    return cause


@contextmanager
def nat_forgets(_lab: Lab) -> Iterator[None]:
    """The NAT loses its table of connections."""
    _forget()
    yield


@contextmanager
def nat_rebinds(_lab: Lab) -> Iterator[None]:
    """The NAT gives every connection another port, and knows the old ones no more; in the end it is 1:1 again."""
    _nft("nat", _NAT.format(inward="", outward="ip protocol 17 snat to 203.0.113.10:30000-39999 random"))
    _forget()
    try:
        yield
    finally:
        _nft("nat", _one_to_one("192.168.100.2"))
        _forget()


@contextmanager
def address_changes(_lab: Lab) -> Iterator[None]:
    """The gateway's address behind the NAT is another one, as after a new lease; then the first again."""
    _readdress("192.168.100.2", "192.168.100.3")
    try:
        yield
    finally:
        _readdress("192.168.100.3", "192.168.100.2")


@contextmanager
def cable_pulled(_lab: Lab) -> Iterator[None]:
    """The uplink has no carrier."""
    _ip("nat", "link set lan0 down")
    try:
        until(lambda: dead("tunnel-1", "tunnel-2"), 20, "both tunnels are found dead")
        yield
    finally:
        _ip("nat", "link set lan0 up")


@contextmanager
def uplink_down(_lab: Lab) -> Iterator[None]:
    """Someone sets the uplink down and up again; the default route is lost, and put back."""
    _ip("gw", "link set wan0 down")
    try:
        until(lambda: dead("tunnel-1", "tunnel-2"), 20, "both tunnels are found dead")
        yield
    finally:
        _ip("gw", "link set wan0 up")
        _ip("gw", "route replace default via 192.168.100.1")


@contextmanager
def tunnel_interface_down(_lab: Lab) -> Iterator[None]:
    """Someone sets the interface of tunnel 1 down; ncgd sets it up again."""
    interface = site_side.tunnel("tunnel-1")["interface"]
    _ip("gw", f"link set {interface} down")
    until(lambda: "UP" in site_side.links()[interface]["flags"], 20, f"{interface} is up again")
    yield


_NAT = """
flush table ip nat
table ip nat {{
    chain in {{ type nat hook prerouting priority dstnat; {inward}; }}
    chain out {{ type nat hook postrouting priority srcnat; oifname "wan0" {outward}; }}
}}
"""


def _one_to_one(private: str) -> str:
    return _NAT.format(
        inward=f'iifname "wan0" ip daddr 203.0.113.10 dnat to {private}',
        outward=f"ip saddr {private} snat to 203.0.113.10",
    )


def _readdress(old: str, new: str) -> None:
    _ip("gw", f"addr del {old}/24 dev wan0")
    _ip("gw", f"addr add {new}/24 dev wan0")
    _ip("gw", "route replace default via 192.168.100.1")
    _nft("nat", _one_to_one(new))
    _forget()


def _forget() -> None:
    def flush() -> None:
        with NFCTSocket() as conntrack:
            conntrack.flush()

    in_namespace(Path("/run/netns", namespace("nat")), flush)


def _nft(node: str, text: str) -> None:
    subprocess.run(inside(node, "nft", "-f", "-"), input=text, text=True, check=True)


def _ip(node: str, arguments: str) -> None:
    subprocess.run(["ip", "-n", namespace(node), *arguments.split()], check=True)
