"""The guard's table ``inet ncgd_guard`` as text for ``nft -f``, and back from ``nft -j``. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from ncgd.drivers.nftables import prefix_sets
from ncgd.drivers.nftables.prefix_sets import Lengths
from ncgd.model.prefix import Prefix

TABLE = "ncgd_guard"
COUNTER = "dropped"
_CHAIN = "guard"
_INTERFACES = "tunnels"
_ENCRYPTED = "encrypted"
_PRIORITY = 300
"""After srcnat (100) and everything else that may still change a packet: what is judged is what leaves."""


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
        *prefix_sets.declarations(TABLE, names),
        f"add chain inet {TABLE} {_CHAIN} {{ type filter hook postrouting priority {_PRIORITY}; policy accept; }}",
        f"flush chain inet {TABLE} {_CHAIN}",
        *(f"add rule inet {TABLE} {_CHAIN} {rule}" for rule in _rules(names)),
        f"flush set inet {TABLE} {_INTERFACES}",
    ]
    if interfaces:
        quoted = ", ".join(f'"{name}"' for name in sorted(interfaces))
        lines.append(f"add element inet {TABLE} {_INTERFACES} {{ {quoted} }}")
    lines += prefix_sets.edits(TABLE, add, remove)
    return "\n".join((*lines, "")).encode()


def _rules(names: Iterable[tuple[int, int]]) -> list[str]:
    # What an XFRM interface has taken comes here once more, unencrypted still, on its way out by the interface below.
    rules = [
        f'oifname @{_INTERFACES} accept comment "{_INTERFACES}"',
        f'rt ipsec exists accept comment "{_ENCRYPTED}"',
    ]
    for version, length in names:
        matched, name = prefix_sets.match("daddr", version, length), prefix_sets.name(version, length)
        rules.append(f'{matched} counter name {COUNTER} drop comment "{name}"')
    return rules


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
        if found := prefix_sets.parse(name, elements):
            lengths.add(found[0])
            prefixes.update(found[1])
    return Guard(frozenset(prefixes), interfaces if is_whole else frozenset(), frozenset(lengths))
