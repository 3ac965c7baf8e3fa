"""Checks as a person reads them: what was looked at, what it is like, and what to do."""

import textwrap
from collections.abc import Sequence

from ncgd.cli.colours import GREEN, RED, YELLOW, paint
from ncgd.decision.preflight.verdict import Check, Verdict

WIDTH = 120
_COLOURS = {Verdict.OK: GREEN, Verdict.WARN: YELLOW, Verdict.FAIL: RED}
_WORDS = {Verdict.OK: "ok", Verdict.WARN: "WARN", Verdict.FAIL: "FAIL"}
_WIDEST_PLACE = 28


def render(checks: Sequence[Check], *, colour: bool = False) -> str:
    """One line for each check, what to do below it, and the sum at the end."""
    name_width = max(len(check.name) for check in checks)
    place_width = min(_WIDEST_PLACE, max(len(check.where) for check in checks))
    lines: list[str] = []
    for check in checks:
        head = f"{check.name:<{name_width}}  {check.where:<{place_width}}  "
        indent = " " * (6 + name_width + 2 + place_width + 2)
        text = (
            head + check.saw
            if len(check.where) <= place_width
            else f"{check.name:<{name_width}}  {check.where}: {check.saw}"
        )
        first, *rest = _wrapped(f"{_WORDS[check.verdict]:<6}{text}", indent)
        word = _WORDS[check.verdict]
        lines += [first.replace(word, paint(word, _COLOURS[check.verdict], colour=colour), 1), *rest]
        if check.todo:
            lines += _wrapped(f"{indent}→ {check.todo}", f"{indent}  ")
    return "\n".join([*lines, "", _sum(checks)])


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _sum(checks: Sequence[Check]) -> str:
    counts = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    if not counts[Verdict.FAIL] and not counts[Verdict.WARN]:
        return f"All {len(checks)} checks are fine."
    return f"{counts[Verdict.FAIL]} failed, {counts[Verdict.WARN]} to know of, {counts[Verdict.OK]} fine."
