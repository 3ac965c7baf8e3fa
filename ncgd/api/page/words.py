"""Numbers as people read them, and the four moods, each with a colour, a shape and a word."""

from enum import StrEnum

from ncgd.api.page.markup import Html, Part, tag

NOTHING = "—"
"""Stands where there is no value."""


class Mood(StrEnum):
    """How good a thing is; also its class in the style sheet."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    IDLE = "idle"


_DISC = "M8 .8a7.2 7.2 0 1 1 0 14.4A7.2 7.2 0 0 1 8 .8Z"
_TRIANGLE = "M6.8 1.6a1.4 1.4 0 0 1 2.4 0l6 11.1c.5 1-.1 2.1-1.2 2.1H2c-1.1 0-1.7-1.1-1.2-2.1Z"
_SQUARE = (
    "M3.3.9h9.4a2.4 2.4 0 0 1 2.4 2.4v9.4a2.4 2.4 0 0 1-2.4 2.4H3.3a2.4 2.4 0 0 1-2.4-2.4V3.3A2.4 2.4 0 0 1 3.3.9Z"
)
_SHAPES = {
    Mood.GOOD: (_DISC, "m4.7 8.3 2.2 2.3 4.4-4.9"),
    Mood.WARN: (_TRIANGLE, "M8 5.4v4M8 12v.1"),
    Mood.BAD: (_SQUARE, "m5.3 5.3 5.4 5.4m0-5.4-5.4 5.4"),
    Mood.IDLE: (_DISC, "M5 8h6"),
}
"""Body and sign. Told apart without colour: disc with a tick, triangle, square with a cross, disc with a dash."""


def mark(mood: Mood, size: int = 16, *, x: float | None = None, y: float | None = None) -> Html:
    """The shape of a mood, drawn; ``x`` and ``y`` inside another drawing. The word beside it says the same."""
    return tag(
        "svg",
        tag("use", href=f"#{mood}"),
        cls=f"mark {mood}",
        width=size,
        height=size,
        x=x,
        y=y,
        aria_hidden="true",
    )


def shapes() -> Html:
    """What ``mark`` refers to; once in a page."""
    symbols = [
        tag("symbol", tag("path", d=body, cls="body"), tag("path", d=sign, cls="sign"), id=mood, viewBox="0 0 16 16")
        for mood, (body, sign) in _SHAPES.items()
    ]
    return tag("svg", *symbols, cls="shapes", aria_hidden="true")


def icon(mood: Mood) -> str:
    """The shape of a mood as a picture of its own, for the browser's tab."""
    colour = {Mood.GOOD: "#0b7a5b", Mood.WARN: "#c77700", Mood.BAD: "#c0281c", Mood.IDLE: "#6b7786"}[mood]
    body, sign = _SHAPES[mood]
    line = "fill='none' stroke='#fff' stroke-width='1.8' stroke-linecap='round' stroke-linejoin='round'"
    drawn = f"<path d='{body}' fill='{colour}'/><path d='{sign}' {line}/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{drawn}</svg>"


def state(mood: Mood, word: Part) -> Html:
    """A word with the shape of its mood."""
    return tag("span", mark(mood), tag("span", word), cls=f"state {mood}")


def rate(bytes_per_second: float | None) -> str:
    """``1.2 Mbit/s``; a dash while it is not known."""
    if bytes_per_second is None:
        return NOTHING
    bits = bytes_per_second * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits < 999.5:
            return f"{bits:.0f} {unit}" if bits >= 99.5 or unit == "bit/s" else f"{bits:.1f} {unit}"
        bits /= 1000
    return f"{bits:.1f} Gbit/s"


def amount(count: float) -> str:
    """``1.5 GB``; decimal, as rates are."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``5 d 4 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def milliseconds(seconds: float | None) -> str:
    """``1.8 ms``; a dash without an answer."""
    if seconds is None:
        return NOTHING
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 99.5 else f"{value:.1f} ms"


def count(number: int, thing: str, things: str = "") -> str:
    """``1 tunnel``, ``2 tunnels``, ``12 345 prefixes``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}".replace(",", "\u202f")


def shortened(text: str, most: int) -> str:
    """At most that many characters, its middle left out."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
