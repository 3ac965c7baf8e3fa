"""Other programs' chains at forward, as ``nft -j`` shows them, iptables-nft's among them. Pure."""

from dataclasses import replace
from typing import Any

import msgspec

from ncgd.drivers.nftables.nat_chains import OURS, VERSIONS, network, words
from ncgd.model import prefix as px
from ncgd.model.filter import Condition, Fate, FilterChain, FilterRule

Json = dict[str, Any]
_FIELDS = {"saddr": "source", "daddr": "destination"}
_INTERFACES = {"iifname": "iif", "iif": "iif", "oifname": "oif", "oif": "oif"}
_TARGETS = {"REJECT": Fate.DROP, "DROP": Fate.DROP, "ACCEPT": Fate.ACCEPT}
_IPTABLES = frozenset({"filter", "mangle", "security"})
"""Names that iptables-nft gives its tables."""


def bases(listing: bytes) -> list[Json]:
    """The base chains that may drop what passes through, in ``nft -j list chains``; without ours."""
    chains = (entry["chain"] for entry in msgspec.json.decode(listing)["nftables"] if "chain" in entry)
    return [
        chain
        for chain in chains
        if chain.get("hook") == "forward"
        and chain["family"] in {"ip", "ip6", "inet"}
        and not f"{chain['table']}_".startswith(OURS)
    ]


def chain(listing: bytes, name: str) -> FilterChain:
    """One chain, in ``nft -j list chain``."""
    found = FilterChain(table="", name=name)
    rules = []
    for entry in msgspec.json.decode(listing)["nftables"]:
        if (shown := entry.get("chain")) and shown["name"] == name:
            is_iptables = shown["table"] in _IPTABLES and shown["family"] in VERSIONS
            found = replace(
                found,
                table=f"{'iptables-nft' if is_iptables else 'nftables'} {shown['family']} {shown['table']}",
                version=VERSIONS.get(shown["family"]),
                priority=shown.get("prio"),
                drops_rest=shown.get("policy") == "drop",
            )
        elif (shown := entry.get("rule")) and shown["chain"] == name:
            rules.append(_rule(shown.get("expr", [])))
    return replace(found, rules=tuple(rules))


def _rule(expressions: list[Json]) -> FilterRule:
    rule = FilterRule(fate=Fate.NOTHING)
    text: list[str] = []
    for expression in expressions:
        for kind, value in expression.items():
            rule = _with(rule, kind, value)
            text += words(kind, value)
    return replace(rule, text=" ".join(text))


def _with(rule: FilterRule, kind: str, value: Any) -> FilterRule:
    match kind, value:
        case "match", {"op": op, "left": left, "right": right}:
            condition = _condition(op, left, right)
            if condition is None:
                return replace(rule, is_conditional=True)
            return replace(rule, conditions=(*rule.conditions, condition))
        case "xt", {"type": "target", "name": name}:
            return replace(rule, fate=_TARGETS[name]) if name in _TARGETS else rule
        case "xt", {"name": name}:
            return rule if name == "comment" else replace(rule, is_conditional=True)
        case (("jump" | "goto"), {"target": target}):
            return replace(rule, fate=Fate(kind), chain=target)
        case "return", _:
            return replace(rule, fate=Fate.RETURN)
        case "accept", _:
            return replace(rule, fate=Fate.ACCEPT)
        case (("drop" | "reject"), _):
            return replace(rule, fate=Fate.DROP)
        case (("counter" | "mangle" | "log" | "flow"), _):
            return rule
    return replace(rule, is_conditional=True)


def _condition(op: str, left: Any, right: Any) -> Condition | None:
    """None for what cannot be judged beforehand."""
    values = _values(right)
    if op not in {"==", "!=", "in"} or values is None:
        return None
    is_negated = op == "!="
    match left:
        case {"meta": {"key": str(key)}} if key in _INTERFACES:
            return Condition(field=_INTERFACES[key], values=tuple(map(str, values)), is_negated=is_negated)
        case {"payload": {"field": str(key), "protocol": "ip" | "ip6"}} if key in _FIELDS:
            networks = [network(each) for each in values]
            if all(networks):
                prefixes = tuple(px.parse(each) for each in networks if each)
                return Condition(field=_FIELDS[key], values=prefixes, is_negated=is_negated)
        case {"ct": {"key": "state"}}:
            return Condition(field="state", values=tuple(map(str, values)), is_negated=is_negated)
    return None


def _values(right: Any) -> list[Any] | None:
    match right:
        case {"set": [*values]} | [*values]:
            return values
        case {"set": value}:
            return [value]
        case str() as text if text.startswith("@"):
            return None
    return [right]
