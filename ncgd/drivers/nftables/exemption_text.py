"""The table ``inet ncgd_masquerade`` as text for ``nft -f``, and back from ``nft -j``. Pure.

It gives a connection its own source address as the address to translate to. The kernel asks the nat chains of a hook
one after the other until one of them has decided, whoever made them; to accept is no decision (nf_nat_inet_fn).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import msgspec

from ncgd.drivers.nftables import prefix_sets
from ncgd.drivers.nftables.prefix_sets import Lengths
from ncgd.model import prefix as px
from ncgd.model.masquerade import PRIORITY, Extra, HostSource, OwnNetwork
from ncgd.model.masquerade import TABLE as _FAMILY_AND_TABLE
from ncgd.model.prefix import Prefix

TABLE = _FAMILY_AND_TABLE.partition(" ")[2]
_CHAIN = "keep"
_KUBE_PROXY = "kube-proxy"
_MARK = 0x4000
"""kube-proxy's ``masqueradeBit`` 14: the answer has to come back to this node, to be translated back (Services)."""
_HOST = "host "
_LINK_LOCAL = "169.254.0.0/16"
"""Where both ends of every tunnel have their addresses."""
_OWN = {4: "own4", 6: "own6"}


@dataclass(frozen=True, slots=True)
class Exemption:
    """What the table holds."""

    prefixes: frozenset[Prefix] = frozenset()
    own: frozenset[Extra] = frozenset()
    lengths: Lengths = frozenset()


REMOVAL = f"add table inet {TABLE}\ndelete table inet {TABLE}\n".encode()
"""A table can only be deleted when it is there: nft has no "delete if present" before 1.0.7."""


def edit(lengths: Lengths, own: Collection[Extra], add: Iterable[Prefix], remove: Iterable[Prefix]) -> bytes:
    """One transaction that makes the table what it must be, whatever is left of it, and edits its prefixes.

    ``lengths`` are all that the table is to have, ``own`` all networks of ours, none inside another (an interval set
    takes no overlaps), and at most one address of this machine.
    """
    names = sorted(lengths)
    lines = [
        f"add table inet {TABLE}",
        *(
            f"add set inet {TABLE} {which} {{ type ipv{version}_addr; flags interval; }}"
            for version, which in _OWN.items()
        ),
        *prefix_sets.declarations(TABLE, names),
        f"add chain inet {TABLE} {_CHAIN} {{ type nat hook postrouting priority {PRIORITY}; policy accept; }}",
        f"flush chain inet {TABLE} {_CHAIN}",
        *(f'add rule inet {TABLE} {_CHAIN} {rule} comment "{comment}"' for comment, rule in _rules(names, _host(own))),
        *(f"flush set inet {TABLE} {which}" for which in _OWN.values()),
    ]
    networks = [each.prefix for each in own if isinstance(each, OwnNetwork)]
    by_version = {
        which: px.texts(each for each in networks if px.version(each) == version) for version, which in _OWN.items()
    }
    lines += [f"add element inet {TABLE} {which} {{ {', '.join(each)} }}" for which, each in by_version.items() if each]
    lines += prefix_sets.edits(TABLE, add, remove)
    return "\n".join((*lines, "")).encode()


def _host(own: Iterable[Extra]) -> IPv4Address | None:
    return next((each.address for each in own if isinstance(each, HostSource)), None)


def _rules(names: Sequence[tuple[int, int]], host: IPv4Address | None) -> Iterable[tuple[str, str]]:
    """Comment and text of each rule."""
    yield _KUBE_PROXY, f"meta mark & {_MARK:#x} == {_MARK:#x} accept"
    for version, length in names if host else ():
        if version == 4:
            matched = f"ip saddr {_LINK_LOCAL} {prefix_sets.match('daddr', version, length)}"
            yield f"{_HOST}{host} {prefix_sets.name(version, length)}", f"{matched} snat ip to {host}"
    for version, length in names:
        family = "ip" if version == 4 else "ip6"
        keep, name = f"snat {family} to {family} saddr", prefix_sets.name(version, length)
        yield f"to {name}", f"{prefix_sets.match('daddr', version, length)} {keep}"
        ours = f"{family} daddr @{_OWN[version]}"
        yield f"from {name}", f"{prefix_sets.match('saddr', version, length)} {ours} {keep}"


def parse(listing: bytes) -> Exemption:
    """What ``nft -j list table`` shows; nothing but ``lengths`` when a rule is missing or a strange one is there."""
    prefixes: set[Prefix] = set()
    own: set[Extra] = set()
    lengths: set[tuple[int, int]] = set()
    comments: list[str] = []
    is_hooked = False
    for entry in msgspec.json.decode(listing)["nftables"]:
        if listed := entry.get("set"):
            elements = listed.get("elem", [])
            if found := prefix_sets.parse(listed["name"], elements):
                lengths.add(found[0])
                prefixes.update(found[1])
            elif listed["name"] in _OWN.values():
                own.update(OwnNetwork(network) for each in elements for network in prefix_sets.intervals(each))
        elif rule := entry.get("rule"):
            comments.append(rule.get("comment", ""))
        elif chain := entry.get("chain"):
            is_hooked |= (chain["name"], chain.get("hook"), chain.get("prio")) == (
                _CHAIN,
                "postrouting",
                PRIORITY,
            )
    told = next((comment.removeprefix(_HOST).split()[0] for comment in comments if comment.startswith(_HOST)), None)
    host = IPv4Address(told) if told else None
    is_whole = is_hooked and comments == [comment for comment, _ in _rules(sorted(lengths), host)]
    if not is_whole:
        return Exemption(lengths=frozenset(lengths))
    if host:
        own.add(HostSource(host))
    return Exemption(frozenset(prefixes), frozenset(own), frozenset(lengths))
