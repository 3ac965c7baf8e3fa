"""The nat table of iptables-legacy, as ``iptables-legacy-save`` prints it. Pure."""

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from ncgd.model import prefix as px
from ncgd.model.masquerade import NatChain, NatRule, Verdict

_BASE = "POSTROUTING"
_PRIORITY = 100
"""NF_IP_PRI_NAT_SRC, where the kernel puts that chain."""
_VERDICTS = {
    "MASQUERADE": Verdict.TRANSLATE,
    "SNAT": Verdict.TRANSLATE,
    "NETMAP": Verdict.TRANSLATE,
    "RETURN": Verdict.RETURN,
    "ACCEPT": Verdict.END,
    "DROP": Verdict.END,
}
_TARGETS = frozenset({"MARK", "CONNMARK", "LOG", "NFLOG"})
"""What lets the next rule be asked."""
_CHAINS_READ = 256


def chains(saved: str, version: int) -> list[NatChain]:
    """POSTROUTING and the chains that it leads to. Tables may have thousands of rules for Services beside them."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for line in saved.splitlines():
        if line.startswith("-A "):
            name, _, rest = line[3:].partition(" ")
            lines[name].append(rest)
    found: dict[str, NatChain] = {}
    waiting = [_BASE]
    while waiting and len(found) < _CHAINS_READ:
        name = waiting.pop()
        if name in found:
            continue
        rules = tuple(map(_rule, lines[name]))
        priority = _PRIORITY if name == _BASE else None
        found[name] = NatChain(table="iptables-legacy nat", name=name, version=version, priority=priority, rules=rules)
        waiting += [rule.chain for rule in rules if rule.chain]
    return list(found.values())


def _rule(text: str) -> NatRule:
    rule = NatRule(verdict=Verdict.NOTHING, text=text)
    words = iter(shlex.split(text))
    is_negated = False
    for word in words:
        match word:
            case "!":
                is_negated = True
                continue
            case "-d":
                rule = replace(rule, destination=px.parse(next(words)), is_elsewhere=is_negated)
            case "-j" | "-g":
                return _with_target(rule, next(words), is_goto=word == "-g")
            case "-m":
                rule = _with_match(rule, next(words), words)
            case _:
                rule = replace(rule, is_conditional=True)
        is_negated = False
    return rule


def _with_match(rule: NatRule, module: str, words: Iterator[str]) -> NatRule:
    if module == "comment":
        next(words), next(words)
        return rule
    if module == "mark":
        option = next(words)
        is_unmarked = option == "!"
        if is_unmarked:
            next(words)
        value, _, mask = next(words).partition("/")
        return replace(rule, mark=(int(mask or "0xffffffff", 16), int(value, 16)), is_unmarked=is_unmarked)
    return replace(rule, is_conditional=True)


def _with_target(rule: NatRule, target: str, *, is_goto: bool) -> NatRule:
    if verdict := _VERDICTS.get(target):
        return replace(rule, verdict=verdict)
    if target in _TARGETS:
        return rule
    return replace(rule, verdict=Verdict.GOTO if is_goto else Verdict.JUMP, chain=target)
