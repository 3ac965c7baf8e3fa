"""HTML and SVG as values. What is not markup already is escaped, so no name or message can become markup."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is markup."""

    __slots__ = ()


Part = str | int | None | Iterable["Part"]
"""What can stand in an element: text, numbers, markup, nothing, or several of these."""
_VOID = frozenset({"meta", "link", "input", "br"})
"""Elements without an end tag (HTML, section 13.1.2)."""


def tag(element: str, *parts: Part, **attributes: str | float | bool | None) -> Html:
    """An element. ``cls`` stands for ``class``, ``_`` for ``-``; an attribute that is None or False is left out."""
    written = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{join(parts)}</{element}>")


def join(parts: Iterable[Part]) -> Html:
    """Parts one after the other."""
    return Html("".join(map(_markup, parts)))


def _markup(part: Part) -> str:
    if isinstance(part, Html):
        return part
    if isinstance(part, str):
        return escape(part, quote=False)
    if part is None:
        return ""
    return str(part) if isinstance(part, int) else join(part)


def _name(name: str) -> str:
    return "class" if name == "cls" else name.rstrip("_").replace("_", "-")


def _text(value: str | float) -> str:
    """Numbers as short as a drawing needs them."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
