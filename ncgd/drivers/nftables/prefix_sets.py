"""Prefixes in nftables: one hash set per IP version and prefix length, as text for ``nft -f``, and back. Pure.

Overlapping prefixes so need no merging, and each edit is exact. A set is named ``v4_20``, after what it holds.
"""

import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, summarize_address_range
from itertools import groupby
from typing import Any

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix

_NAME = re.compile(r"v([46])_(\d{1,3})", re.ASCII)

Lengths = frozenset[tuple[int, int]]
"""IP version and prefix length of the sets that there are."""


def lengths_of(prefixes: Iterable[Prefix]) -> Lengths:
    """The sets that these prefixes need."""
    return frozenset((px.version(prefix), px.length(prefix)) for prefix in prefixes)


def name(version: int, length: int) -> str:
    """Name of a set."""
    return f"v{version}_{length}"


def declarations(table: str, lengths: Iterable[tuple[int, int]]) -> list[str]:
    """Commands that make the sets of an ``inet`` table."""
    return [f"add set inet {table} {name(*each)} {{ type ipv{each[0]}_addr; }}" for each in lengths]


def match(field: str, version: int, length: int) -> str:
    """What matches packets whose ``daddr`` or ``saddr`` (``field``) is in the set."""
    width, header = (32, "ip") if version == 4 else (128, "ip6")
    mask = ((1 << length) - 1) << (width - length)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    masked = "" if length == width else f" & {socket.inet_ntop(family, mask.to_bytes(width // 8))}"
    return f"{header} {field}{masked} @{name(version, length)}"


def edits(table: str, add: Iterable[Prefix], remove: Iterable[Prefix]) -> list[str]:
    """Commands that add and remove prefixes; the sets have to be there."""
    removed = _elements(remove)
    # What is not there cannot be deleted, and would undo the whole transaction: so it is added first.
    added = [f"add element inet {table} {which} {{ {elements} }}" for which, elements in (*_elements(add), *removed)]
    return added + [f"delete element inet {table} {which} {{ {elements} }}" for which, elements in removed]


def _elements(prefixes: Iterable[Prefix]) -> list[tuple[str, str]]:
    """Name of a set and its elements, for each set concerned."""
    rows = sorted((px.version(prefix), px.length(prefix), prefix) for prefix in prefixes)
    return [
        (name(version, length), ", ".join(px.text(prefix).partition("/")[0] for _, _, prefix in group))
        for (version, length), group in groupby(rows, lambda row: row[:2])
    ]


def parse(which: str, elements: Iterable[object]) -> tuple[tuple[int, int], Iterator[Prefix]] | None:
    """Version, length and prefixes of a set as ``nft -j`` lists it; None for a set of another name."""
    if not (matched := _NAME.fullmatch(which)):
        return None
    version, length = int(matched[1]), int(matched[2])
    return (version, length), (px.parse(f"{each}/{length}") for each in elements if isinstance(each, str))


def intervals(element: Any) -> Iterator[Prefix]:
    """An element of an interval set: an address, a prefix, or what two neighbours have been joined to."""
    match element:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            yield px.parse(f"{address}/{length}")
        case {"range": [str(first), str(last)]}:
            yield from map(px.of_network, summarize_address_range(ip_address(first), ip_address(last)))
        case str(address):
            yield px.parse(address)
