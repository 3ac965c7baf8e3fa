"""Other programs' chains in iptables-legacy, as ``iptables-legacy-save`` prints a table. Pure."""

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Condition, Fate, Hook, Rule

TARGETS = {
    "ACCEPT": Fate.ACCEPT,
    "DROP": Fate.DROP,
    "REJECT": Fate.DROP,
    "RETURN": Fate.RETURN,
    "MASQUERADE": Fate.TRANSLATE,
    "SNAT": Fate.TRANSLATE,
    "NETMAP": Fate.TRANSLATE,
}
"""Of iptables."""
_PASSING_ON = frozenset({"MARK", "CONNMARK", "LOG", "NFLOG", "TCPMSS"})
"""Targets after which the next rule is asked."""
_FIELDS = {"-i": "iif", "-o": "oif", "-s": "source", "-d": "destination"}
_STATES = frozenset({"--ctstate", "--state"})
_CHAINS_READ = 256


def chains(saved: str, version: int, hook: Hook) -> list[Chain]:
    """The hook's chain and those that it leads to. Tables may have thousands of rules for Services beside them."""
    base = hook.name.upper()
    lines: defaultdict[str, list[str]] = defaultdict(list)
    drops_rest = False
    for line in saved.splitlines():
        if line.startswith("-A "):
            name, _, rest = line[3:].partition(" ")
            lines[name].append(rest)
        elif line.startswith(f":{base} "):
            drops_rest = line.split()[1] == "DROP"
    found: dict[str, Chain] = {}
    waiting = [base]
    while waiting and len(found) < _CHAINS_READ:
        name = waiting.pop()
        if name in found:
            continue
        rules = tuple(map(_rule, lines[name]))
        found[name] = Chain(
            table=f"iptables-legacy {hook.type}",
            name=name,
            version=version,
            priority=hook.priority if name == base else None,
            drops_rest=drops_rest and name == base,
            rules=rules,
        )
        waiting += [rule.chain for rule in rules if rule.chain]
    return list(found.values())


def _rule(text: str) -> Rule:
    rule = Rule(text=text)
    words = iter(shlex.split(text))
    is_negated = False
    for word in words:
        match word:
            case "!":
                is_negated = True
                continue
            case "-i" | "-o" | "-s" | "-d":
                rule = _with_field(rule, word, next(words), is_negated=is_negated)
            case "-j" | "-g":
                return _with_target(rule, next(words), is_goto=word == "-g")
            case "-m":
                rule = _with_match(rule, next(words), words)
            case _:
                rule = replace(rule, is_conditional=True)
        is_negated = False
    return rule


def _with_field(rule: Rule, option: str, text: str, *, is_negated: bool) -> Rule:
    value: str | px.Prefix = f"{text[:-1]}*" if text.endswith("+") else text
    if option in {"-s", "-d"}:
        try:
            value = px.parse(text)
        except ValueError:  # a mask that is no prefix's
            return replace(rule, is_conditional=True)
    return _with_condition(rule, _FIELDS[option], value, is_negated=is_negated)


def _with_match(rule: Rule, module: str, words: Iterator[str]) -> Rule:
    if module == "comment":
        next(words), next(words)
        return rule
    if module == "mark":
        is_negated = next(words) == "!"
        if is_negated:
            next(words)
        value, _, _ = next(words).partition("/")
        return _with_condition(rule, "mark", hex(int(value, 16)), is_negated=is_negated)
    if module in {"conntrack", "state"} and next(words) in _STATES:
        return _with_condition(rule, "state", *next(words).lower().split(","))
    return replace(rule, is_conditional=True)


def _with_condition(rule: Rule, field: str, *values: str | px.Prefix, is_negated: bool = False) -> Rule:
    condition = Condition(field=field, values=values, is_negated=is_negated)
    return replace(rule, conditions=(*rule.conditions, condition))


def _with_target(rule: Rule, target: str, *, is_goto: bool) -> Rule:
    if fate := TARGETS.get(target):
        return replace(rule, fate=fate)
    if target in _PASSING_ON:
        return rule
    return replace(rule, fate=Fate.GOTO if is_goto else Fate.JUMP, chain=target)
