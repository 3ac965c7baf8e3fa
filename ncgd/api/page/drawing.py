"""The drawing: our side, the tunnels between, the far side; for wide screens, and upright for phones."""

from collections.abc import Sequence
from dataclasses import dataclass

from ncgd.api.page.markup import Html, tag
from ncgd.api.page.words import Mood, mark, shortened

LANES = 8
"""Drawn one by one; the rest is one line. What does not carry comes first then."""
_BOX, _WIDE, _LANE = 236, 1080, 64
_TALL, _STEP, _RAIL = 360, 90, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One way across. Texts stand left and right of its mark, above and below the line."""

    name: str
    mood: Mood
    width: float
    """Of the line, in pixels: it grows with what passes."""
    is_flowing: bool
    word: str
    """In place of ``above`` where there is little room."""
    above: str
    below: str
    session: str
    session_mood: Mood
    here: str
    there: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One end: what it is called, whose it is, what stands in it, and a list at its foot."""

    title: str
    name: str
    detail: str
    foot: str
    listed: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn. ``rest`` stands for the lanes that are not drawn; ``caption`` says it all in a sentence."""

    here: Side
    there: Side
    lanes: Sequence[Lane]
    rest: str
    caption: str


def draw(scene: Scene) -> Html:
    """Both drawings; the style sheet shows the one that fits."""
    return tag("figure", _wide(scene), _tall(scene), cls="drawing")


def _wide(scene: Scene) -> Html:
    top = 62
    rows = max(1, len(scene.lanes) + bool(scene.rest))
    foot = top + rows * _LANE
    height = foot + 24 + 18 * max(1, len(scene.here.listed), len(scene.there.listed)) + 8
    left, right = _BOX, _WIDE - _BOX
    parts = [_box(0, 0, _BOX, height, scene.here), _box(right, 0, _BOX, height, scene.there)]
    for number, lane in enumerate(scene.lanes):
        y = top + number * _LANE + _LANE // 2
        parts.append(_line(f"M{left} {y}H{right}", lane))
        parts += [tag("circle", cx=x, cy=y, r=5, cls=f"port {lane.mood}") for x in (left, right)]
        parts.append(mark(lane.mood, 22, x=(left + right) / 2 - 11, y=y - 11))
        parts += [
            _words(left - 14, y + 4, lane.here, "mono soft", anchor="end", most=22),
            _words(right + 14, y + 4, lane.there, "mono soft", most=24),
            _words(left + 18, y - 11, lane.name, "strong", most=34),
            _words(right - 18, y - 11, lane.above, f"num {lane.mood}", anchor="end", most=36),
            _words(left + 18, y + 20, lane.below, "num soft", most=44),
            _words(right - 18, y + 20, lane.session, f"num {lane.session_mood}", anchor="end", most=44),
        ]
    if scene.rest:
        middle = top + len(scene.lanes) * _LANE + _LANE // 2
        parts.append(_words((left + right) / 2, middle + 4, scene.rest, "soft", anchor="middle", most=70))
    parts += [_foot(18, foot + 14, scene.here), _foot(right + 18, foot + 14, scene.there)]
    return _canvas("wide", _WIDE, height, scene.caption, parts)


def _tall(scene: Scene) -> Html:
    lanes = scene.lanes
    here_height, there_height = (82 + 18 * len(side.listed) for side in (scene.here, scene.there))
    top = here_height + 8
    bottom = top + _STEP * max(1, len(lanes) + bool(scene.rest))
    parts = [
        _box(0, 0, _TALL, here_height, scene.here),
        _foot(18, 72, scene.here),
        _box(0, bottom, _TALL, there_height, scene.there),
        _foot(18, bottom + 72, scene.there),
    ]
    inset = 14 + _RAIL * max(0, len(lanes) - 1)
    for number, lane in enumerate(lanes):
        y = top + number * _STEP + 34
        # The first lane turns off first: its rails are the innermost on our side, the outermost on the other.
        left, right = inset - _RAIL * number, _TALL - 14 - _RAIL * number
        path = f"M{left} {here_height}V{y - 6}q0 6 6 6H{right - 6}q6 0 6 6V{bottom}"
        start, end = inset + 12, _TALL - inset - 10
        parts.append(_line(path, lane))
        parts.append(mark(lane.mood, 22, x=_TALL / 2 - 11, y=y - 11))
        above = lane.above if lane.mood == Mood.GOOD else lane.word
        parts += [
            _words(start, y - 12, lane.name, "strong", most=15),
            _words(end, y - 12, above, f"num {lane.mood}", anchor="end", most=20),
            _words(start, y + 21, lane.below, "num soft", most=44),
            _words(start, y + 38, lane.session, f"num {lane.session_mood}", most=44),
        ]
    if scene.rest:
        middle = top + len(lanes) * _STEP + 40
        parts.append(_words((_TALL - inset) / 2, middle, scene.rest, "soft", anchor="middle", most=44))
    return _canvas("tall", _TALL, bottom + there_height, scene.caption, parts)


def _canvas(cls: str, width: int, height: int, caption: str, parts: Sequence[Html]) -> Html:
    return tag("svg", *parts, cls=cls, viewBox=f"-2 -2 {width + 4} {height + 4}", role="img", aria_label=caption)


def _box(x: int, y: int, width: int, height: int, side: Side) -> Html:
    return tag(
        "g",
        tag("rect", x=x, y=y, width=width, height=height, rx=12, cls="side"),
        _words(x + 18, y + 23, side.title, "label"),
        _words(x + 18, y + 44, side.name, "name", most=24),
        _words(x + width - 18, y + 23, side.detail, "soft", anchor="end", most=24),
    )


def _foot(x: int, y: int, side: Side) -> Html:
    lines = [_words(x, y + 18 + 18 * number, text, "mono", most=28) for number, text in enumerate(side.listed)]
    return tag("g", _words(x, y, side.foot, "soft", most=34), *lines)


def _line(path: str, lane: Lane) -> Html:
    parts = [tag("path", d=path, cls=f"tunnel {lane.mood}", stroke_width=lane.width)]
    if lane.is_flowing:
        parts.append(tag("path", d=path, cls="flow"))
    return tag("g", *parts)


def _words(x: float, y: float, text: str, cls: str, *, anchor: str | None = None, most: int = 60) -> Html:
    """A line of text; what is cut off is in its tooltip."""
    short = shortened(text, most)
    tooltip = tag("title", text) if short != text else None
    return tag("text", short, tooltip, x=float(x), y=float(y), cls=cls, text_anchor=anchor)
