"""What is wrong, the root cause first, and what to do about it; the same thing wrong with many objects is said once."""

import re
from collections.abc import Iterator, Sequence

from ncgd.api.page.markup import Html, Part, tag
from ncgd.api.page.view import View, asking, named
from ncgd.api.page.words import Mood, mark
from ncgd.model.report import Problem

_COMMAND = re.compile(r"ncgctl explain (\S+[\w])")
NAMED = 6
"""Objects of one problem that are named; the rest is counted."""


def problems(view: View) -> Html | None:
    """A card for each kind of problem; nothing when there is none."""
    found = view.report.problems
    if not found:
        return None
    alike: dict[tuple[str, str, bool], list[Problem]] = {}
    for problem in found:
        alike.setdefault((problem.reason, problem.hint, problem.is_error), []).append(problem)
    cls = "badge" if any(problem.is_error for problem in found) else "badge warn"
    title = tag("h2", "Problems ", tag("span", len(found), cls=cls))
    return tag("section", title, tag("ol", *map(_card, alike.values())), cls="problems", id="problems")


def _card(alike: Sequence[Problem]) -> Html:
    first = alike[0]
    name, kind = named(first.object)
    if len(alike) > 1:
        name, kind = None, f"{len(alike)} {kind}s" if kind else f"{len(alike)} times"
    severity = "error" if first.is_error else "warning"
    about = tag("span", f"{kind}, {severity}" if kind else severity, cls="kind")
    hint = tag("p", tag("b", "What to do: "), *_linked(first.hint), cls="hint") if first.hint else None
    mood = Mood.BAD if first.is_error else Mood.WARN
    heading = tag("h3", tag("span", name) if name else None, tag("code", first.reason), about)
    return tag("li", mark(mood, 20), tag("div", heading, *_messages(alike), hint), cls=mood)


def _linked(hint: str) -> Iterator[Part]:
    """The page answers itself what a hint would have asked ncgctl."""
    said = 0
    for found in _COMMAND.finditer(hint):
        yield hint[said : found.start()]
        yield tag("a", found[0], href=asking(found[1]))
        said = found.end()
    yield hint[said:]


def _messages(alike: Sequence[Problem]) -> list[Html]:
    if len(alike) == 1:
        return [tag("p", alike[0].message)]
    told = [tag("p", named(each.object)[0], ": ", each.message) for each in alike[:NAMED]]
    return told if len(alike) <= NAMED else [*told, tag("p", f"and {len(alike) - NAMED} more", cls="soft")]
