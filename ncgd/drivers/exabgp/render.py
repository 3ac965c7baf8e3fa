"""Neighbours to ExaBGP configuration text. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from ncgd.errors import Rejected
from ncgd.model import prefix
from ncgd.model.bgp import Neighbor
from ncgd.model.prefix import IPAddress, Prefix

PROCESS = "ncgd"
"""Name of the bridge in the configuration."""


def key(peer_address: IPAddress | str, local_address: IPAddress | str) -> str:
    """How bridge and speaker name a session: ``"169.254.1.1 169.254.1.2"``, peer first."""
    return f"{peer_address} {local_address}"


def key_of(neighbor: Neighbor) -> str:
    """The key of a neighbour's session."""
    return key(neighbor.peer_address, neighbor.local_address)


def configuration(neighbors: Iterable[Neighbor], bridge: Sequence[str]) -> str:
    """The whole configuration; ``bridge`` is the bridge's command. No neighbour at all is valid too.

    Raises Rejected for what ExaBGP's words cannot say: a blank or a quote in the command or in a name.
    """
    blocks = [block(neighbor) for neighbor in sorted(neighbors, key=key_of)]
    words = " ".join(_word(word) for word in bridge)
    head = f"# Written by ncgd; changes are lost.\nprocess {PROCESS} {{\n  run {words};\n  encoder json;\n}}\n"
    return "\n".join([head, *blocks])


def description(neighbor: Neighbor) -> str:
    """Name and digest: tells from a running speaker which peer this is, and whether it is configured as wanted.

    ExaBGP does not compare descriptions, so a new one alone never touches a session.
    """
    digest = hashlib.sha256(_body(neighbor).encode()).hexdigest()[:12]
    return f"{neighbor.peer} {digest}"


def block(neighbor: Neighbor) -> str:
    """One neighbour's part. Raises Rejected for what ExaBGP would refuse, and every other neighbour with it."""
    _word(neighbor.peer)
    for is_good, rule in (
        (neighbor.hold_seconds == 0 or 3 <= neighbor.hold_seconds < 1 << 16, "the hold time is 0 or 3 to 65535 s"),
        (0 <= neighbor.restart_seconds < 1 << 12, "the restart time is 0 to 4095 s"),
        (all(0 < asn < 1 << 32 for asn in (neighbor.local_asn, neighbor.peer_asn)), "an ASN is 1 to 4294967295"),
        (neighbor.local_address.version == neighbor.peer_address.version, "both addresses are of one IP version"),
        (bool(neighbor.families) and {*neighbor.families} <= {4, 6}, "a family is 4 or 6"),
        (all(0 <= row.med < 1 << 32 for row in neighbor.advertisements), "a MED is 0 to 4294967295"),
        (len(neighbor.interface or "") < 16, "an interface name has up to 15 characters"),
        (_is_ipv4(neighbor.router_id), "a router id looks like an IPv4 address"),
    ):
        if not is_good:
            raise Rejected(f"{neighbor.peer} cannot be configured: {rule}")
    return f'neighbor {neighbor.peer_address} {{\n  description "{description(neighbor)}";\n{_body(neighbor)}}}\n'


def _body(neighbor: Neighbor) -> str:
    # The bridge keeps the Adj-RIB-In; ExaBGP's own would cost 60 MB and 0.4 s per 100 000 prefixes.
    # Refresh messages tell a bridge that asks for the table again where it ends. NOTIFICATIONs are not asked for:
    # their reason comes with the session's end, and ExaBGP's encoder fails on some.
    interface = f"  source-interface {_word(neighbor.interface)};\n" if neighbor.interface else ""
    families = "".join(f" ipv{version} unicast;" for version in neighbor.families)
    return (
        f"  router-id {_word(neighbor.router_id)};\n"
        f"  local-address {neighbor.local_address};\n"
        f"{interface}"
        f"  local-as {neighbor.local_asn};\n"
        f"  peer-as {neighbor.peer_asn};\n"
        f"  hold-time {neighbor.hold_seconds};\n"
        "  adj-rib-in false;\n"
        "  adj-rib-out true;\n"
        "  group-updates true;\n"
        f"  capability {{ graceful-restart {neighbor.restart_seconds}; route-refresh enable; }}\n"
        f"  family {{{families} }}\n"
        f"  api {{ processes [ {PROCESS} ]; neighbor-changes; receive {{ parsed; open; update; refresh; }} }}\n"
        f"  announce {{\n{_announcements(neighbor)}  }}\n"
    )


def _announcements(neighbor: Neighbor) -> str:
    blocks = []
    for version in neighbor.families:
        hop = _next_hop(neighbor, version)
        routes = [
            f"      unicast {prefix.text(row.prefix)} next-hop {hop} med {row.med};\n"
            for row in sorted(neighbor.advertisements, key=lambda row: prefix.sort_key(row.prefix))
            if hop is not None and prefix.version(row.prefix) == version
        ]
        blocks.append(f"    ipv{version} {{\n{''.join(routes)}    }}\n")
    return "".join(blocks)


def _next_hop(neighbor: Neighbor, version: int) -> IPAddress | None:
    """Ourselves. A session over IPv4 has no IPv6 next hop to offer; one over IPv6 has its router id (RFC 4271)."""
    if neighbor.local_address.version == version:
        return neighbor.local_address
    return IPv4Address(neighbor.router_id) if version == 4 else None


def unspeakable(neighbor: Neighbor) -> list[Prefix]:
    """Advertisements that this session cannot carry: family not negotiated, or without a next hop."""
    return [
        row.prefix
        for row in neighbor.advertisements
        if (version := prefix.version(row.prefix)) not in neighbor.families or _next_hop(neighbor, version) is None
    ]


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _word(text: str) -> str:
    """A word of ExaBGP's configuration language, which knows no escapes."""
    if not text or any(character in "\"'`;{}[]()#\\," or not "!" <= character <= "~" for character in text):
        raise Rejected(f"{text!r} cannot stand in an ExaBGP configuration: a blank, a quote or a bracket")
    return text
