"""Addresses, prefixes and ASNs: what each field may hold, and why not."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from ncgd.model.prefix import IPAddress
from ncgd.resources.problem import Problem, shown

LINK_LOCAL_V4: Final = IPv4Network("169.254.0.0/16")
LINK_LOCAL_V6: Final = IPv6Network("fe80::/10")
UNIQUE_LOCAL_V6: Final = IPv6Network("fc00::/7")
METADATA_SERVER: Final = IPv4Address("169.254.169.254")

MANUAL_IS_WRONG: Final = (
    "NCG's manual describes localIP and peerIP with the text of the public addresses, which is a copy error:"
    " the session runs between the link-local addresses inside the tunnel"
)
RESERVED_ASNS: Final = {
    23456: "AS_TRANS stands for ASNs that do not fit into 16 bits (RFC 6793)",
    65535: "it is reserved (RFC 7300)",
    4294967295: "it is reserved (RFC 7300)",
}


def parse_address(path: str, value: str) -> IPAddress | Problem:
    """An IPv4 or IPv6 address without mask and zone, or what is wrong with it."""
    try:
        if "%" in value:
            raise ValueError
        return ip_address(value)
    except ValueError:
        hint = "an address stands without mask and port" if re.search(r"[/\s]|\d:\d+$", value) else ""
        return Problem(path, "InvalidAddress", f"{shown(value)} is no IP address", hint)


def unicast(path: str, value: str, reason: str) -> Problem | None:
    """A unicast address that can be reached from elsewhere: not link-local, loopback, multicast, reserved."""
    address = parse_address(path, value)
    if isinstance(address, Problem):
        return address
    flaw = "link-local" if address.is_link_local else _no_unicast(address)
    if flaw:
        return Problem(path, reason, f"{address} is {flaw}; it must be a unicast address that packets are sent to")
    return None


def session_address(path: str, value: str, reason: str, *, in_tunnel: bool) -> Problem | None:
    """An address of a BGP session. In a tunnel: link-local, IPv6 also unique local; else any unicast address."""
    address = parse_address(path, value)
    if isinstance(address, Problem):
        return address
    if address == METADATA_SERVER:
        return Problem(path, "AddressReserved", f"{address} is the cloud's metadata server", "choose another")
    if flaw := _no_unicast(address):
        return Problem(path, reason, f"{address} is {flaw}; a session needs a unicast address")
    if not in_tunnel or _is_local(address):
        return None
    allowed = "in 169.254.0.0/16" if address.version == 4 else "link-local (fe80::/10) or unique local (fc00::/7)"
    return Problem(path, reason, f"{address} is not {allowed}", MANUAL_IS_WRONG)


def tunnel_address(path: str, value: str, reason: str) -> Problem | None:
    """A link-local IPv4 address inside a tunnel."""
    address = parse_address(path, value)
    if not isinstance(address, Problem) and address.version == 6:
        text = f"{address} is IPv6; this is the tunnel's IPv4 address in 169.254.0.0/16"
        return Problem(path, reason, text, "IPv6 goes into localIP and peerIP of an OverlayBGPPeer")
    return session_address(path, value, reason, in_tunnel=True)


def parse_prefix(path: str, value: str) -> IPv4Network | IPv6Network | Problem:
    """A prefix in CIDR notation without host bits, or what is wrong with it."""
    address, slash, length = value.partition("/")
    try:
        if "%" in value or not (length.isascii() and length.isdigit()):
            raise ValueError
        network = ip_network(value, strict=False)
    except ValueError:
        hint = "" if slash else "write address/length, e.g. 10.0.0.0/8"
        return Problem(path, "InvalidPrefix", f"{shown(value)} is no prefix in CIDR notation", hint)
    if network.network_address != ip_address(address):
        return Problem(path, "HostBits", f"{shown(value)} has bits set behind its length", f"did you mean {network}?")
    return network


def asn(path: str, value: int) -> Problem | None:
    """An ASN that a router may use; 0 and more than 32 bits are refused by the schema already."""
    if value in RESERVED_ASNS:
        return Problem(path, "ASNReserved", f"{value} cannot be used: {RESERVED_ASNS[value]}")
    return None


def _is_local(address: IPAddress) -> bool:
    if address.version == 4:
        return address in LINK_LOCAL_V4
    return address in LINK_LOCAL_V6 or address in UNIQUE_LOCAL_V6


def _no_unicast(address: IPAddress) -> str:
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast:
        return "a multicast address"
    if address.version == 4:
        if address == IPv4Address("255.255.255.255"):
            return "the broadcast address"
        return "reserved (RFC 1112, RFC 791)" if address.is_reserved or address in IPv4Network("0.0.0.0/8") else ""
    return "an IPv4 address in IPv6 clothing" if address.ipv4_mapped else ""
