"""The page as a whole."""

from ncgd.api.page import parts, tables
from ncgd.api.page.markup import Html, Part, join, tag
from ncgd.api.page.problems import problems
from ncgd.api.page.timeline import timeline
from ncgd.api.page.topology import topology
from ncgd.api.page.view import View
from ncgd.api.page.words import shapes

_REFRESH_SECONDS = 5


def document(view: View, *, is_refreshing: bool = False) -> str:
    """The page of one moment. ``is_refreshing``: loads itself again, for readers without a script who ask for it."""
    report = view.report
    main = tag(
        "main",
        parts.banner(view),
        problems(view),
        parts.numbers(view),
        topology(view),
        tag(
            "div",
            tag("div", *_tables(view), cls="column"),
            tag("div", timeline(view), tables.exports(view), parts.facts(view), cls="column"),
            cls="columns",
        ),
        cls="stale" if view.is_stalled else None,
    )
    mood, word = view.verdict
    title = f"{word} · {report.gateway.name} on {report.node} · ncgd"
    return _html(title, f"/assets/{mood}.svg", main, is_refreshing=is_refreshing)


def _tables(view: View) -> list[Part]:
    here = [tables.tunnels(view), tables.sessions(view)] if view.report.role.is_gateway else []
    return [*here, tables.prefixes(view)]


def starting() -> str:
    """The page before the first pass."""
    main = tag("main", tag("header", tag("h1", "Starting"), tag("p", "ncgd makes its first pass.", cls="lead")))
    return _html("Starting · ncgd", "/assets/idle.svg", main, is_refreshing=True)


def _html(title: str, icon: str, main: Html, *, is_refreshing: bool) -> str:
    refresh = tag("meta", http_equiv="refresh", content=_REFRESH_SECONDS) if is_refreshing else None
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href=icon, type="image/svg+xml", id="icon"),
        tag("link", rel="stylesheet", href="/assets/page.css"),
        tag("noscript", refresh) if refresh else None,
        tag("script", src="/assets/page.js", type="module"),
    )
    body = tag(
        "body", tag("a", "To the prefixes", href="#prefixes", cls="skip"), shapes(), main, _footer(is_refreshing)
    )
    return f"<!doctype html>{tag('html', head, body, lang='en')}"


def _footer(is_refreshing: bool) -> Html:
    links: list[Part] = [
        tag("a", text, href=href)
        for text, href in (
            ("status as JSON", "/v1/status"),
            ("events as JSON", "/v1/events"),
            ("metrics", "/metrics"),
            ("health", "/healthz"),
        )
    ]
    still = tag("a", "stop reloading", href="/") if is_refreshing else tag("a", "reload every 5 s", href="/?refresh=1")
    keys = tag("p", tag("kbd", "/"), " find  ", tag("kbd", "p"), " pause", cls="keys")
    return tag("footer", tag("p", join(links)), keys, tag("noscript", tag("p", "Without JavaScript: ", still)))
