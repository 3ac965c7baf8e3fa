"""Prefixes as integers: one ``int`` holds family, address and length.

A table of 100 000 prefixes is a table of 100 000 small integers: cheap to hash, to sort and to keep.
``ipaddress`` objects live at the edges only (resources, command line, JSON).
"""

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType

Prefix = NewType("Prefix", int)
"""The length in bits, then the network's bits, right-aligned: ``length << 32 | network``, and for IPv6
``(256 | length) << 128 | network``.

The prefixes of a table so differ in their lowest bits, by which a dict finds its place: with ``address << 8 | length``
dicts and sets of 100 000 were three times as slow.
"""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_V6 = 1 << 136
_NETWORK_V4, _NETWORK_V6 = (1 << 32) - 1, (1 << 128) - 1


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
    return make(6 if width == 128 else 4, int.from_bytes(packed), length)


def of_network(network: IPNetwork) -> Prefix:
    """The Prefix of an ``ipaddress`` network."""
    return make(network.version, int(network.network_address), network.prefixlen)


def make(version: int, address: int, length: int) -> Prefix:
    """A Prefix from IP version (4 or 6), address as integer and length in bits; host bits are cleared."""
    if version == 6:
        return Prefix(_V6 | length << 128 | address >> 128 - length)
    return Prefix(length << 32 | address >> 32 - length)


def version(prefix: Prefix) -> int:
    """4 or 6."""
    return 6 if prefix >= _V6 else 4


def length(prefix: Prefix) -> int:
    """Length in bits."""
    return prefix >> 128 & 0xFF if prefix >= _V6 else prefix >> 32


def address(prefix: Prefix) -> int:
    """Network address as an integer."""
    if prefix >= _V6:
        return (prefix & _NETWORK_V6) << 128 - (prefix >> 128 & 0xFF)
    return (prefix & _NETWORK_V4) << 32 - (prefix >> 32)


def packed(prefix: Prefix) -> bytes:
    """Network address in network byte order: 4 or 16 bytes."""
    return split(prefix)[1]


def split(prefix: Prefix) -> tuple[int, bytes]:
    """Length in bits, and network address in network byte order: 4 or 16 bytes."""
    if prefix >= _V6:
        return length(prefix), address(prefix).to_bytes(16)
    bits = prefix >> 32
    return bits, ((prefix & _NETWORK_V4) << 32 - bits).to_bytes(4)


def text(prefix: Prefix) -> str:
    """``"10.0.0.0/8"``."""
    family = socket.AF_INET6 if prefix >= _V6 else socket.AF_INET
    return f"{socket.inet_ntop(family, packed(prefix))}/{length(prefix)}"


def span(prefix: Prefix) -> tuple[int, int]:
    """First and last address as integers that order IPv4 before IPv6."""
    first = address(prefix) | (prefix & _V6)
    return first, first + (1 << (128 if prefix >= _V6 else 32) - length(prefix)) - 1


def covers(outer: Prefix, inner: Prefix) -> bool:
    """True when ``inner`` lies inside ``outer`` (equal counts)."""
    outer_first, outer_last = span(outer)
    inner_first, inner_last = span(inner)
    return outer_first <= inner_first and inner_last <= outer_last


def covering(prefix: Prefix) -> Iterator[Prefix]:
    """The prefix itself, then every shorter one that covers it, down to the default route."""
    family, network = version(prefix), address(prefix)
    for bits in range(length(prefix), -1, -1):
        yield make(family, network, bits)


def collapse(prefixes: Iterable[Prefix]) -> list[Prefix]:
    """The fewest prefixes that hold exactly the same addresses: none inside another, halves joined; sorted."""
    kept: list[Prefix] = []
    for prefix in sorted(prefixes, key=sort_key):
        if kept and covers(kept[-1], prefix):
            continue
        kept.append(prefix)
        while len(kept) > 1 and (whole := _joined(kept[-2], kept[-1])) is not None:
            kept[-2:] = [whole]
    return kept


def _joined(low: Prefix, high: Prefix) -> Prefix | None:
    """The prefix whose halves these are."""
    bits = length(low)
    if not bits or bits != length(high) or version(low) != version(high):
        return None
    whole = make(version(low), address(low), bits - 1)
    return whole if covers(whole, high) and address(whole) == address(low) else None


def sort_key(prefix: Prefix) -> tuple[int, int]:
    """IPv4 first, then by address, then shorter before longer."""
    return span(prefix)[0], length(prefix)


def texts(prefixes: Iterable[Prefix]) -> list[str]:
    """Sorted texts, for people."""
    return [text(prefix) for prefix in sorted(prefixes, key=sort_key)]
