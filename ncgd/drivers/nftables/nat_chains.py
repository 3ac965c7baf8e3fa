"""Other programs' nat chains at postrouting, as ``nft -j`` shows them, iptables-nft's among them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from ncgd.model import prefix as px
from ncgd.model.masquerade import NatChain, NatRule, Verdict

Json = dict[str, Any]
OURS = "ncgd_"
VERSIONS = {"ip": 4, "ip6": 6}
_TRANSLATING = frozenset({"masquerade", "snat"})
_TARGETS = frozenset({"MASQUERADE", "SNAT", "NETMAP"})


def bases(listing: bytes) -> list[Json]:
    """The base chains that may translate sources, in ``nft -j list chains``; without ours."""
    chains = (entry["chain"] for entry in msgspec.json.decode(listing)["nftables"] if "chain" in entry)
    return [
        chain
        for chain in chains
        if (chain.get("type"), chain.get("hook")) == ("nat", "postrouting") and not chain["table"].startswith(OURS)
    ]


def chain(listing: bytes, name: str) -> NatChain:
    """One chain, in ``nft -j list chain``."""
    found = NatChain(table="", name=name)
    rules = []
    for entry in msgspec.json.decode(listing)["nftables"]:
        if (shown := entry.get("chain")) and shown["name"] == name:
            # iptables-nft names its base chains as iptables always did.
            program = "iptables-nft" if shown["table"] == "nat" and shown["family"] in VERSIONS else "nftables"
            found = replace(
                found,
                table=f"{program} {shown['family']} {shown['table']}",
                version=VERSIONS.get(shown["family"]),
                priority=shown.get("prio"),
            )
        elif (shown := entry.get("rule")) and shown["chain"] == name:
            rules.append(_rule(shown.get("expr", [])))
    return replace(found, rules=tuple(rules))


def _rule(expressions: list[Json]) -> NatRule:
    rule = NatRule(verdict=Verdict.NOTHING)
    said: list[str] = []
    for expression in expressions:
        for kind, value in expression.items():
            rule = _with(rule, kind, value)
            said += words(kind, value)
    return replace(rule, text=" ".join(said))


def _with(rule: NatRule, kind: str, value: Any) -> NatRule:
    match kind, value:
        case "match", {"op": op, "left": left, "right": right}:
            return _with_match(rule, op, left, right)
        case "xt", {"type": "target", "name": name}:
            return replace(rule, verdict=Verdict.TRANSLATE) if name in _TARGETS else rule
        case "xt", {"name": name}:
            return rule if name == "comment" else replace(rule, is_conditional=True)
        case (("jump" | "goto"), {"target": target}):
            return replace(rule, verdict=Verdict(kind), chain=target)
        case "return", _:
            return replace(rule, verdict=Verdict.RETURN)
        case (("accept" | "drop"), _):
            return replace(rule, verdict=Verdict.END)
        case name, _ if name in _TRANSLATING:
            return replace(rule, verdict=Verdict.TRANSLATE)
        case (("counter" | "mangle" | "log"), _):
            return rule
    return replace(rule, is_conditional=True)


def _with_match(rule: NatRule, op: str, left: Any, right: Any) -> NatRule:
    match left, right:
        case {"payload": {"field": "daddr"}}, ({"prefix": _} | str()) if op in {"==", "!="}:
            if (found := network(right)) is not None and rule.destination is None:
                return replace(rule, destination=px.parse(found), is_elsewhere=op == "!=")
        case {"&": [{"meta": {"key": "mark"}}, int(mask)]}, int(value) if op in {"==", "!="}:
            return replace(rule, mark=(mask, value), is_unmarked=op == "!=")
    return replace(rule, is_conditional=True)


def network(value: Any) -> str | None:
    """An address or prefix in a rule, as text; None for anything else."""
    match value:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{address}/{length}"
        case str(text) if not text.startswith("@"):
            return text
    return None


def words(kind: str, value: Any) -> Iterator[str]:
    """A rule in words, near to what nft itself would print."""
    match kind, value:
        case "match", {"op": op, "left": left, "right": right}:
            yield f"{_side(left)} {'' if op == '==' else op + ' '}{_side(right)}"
        case "xt", {"name": "comment"}:
            return
        case "xt", {"name": name}:
            yield name
        case (("snat" | "masquerade" | "jump" | "goto"), {"addr": to} | {"target": to}):
            yield f"{kind} to {_side(to)}"
        case (("counter" | "mangle" | "log"), _):
            return
        case _:
            yield kind


def _side(value: Any) -> str:
    match value:
        case {"payload": {"protocol": str(protocol), "field": str(field)}}:
            return f"{protocol} {field}"
        case {"meta": {"key": str(key)}}:
            return key
        case {"&": [left, int(mask)]}:
            return f"{_side(left)} & {mask:#x}"
        case {"prefix": _}:
            return str(network(value))
        case int():
            return f"{value:#x}"
        case Mapping():
            return "…"
    return str(value)
