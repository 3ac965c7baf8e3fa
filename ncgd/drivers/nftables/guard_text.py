"""The guard's table ``inet ncgd_guard`` as text for ``nft -f``, and back from ``nft -j``. Pure.

One hash set per IP version and prefix length, so overlapping prefixes need no merging and each edit is exact.
"""

import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

import msgspec

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix

TABLE = "ncgd_guard"
COUNTER = "dropped"
_CHAIN = "guard"
_INTERFACES = "tunnels"
_ENCRYPTED = "encrypted"
_SET = re.compile(r"v([46])_(\d{1,3})", re.ASCII)
_PRIORITY = 300
"""After srcnat (100) and everything else that may still change a packet: what is judged is what leaves."""

Lengths = frozenset[tuple[int, int]]
"""IP version and prefix length of the sets that there are."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What the table holds."""

    prefixes: frozenset[Prefix] = frozenset()
    interfaces: frozenset[str] = frozenset()
    lengths: Lengths = frozenset()


REMOVAL = f"add table inet {TABLE}\ndelete table inet {TABLE}\n".encode()
"""A table can only be deleted when it is there: nft has no "delete if present" before 1.0.7."""


def edit(lengths: Lengths, interfaces: Collection[str], add: Iterable[Prefix], remove: Iterable[Prefix]) -> bytes:
    """One transaction that makes the table what it must be, whatever is left of it, and edits its prefixes.

    ``lengths`` are all that the table is to have, ``interfaces`` all that packets may leave by.
    """
    names = sorted(lengths)
    lines = [
        f"add table inet {TABLE}",
        f"add counter inet {TABLE} {COUNTER}",
        f"add set inet {TABLE} {_INTERFACES} {{ type ifname; }}",
        *(f"add set inet {TABLE} v{version}_{length} {{ type ipv{version}_addr; }}" for version, length in names),
        f"add chain inet {TABLE} {_CHAIN} {{ type filter hook postrouting priority {_PRIORITY}; policy accept; }}",
        f"flush chain inet {TABLE} {_CHAIN}",
        *(f"add rule inet {TABLE} {_CHAIN} {rule}" for rule in _rules(names)),
        f"flush set inet {TABLE} {_INTERFACES}",
    ]
    if interfaces:
        quoted = ", ".join(f'"{name}"' for name in sorted(interfaces))
        lines.append(f"add element inet {TABLE} {_INTERFACES} {{ {quoted} }}")
    removed = _elements(remove)
    # What is not there cannot be deleted, and would undo the whole transaction: so it is added first.
    for name, elements in (*_elements(add), *removed):
        lines.append(f"add element inet {TABLE} {name} {{ {elements} }}")
    lines += [f"delete element inet {TABLE} {name} {{ {elements} }}" for name, elements in removed]
    return "\n".join((*lines, "")).encode()


def _rules(names: Iterable[tuple[int, int]]) -> list[str]:
    # What an XFRM interface has taken comes here once more, unencrypted still, on its way out by the interface below.
    rules = [
        f'oifname @{_INTERFACES} accept comment "{_INTERFACES}"',
        f'rt ipsec exists accept comment "{_ENCRYPTED}"',
    ]
    for version, length in names:
        width, field = (32, "ip daddr") if version == 4 else (128, "ip6 daddr")
        mask = ((1 << length) - 1) << (width - length)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        masked = "" if length == width else f" & {socket.inet_ntop(family, mask.to_bytes(width // 8))}"
        name = f"v{version}_{length}"
        rules.append(f'{field}{masked} @{name} counter name {COUNTER} drop comment "{name}"')
    return rules


def _elements(prefixes: Iterable[Prefix]) -> list[tuple[str, str]]:
    """Name of a set and its elements, for each set concerned."""
    rows = sorted((px.version(prefix), px.length(prefix), prefix) for prefix in prefixes)
    return [
        (f"v{version}_{length}", ", ".join(px.text(prefix).partition("/")[0] for _, _, prefix in group))
        for (version, length), group in groupby(rows, lambda row: row[:2])
    ]


def parse(listing: bytes) -> Guard:
    """What ``nft -j list table`` shows; no interfaces when one of our rules is missing or a strange one is there."""
    sets: dict[str, list[object]] = {}
    comments: list[str] = []
    is_hooked = False
    for entry in msgspec.json.decode(listing)["nftables"]:
        if found := entry.get("set"):
            sets[found["name"]] = found.get("elem", [])
        elif found := entry.get("rule"):
            comments.append(found.get("comment", ""))
        elif found := entry.get("chain"):
            is_hooked |= (found["name"], found.get("hook"), found.get("prio")) == (_CHAIN, "postrouting", _PRIORITY)
    interfaces = frozenset(map(str, sets.pop(_INTERFACES, ())))
    is_whole = is_hooked and comments[:2] == [_INTERFACES, _ENCRYPTED] and sorted(comments[2:]) == sorted(sets)
    prefixes: set[Prefix] = set()
    lengths: set[tuple[int, int]] = set()
    for name, elements in sets.items():
        if match := _SET.fullmatch(name):
            version, length = int(match[1]), int(match[2])
            lengths.add((version, length))
            prefixes.update(px.parse(f"{element}/{length}") for element in elements if isinstance(element, str))
    return Guard(frozenset(prefixes), interfaces if is_whole else frozenset(), frozenset(lengths))
