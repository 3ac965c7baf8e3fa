"""The table ``inet ncgd`` as the JSON that ``nft -j`` takes (libnftables-json(5)), and back. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ncgd.model.clamp import MssClamp

FAMILY, TABLE, CHAIN = "inet", "ncgd", "forward"
_PRIORITY_MANGLE = -150
_RULES_PER_CLAMP = 4

Json = dict[str, Any]


def table(clamps: Iterable[MssClamp]) -> Json:
    """One transaction that replaces the whole table; without clamps it is removed.

    A table can only be deleted when it is there, so it is added first: nft has no "delete if present" before 1.0.7.
    """
    name = {"family": FAMILY, "name": TABLE}
    commands: list[Json] = [{"add": {"table": name}}, {"delete": {"table": name}}]
    rules = [rule for clamp in clamps for rule in _rules(clamp)]
    if rules:
        chain = {
            "family": FAMILY,
            "table": TABLE,
            "name": CHAIN,
            "type": "filter",
            "hook": "forward",
            "prio": _PRIORITY_MANGLE,
            "policy": "accept",
        }
        commands += [
            {"add": {"table": name}},
            {"add": {"chain": chain}},
            *({"add": {"rule": rule}} for rule in rules),
        ]
    return {"nftables": commands}


def clamps(listing: Mapping[str, Any]) -> dict[str, MssClamp]:
    """The clamps in the answer to ``nft -j list table``, by interface; only those whose rules are all there."""
    comments = Counter(entry["rule"].get("comment", "") for entry in listing["nftables"] if "rule" in entry)
    found = {}
    for comment, count in comments.items():
        words = comment.split()
        if len(words) == 4 and words[0] == "mss" and count == _RULES_PER_CLAMP:
            found[words[1]] = MssClamp(interface=words[1], mss_v4=int(words[2]), mss_v6=int(words[3]))
    return found


def _rules(clamp: MssClamp) -> list[Json]:
    return [
        _rule(clamp, direction, protocol, mss)
        for direction in ("iifname", "oifname")
        for protocol, mss in (("ipv4", clamp.mss_v4), ("ipv6", clamp.mss_v6))
    ]


def _rule(clamp: MssClamp, direction: str, protocol: str, mss: int) -> Json:
    """Lower the MSS in SYN and SYN-ACK (RFC 9293 §3.7.1) to ``mss`` bytes; one that is lower stays."""
    option = {"tcp option": {"name": "maxseg", "field": "size"}}
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}
    return {
        "family": FAMILY,
        "table": TABLE,
        "chain": CHAIN,
        "comment": f"mss {clamp.interface} {clamp.mss_v4} {clamp.mss_v6}",
        "expr": [
            _match("==", {"meta": {"key": direction}}, clamp.interface),
            _match("==", {"meta": {"key": "nfproto"}}, protocol),
            _match("==", flags, "syn"),
            _match(">", option, mss),
            {"mangle": {"key": option, "value": mss}},
        ],
    }


def _match(operator: str, left: Json, right: str | int) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}
