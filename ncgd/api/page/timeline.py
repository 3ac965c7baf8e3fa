"""What happened of late, newest first."""

from collections.abc import Iterator
from itertools import groupby, islice

from ncgd.api.page.markup import Html, Part, tag
from ncgd.api.page.view import View, named
from ncgd.api.page.words import Mood, mark
from ncgd.model.happening import Entry

SHOWN, MOST_SHOWN = 20, 200
"""At first, and when all are asked for; there are more at ``/v1/events``."""
MESSAGE_CHARACTERS = 220


def timeline(view: View) -> Html:
    """A list of entries for each day."""
    entries = list(islice(view.timeline.newest_first(), MOST_SHOWN if view.is_whole else SHOWN))
    days = [(day, [_entry(each) for each in some]) for day, some in groupby(entries, lambda each: each.last_time[:10])]
    parts: list[Part] = [tag("p", "nothing yet", cls="soft")] if not days else []
    for day, items in days:
        parts += [tag("h3", day, cls="day") if day != view.now[:10] else None, tag("ol", *items)]
    more = tag("a", "show all", href="/?all=1#timeline") if len(entries) == SHOWN and not view.is_whole else None
    return tag("section", tag("h2", "What happened"), *parts, more, cls="timeline", id="timeline")


def _entry(entry: Entry) -> Html:
    happening = entry.happening
    text = happening.message
    is_cut = len(text) > MESSAGE_CHARACTERS
    return tag(
        "li",
        mark(_mood(entry), 14),
        tag("time", entry.last_time[11:19], datetime=entry.last_time),
        tag("p", tag("b", happening.reason), " ", *_who(entry)),
        tag("p", f"{text[:MESSAGE_CHARACTERS]}…" if is_cut else text, cls="soft", title=text if is_cut else None),
    )


def _who(entry: Entry) -> Iterator[Part]:
    yield named(entry.happening.object)[0]
    if entry.count > 1:
        yield tag("span", f" {entry.count} times", cls="soft")


def _mood(entry: Entry) -> Mood:
    reason = entry.happening.reason
    if entry.happening.is_warning:
        return Mood.WARN
    return Mood.GOOD if reason.endswith(("Up", "Healthy")) or reason == "Solved" else Mood.IDLE
