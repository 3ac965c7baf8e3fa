"""What the status port answers for people: the page and its few assets, which are read once."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from microdot import Request, Response

from ncgd.api.history import History
from ncgd.api.page.document import document, starting
from ncgd.api.page.view import QUERY_CHARACTERS, View
from ncgd.api.page.words import Mood, icon
from ncgd.api.server import StateView, age, now

_HTML = {"Content-Type": "text/html; charset=utf-8"}


def page_of(state: Callable[[], StateView], history: History) -> Callable[[Request], Awaitable[Response]]:
    """The handler of the page."""

    async def page(request: Request) -> Response:
        seen = state()
        if seen.report is None:
            return Response(starting(), 503, _HTML)
        number = request.args.get("page", "1")
        view = View(
            report=seen.report,
            world=seen.world,
            desired=seen.desired,
            tracks=history.tracks,
            timeline=seen.timeline,
            now=now(age(seen)),
            age_seconds=age(seen),
            query=request.args.get("q", "")[:QUERY_CHARACTERS],
            is_whole="all" in request.args,
            page=max(1, int(number)) if number.isdecimal() and len(number) < 7 else 1,
        )
        return Response(document(view, is_refreshing="refresh" in request.args), 200, _HTML)

    return page


def assets() -> dict[str, Response]:
    """What the page refers to, by path."""
    return {
        "/assets/page.css": _asset((files(__package__) / "page.css").read_bytes(), "text/css; charset=utf-8"),
        "/assets/page.js": _asset((files(__package__) / "page.js").read_bytes(), "text/javascript; charset=utf-8"),
        **{f"/assets/{mood}.svg": _asset(icon(mood).encode(), "image/svg+xml") for mood in Mood},
    }


def _asset(body: bytes, kind: str) -> Response:
    return Response(body, 200, {"Content-Type": kind, "Cache-Control": "no-cache"})
