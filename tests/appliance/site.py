"""The lab's site with a virtual machine as its gateway: the node ``gw`` holds QEMU, and a bridge for each card."""

from dataclasses import replace

from ncgd.lab.topology import SITE, Link

CARDS = {"lan": "52:54:00:6e:63:01", "wan": "52:54:00:6e:63:02"}
"""Bridge in ``gw``, and the MAC address of the guest's card on it."""
ADDRESSES = {"lan": ("10.10.0.1/24", ""), "wan": ("192.168.100.2/24", "192.168.100.1")}
"""What the guest has there: address and default gateway."""


def tap(card: str) -> str:
    """The device that QEMU opens."""
    return f"tap-{card}"


def _bridged(link: Link) -> Link:
    """The end in ``gw`` becomes a port of the bridge of its name: ``lan0`` of ``lan``."""
    ends = [
        (node, device, f"master {device.rstrip('0')}") if node == "gw" else (node, device, address)
        for node, device, address in link.ends
    ]
    return replace(link, ends=(ends[0], ends[1]))


APPLIANCE = replace(
    SITE,
    links=tuple(map(_bridged, SITE.links)),
    devices={
        "gw": tuple(
            line
            for card in CARDS
            for line in (
                f"link add {card} type bridge",
                f"link set {card} up",
                f"tuntap add {tap(card)} mode tap",
                f"link set {tap(card)} master {card} up",
            )
        )
    },
    routes={node: lines for node, lines in SITE.routes.items() if node != "gw"},
)
