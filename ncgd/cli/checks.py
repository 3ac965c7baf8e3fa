"""Checks as a person reads them: what was looked at, what it is like, and what to do."""

import textwrap
from collections.abc import Sequence
from typing import TextIO

from ncgd.cli.colours import GREEN, RED, YELLOW, are_wanted, paint
from ncgd.cli.table import room
from ncgd.decision.preflight.verdict import Check, Verdict

WIDTH = 120
_COLOURS = {Verdict.OK: GREEN, Verdict.WARN: YELLOW, Verdict.FAIL: RED}
_WORDS = {Verdict.OK: "ok", Verdict.WARN: "WARN", Verdict.FAIL: "FAIL"}
_WIDEST_PLACE = 28


def render(checks: Sequence[Check], stream: TextIO, most: int = WIDTH) -> str:
    """One line for each check, what to do below it, and the sum at the end; as it is to look there.

    ``most``: columns, where there are so many.
    """
    colour, width = are_wanted(stream), room(stream, most)
    name_width = max(len(check.name) for check in checks)
    place_width = max((len(check.where) for check in checks if len(check.where) <= _WIDEST_PLACE), default=0)
    lines: list[str] = []
    for check in checks:
        head = f"{check.name:<{name_width}}  {check.where:<{place_width}}  "
        indent = " " * min(6 + name_width + 2 + place_width + 2, width // 2)
        text = (
            head + check.saw
            if len(check.where) <= place_width
            else f"{check.name:<{name_width}}  {check.where}: {check.saw}"
        )
        first, *rest = _wrapped(f"{_WORDS[check.verdict]:<6}{text}", indent, width)
        word = _WORDS[check.verdict]
        lines += [first.replace(word, paint(word, _COLOURS[check.verdict], colour=colour), 1), *rest]
        if check.todo:
            lines += _wrapped(f"{indent}→ {check.todo}", f"{indent}  ", width)
    return "\n".join([*lines, "", _sum(checks)])


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _sum(checks: Sequence[Check]) -> str:
    counts = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    if not counts[Verdict.FAIL] and not counts[Verdict.WARN]:
        return f"All {len(checks)} checks are fine."
    return f"{counts[Verdict.FAIL]} failed, {counts[Verdict.WARN]} to know of, {counts[Verdict.OK]} fine."
