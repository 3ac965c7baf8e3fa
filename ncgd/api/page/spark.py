"""Sparklines: the last minutes of a tunnel, small enough for a table."""

from collections.abc import Iterable, Sequence

from ncgd.api.history import SLOTS, Sample
from ncgd.api.page.markup import Html, tag

_WIDTH, _HEIGHT = 2 * SLOTS, 34
_MIDDLE = _HEIGHT // 2


def traffic(samples: Sequence[Sample], caption: str) -> Html:
    """What went out above the middle, what came in below it, both to one scale."""
    most = max([1.0, *(max(each.rate_in, each.rate_out) for each in samples)])
    reach = _MIDDLE - 1
    out = [round(each.rate_out / most * reach) for each in samples]
    in_ = [round(each.rate_in / most * reach) for each in samples]
    parts = [
        *_outages(samples),
        tag("path", d=_area(out, -1), cls="out"),
        tag("path", d=_area(in_, 1), cls="in"),
        tag("path", d=f"M0 {_MIDDLE}H{_WIDTH}", cls="axis"),
    ]
    return _canvas(parts, caption)


def round_trip(samples: Sequence[Sample], caption: str) -> Html:
    """How long answers took, from 0 up; a gap where none came."""
    times = [each.rtt_seconds for each in samples]
    most = max([1e-6, *(each for each in times if each is not None)])
    heights = [None if each is None else round(each / most * (_HEIGHT - 6)) for each in times]
    parts = [
        *_outages(samples),
        tag("path", d=f"M0 {_HEIGHT - 1}H{_WIDTH}", cls="axis"),
        tag("path", d=_line(heights), cls="rtt"),
    ]
    return _canvas(parts, caption)


def _canvas(parts: Iterable[Html], caption: str) -> Html:
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return tag("svg", tag("title", caption), *parts, cls="spark", viewBox=box, preserveAspectRatio="none", role="img")


def _start(samples: Sequence[object]) -> int:
    """Where the oldest sample stands: the newest is at the right edge."""
    return _WIDTH - 2 * len(samples)


def _outages(samples: Sequence[Sample]) -> Iterable[Html]:
    """A band behind each run of slots in which the tunnel did not carry."""
    x = _start(samples)
    run = 0
    for sample in (*samples, None):
        if sample is not None and not sample.is_usable:
            run += 2
        elif run:
            yield tag("rect", x=x - run, y=0, width=run, height=_HEIGHT, cls="outage")
            run = 0
        x += 2


def _area(heights: Sequence[int], sign: int) -> str:
    """Steps on the middle, closed; ``sign`` -1 points up."""
    if not any(heights):
        return ""
    steps, level = [f"M{_start(heights)} {_MIDDLE}"], 0
    flat = 0
    for height in heights:
        if height != level:
            steps.append((f"h{flat}" if flat else "") + f"v{sign * (height - level)}")
            flat, level = 0, height
        flat += 2
    return "".join([*steps, f"h{flat}", f"v{-sign * level}" if level else "", "Z"])


def _line(heights: Sequence[int | None]) -> str:
    x, parts, is_drawn = _start(heights), list[str](), False
    for height in heights:
        if height is not None:
            parts.append(f"{'L' if is_drawn else 'M'}{x} {_HEIGHT - 2 - height}" + ("" if is_drawn else "h1"))
        is_drawn = height is not None
        x += 2
    return "".join(parts)
