"""The filter table of iptables-legacy, as ``iptables-legacy-save`` prints it. Pure."""

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from ncgd.model import prefix as px
from ncgd.model.filter import Condition, Fate, FilterChain, FilterRule

_BASE = "FORWARD"
_FATES = {"ACCEPT": Fate.ACCEPT, "DROP": Fate.DROP, "REJECT": Fate.DROP, "RETURN": Fate.RETURN}
_TARGETS = frozenset({"MARK", "CONNMARK", "LOG", "NFLOG", "TCPMSS"})
"""What lets the next rule be asked."""
_FIELDS = {"-i": "iif", "-o": "oif", "-s": "source", "-d": "destination"}
_STATES = frozenset({"--ctstate", "--state"})
_CHAINS_READ = 256


def chains(saved: str, version: int) -> list[FilterChain]:
    """FORWARD and the chains that it leads to."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    drops_rest = False
    for line in saved.splitlines():
        if line.startswith("-A "):
            name, _, rest = line[3:].partition(" ")
            lines[name].append(rest)
        elif line.startswith(f":{_BASE} "):
            drops_rest = line.split()[1] == "DROP"
    found: dict[str, FilterChain] = {}
    waiting = [_BASE]
    while waiting and len(found) < _CHAINS_READ:
        name = waiting.pop()
        if name in found:
            continue
        rules = tuple(map(_rule, lines[name]))
        is_base = name == _BASE
        found[name] = FilterChain(
            table="iptables-legacy filter",
            name=name,
            version=version,
            priority=0 if is_base else None,
            drops_rest=drops_rest and is_base,
            rules=rules,
        )
        waiting += [rule.chain for rule in rules if rule.chain]
    return list(found.values())


def _rule(text: str) -> FilterRule:
    rule = FilterRule(fate=Fate.NOTHING, text=text)
    words = iter(shlex.split(text))
    is_negated = False
    for word in words:
        match word:
            case "!":
                is_negated = True
                continue
            case "-i" | "-o" | "-s" | "-d":
                condition = Condition(field=_FIELDS[word], values=(_value(word, next(words)),), is_negated=is_negated)
                rule = replace(rule, conditions=(*rule.conditions, condition))
            case "-j" | "-g":
                return _with_target(rule, next(words), is_goto=word == "-g")
            case "-m":
                rule = _with_match(rule, next(words), words)
            case _:
                rule = replace(rule, is_conditional=True)
        is_negated = False
    return rule


def _value(option: str, text: str) -> str | px.Prefix:
    if option in {"-s", "-d"}:
        return px.parse(text)
    return f"{text[:-1]}*" if text.endswith("+") else text


def _with_match(rule: FilterRule, module: str, words: Iterator[str]) -> FilterRule:
    if module == "comment":
        next(words), next(words)
        return rule
    if module in {"conntrack", "state"} and next(words) in _STATES:
        states = tuple(each.lower() for each in next(words).split(","))
        return replace(rule, conditions=(*rule.conditions, Condition(field="state", values=states)))
    return replace(rule, is_conditional=True)


def _with_target(rule: FilterRule, target: str, *, is_goto: bool) -> FilterRule:
    if fate := _FATES.get(target):
        return replace(rule, fate=fate)
    if target in _TARGETS:
        return rule
    return replace(rule, fate=Fate.GOTO if is_goto else Fate.JUMP, chain=target)
