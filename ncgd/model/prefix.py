"""Prefixes as integers: one ``int`` holds family, address and length.

A table of 100 000 prefixes is a table of 100 000 small integers: cheap to hash, to sort and to keep.
``ipaddress`` objects live at the edges only (resources, command line, JSON).
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType

Prefix = NewType("Prefix", int)
"""``address << 8 | length``, with bit 136 set for IPv6."""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_V6 = 1 << 136


def parse(text: str) -> Prefix:
    """``"10.0.0.0/8"`` or ``"2001:db8::/32"`` as a Prefix; host bits are cleared.

    Raises ValueError for anything else.
    """
    address, _, length_text = text.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    width = 128 if family == socket.AF_INET6 else 32
    try:
        packed = socket.inet_pton(family, address)
    except OSError as error:
        raise ValueError(f"{text!r} is no prefix") from error
    length = int(length_text) if length_text else width
    if not 0 <= length <= width:
        raise ValueError(f"{text!r}: the length must be between 0 and {width}")
    value = int.from_bytes(packed) >> (width - length) << (width - length)
    return Prefix(value << 8 | length | (_V6 if width == 128 else 0))


def of_network(network: IPNetwork) -> Prefix:
    """The Prefix of an ``ipaddress`` network."""
    return make(network.version, int(network.network_address), network.prefixlen)


def make(version: int, address: int, length: int) -> Prefix:
    """A Prefix from IP version (4 or 6), address as integer and length in bits."""
    return Prefix(address << 8 | length | (_V6 if version == 6 else 0))


def version(prefix: Prefix) -> int:
    """4 or 6."""
    return 6 if prefix & _V6 else 4


def length(prefix: Prefix) -> int:
    """Length in bits."""
    return prefix & 0xFF


def address(prefix: Prefix) -> int:
    """Network address as an integer."""
    return (prefix & (_V6 - 1)) >> 8


def packed(prefix: Prefix) -> bytes:
    """Network address in network byte order: 4 or 16 bytes."""
    return address(prefix).to_bytes(16 if prefix & _V6 else 4)


def text(prefix: Prefix) -> str:
    """``"10.0.0.0/8"``."""
    family = socket.AF_INET6 if prefix & _V6 else socket.AF_INET
    return f"{socket.inet_ntop(family, packed(prefix))}/{prefix & 0xFF}"


def span(prefix: Prefix) -> tuple[int, int]:
    """First and last address as integers that order IPv4 before IPv6."""
    is_v6 = prefix & _V6
    first = (prefix & (_V6 - 1)) >> 8 | (_V6 if is_v6 else 0)
    return first, first + (1 << ((128 if is_v6 else 32) - (prefix & 0xFF))) - 1


def covers(outer: Prefix, inner: Prefix) -> bool:
    """True when ``inner`` lies inside ``outer`` (equal counts)."""
    outer_first, outer_last = span(outer)
    inner_first, inner_last = span(inner)
    return outer_first <= inner_first and inner_last <= outer_last


def sort_key(prefix: Prefix) -> tuple[int, int]:
    """IPv4 first, then by address, then shorter before longer."""
    return span(prefix)[0], length(prefix)


def texts(prefixes: Iterable[Prefix]) -> list[str]:
    """Sorted texts, for people."""
    return [text(prefix) for prefix in sorted(prefixes, key=sort_key)]
