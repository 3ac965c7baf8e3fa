"""Other programs' chains, as ``nft -j`` shows them, iptables-nft's among them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from ncgd.drivers.nftables.others_text import TARGETS
from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Condition, Fate, Hook, Rule

Json = dict[str, Any]
_OURS = "ncgd_"
_VERSIONS = {"ip": 4, "ip6": 6}
_FIELDS = {"saddr": "source", "daddr": "destination"}
_INTERFACES = {"iifname": "iif", "iif": "iif", "oifname": "oif", "oif": "oif"}
_IPTABLES = frozenset({"filter", "mangle", "nat", "security"})
"""Names that iptables-nft gives its tables."""


def bases(listing: bytes, hook: Hook) -> list[Json]:
    """The base chains that are asked there, in ``nft -j list chains``; without ours."""
    chains = (entry["chain"] for entry in msgspec.json.decode(listing)["nftables"] if "chain" in entry)
    return [
        chain
        for chain in chains
        if (chain.get("type"), chain.get("hook")) == (hook.type, hook.name)
        and chain["family"] in {"ip", "ip6", "inet"}
        and not f"{chain['table']}_".startswith(_OURS)
    ]


def chain(listing: bytes, name: str) -> Chain:
    """One chain, in ``nft -j list chain``."""
    found = Chain(table="", name=name)
    rules = []
    for entry in msgspec.json.decode(listing)["nftables"]:
        if (shown := entry.get("chain")) and shown["name"] == name:
            is_iptables = shown["table"] in _IPTABLES and shown["family"] in _VERSIONS
            found = replace(
                found,
                table=f"{'iptables-nft' if is_iptables else 'nftables'} {shown['family']} {shown['table']}",
                version=_VERSIONS.get(shown["family"]),
                priority=shown.get("prio"),
                drops_rest=shown.get("policy") == "drop",
            )
        elif (shown := entry.get("rule")) and shown["chain"] == name:
            rules.append(_rule(shown.get("expr", [])))
    return replace(found, rules=tuple(rules))


def _rule(expressions: list[Json]) -> Rule:
    rule = Rule()
    said: list[str] = []
    for expression in expressions:
        for kind, value in expression.items():
            rule = _with(rule, kind, value)
            said += _words(kind, value)
    return replace(rule, text=" ".join(said))


def _with(rule: Rule, kind: str, value: Any) -> Rule:
    match kind, value:
        case "match", {"op": op, "left": left, "right": right}:
            condition = _condition(op, left, right)
            if condition is None:
                return replace(rule, is_conditional=True)
            return replace(rule, conditions=(*rule.conditions, condition))
        case "xt", {"type": "target", "name": name}:
            return replace(rule, fate=TARGETS.get(name, rule.fate))
        case "xt", {"name": name}:
            return rule if name == "comment" else replace(rule, is_conditional=True)
        case (("jump" | "goto"), {"target": target}):
            return replace(rule, fate=Fate(kind), chain=target)
        case (("return" | "accept" | "drop"), _):
            return replace(rule, fate=Fate(kind))
        case "reject", _:
            return replace(rule, fate=Fate.DROP)
        case (("masquerade" | "snat"), _):
            return replace(rule, fate=Fate.TRANSLATE)
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
            networks = [_network(each) for each in values]
            if all(networks):
                prefixes = tuple(px.parse(each) for each in networks if each)
                return Condition(field=_FIELDS[key], values=prefixes, is_negated=is_negated)
        case {"&": [{"meta": {"key": "mark"}}, int()]} if all(isinstance(each, int) for each in values):
            return Condition(field="mark", values=tuple(map(hex, values)), is_negated=is_negated)
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


def _network(value: Any) -> str | None:
    """An address or prefix in a rule, as text; None for anything else."""
    match value:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{address}/{length}"
        case str(text) if not text.startswith("@"):
            return text
    return None


def _words(kind: str, value: Any) -> Iterator[str]:
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
            return str(_network(value))
        case int():
            return f"{value:#x}"
        case Mapping():
            return "…"
    return str(value)
