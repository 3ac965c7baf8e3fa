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
_GATEWAYS = {4: "gateways4", 6: "gateways6"}
VIA = "via "
"""Before the address, in a way out that is a next hop and no interface: ``via 192.0.2.1``."""
_PRIORITY = 300
"""After srcnat (100) and everything else that may still change a packet: what is judged is what leaves."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What the table holds."""

    prefixes: frozenset[Prefix] = frozenset()
    exits: frozenset[str] = frozenset()
    """Interfaces, and next hops as ``via ADDRESS``."""
    lengths: Lengths = frozenset()


REMOVAL = f"add table inet {TABLE}\ndelete table inet {TABLE}\n".encode()
"""A table can only be deleted when it is there: nft has no "delete if present" before 1.0.7."""


def edit(lengths: Lengths, exits: Collection[str], add: Iterable[Prefix], remove: Iterable[Prefix]) -> bytes:
    """One transaction that makes the table what it must be, whatever is left of it, and edits its prefixes.

    ``lengths`` are all that the table is to have, ``exits`` all that packets may leave by.
    """
    names = sorted(lengths)
    lines = [
        f"add table inet {TABLE}",
        f"add counter inet {TABLE} {COUNTER}",
        f"add set inet {TABLE} {_INTERFACES} {{ type ifname; }}",
        *(f"add set inet {TABLE} {name} {{ type ipv{version}_addr; }}" for version, name in _GATEWAYS.items()),
        *prefix_sets.declarations(TABLE, names),
        f"add chain inet {TABLE} {_CHAIN} {{ type filter hook postrouting priority {_PRIORITY}; policy accept; }}",
        f"flush chain inet {TABLE} {_CHAIN}",
        *(f"add rule inet {TABLE} {_CHAIN} {rule}" for rule in _rules(names)),
    ]
    for name, elements in _exits(exits).items():
        lines.append(f"flush set inet {TABLE} {name}")
        if elements:
            lines.append(f"add element inet {TABLE} {name} {{ {', '.join(elements)} }}")
    lines += prefix_sets.edits(TABLE, add, remove)
    return "\n".join((*lines, "")).encode()


def _exits(exits: Collection[str]) -> dict[str, list[str]]:
    """The elements of each of the sets of what packets may leave by."""
    hops = sorted(text.removeprefix(VIA) for text in exits if text.startswith(VIA))
    return {
        _INTERFACES: [f'"{name}"' for name in sorted(exits) if not name.startswith(VIA)],
        _GATEWAYS[4]: [hop for hop in hops if ":" not in hop],
        _GATEWAYS[6]: [hop for hop in hops if ":" in hop],
    }


def _rules(names: Iterable[tuple[int, int]]) -> list[str]:
    # What an XFRM interface has taken comes here once more, unencrypted still, on its way out by the interface below.
    rules = [
        f'oifname @{_INTERFACES} accept comment "{_INTERFACES}"',
        f'rt ipsec exists accept comment "{_ENCRYPTED}"',
        # The active gateway's node, on a link that all else takes as well.
        f'rt ip nexthop @{_GATEWAYS[4]} accept comment "{_GATEWAYS[4]}"',
        f'rt ip6 nexthop @{_GATEWAYS[6]} accept comment "{_GATEWAYS[6]}"',
    ]
    for version, length in names:
        matched, name = prefix_sets.match("daddr", version, length), prefix_sets.name(version, length)
        rules.append(f'{matched} counter name {COUNTER} drop comment "{name}"')
    return rules


def parse(listing: bytes) -> Guard:
    """What ``nft -j list table`` shows; no exits when one of our rules is missing or a strange one is there."""
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
    exits = frozenset(map(str, sets.pop(_INTERFACES, ())))
    exits |= {f"{VIA}{hop}" for name in _GATEWAYS.values() for hop in sets.pop(name, ())}
    first = [_INTERFACES, _ENCRYPTED, *_GATEWAYS.values()]
    is_whole = is_hooked and comments[: len(first)] == first and sorted(comments[len(first) :]) == sorted(sets)
    prefixes: set[Prefix] = set()
    lengths: set[tuple[int, int]] = set()
    for name, elements in sets.items():
        if found := prefix_sets.parse(name, elements):
            lengths.add(found[0])
            prefixes.update(found[1])
    return Guard(frozenset(prefixes), exits if is_whole else frozenset(), frozenset(lengths))
