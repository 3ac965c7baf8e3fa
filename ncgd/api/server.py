"""The local HTTP API: ``GET`` only, on a Unix socket that root alone may open.

``/v1/status`` the contract; ``/v1/objects/KIND[?name=N]``; ``/v1/explain?what=X``; ``/v1/events``, the timeline
(``?limit=N&after=NUMBER&object=PART``); ``/v1/diagnose[?what=X][&from=ADDRESS][&to=ADDRESS]``, which sends packets, and
so is for root alone; ``/healthz``; ``/metrics``.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import msgspec
from microdot import Microdot, Request, Response

from ncgd.api import metrics, views
from ncgd.decision.desired import Desired
from ncgd.decision.diagnosis.step import Question, Scene
from ncgd.decision.diagnosis.walk import diagnose, knows
from ncgd.decision.explain import explain
from ncgd.decision.received import received
from ncgd.decision.timeline import Timeline
from ncgd.decision.world import World
from ncgd.model.histogram import Histogram
from ncgd.model.look import Walk
from ncgd.model.report import Report
from ncgd.model.spec import Intent

T = TypeVar("T")

REQUEST_SECONDS = 30.0
"""A diagnosis waits for answers that may not come, some seconds for each."""
LISTED_EVENTS = 200
"""Of the timeline, unless more are asked for."""
NAMED = 20
"""Names that are listed where none is near to what was asked for."""
STALLED_SECONDS = 10.0
"""ncgd counts as stalled when its last pass is older than that; it makes one every second."""


class Along(Protocol):
    """Has a walk see what it asks for."""

    async def __call__(self, walk: Walk[T], /) -> T:
        """What the walk comes to."""


class StateView(Protocol):
    """What the loop leaves behind after each pass."""

    world: World
    desired: Desired
    report: Report | None
    timeline: Timeline
    ended: float
    pass_times: Histogram


class _Writer:
    """A StreamWriter with the two coroutines that microdot expects of one; its own server adds them likewise."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def awrite(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class Api:
    """Serves the state that ``state()`` returns."""

    def __init__(self, path: Path, state: Callable[[], StateView], along: Along) -> None:
        """``path``: the socket; a stale one is replaced. ``along`` sees to what a diagnosis asks for."""
        self._path = path
        self._state = state
        self._along = along
        self._started = now()
        self._app = Microdot()
        self.shown: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/v1/status": self._status,
            "/v1/explain": self._explain,
            "/v1/events": self._events,
            "/healthz": self._healthz,
            "/metrics": self._metrics,
        }
        """What the status port shows too."""
        for resource, handler in self.shown.items():
            self._app.get(resource)(handler)
        self._app.get("/v1/objects/<kind>")(self._objects)
        self._app.get("/v1/diagnose")(self._diagnose)

    async def run(self) -> None:
        """Serve until cancelled."""
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(mask)
        try:
            await asyncio.Event().wait()  # serve_forever would wait for its clients in the end (Python 3.12)
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._app.handle_request(reader, cast("asyncio.StreamWriter", _Writer(writer)))
        except (TimeoutError, ConnectionError):
            writer.close()

    async def _status(self, _: Request) -> Response:
        state = self._state()
        if state.report is None:
            return _starting()
        seconds = age(state)
        return _json(views.status(state.report, seconds if seconds > STALLED_SECONDS else 0.0))

    async def _objects(self, request: Request, kind: str) -> Response:
        state = self._state()
        full = views.KIND_OF.get(kind.lower().removesuffix("s"))
        if full is None:
            return _json({"error": f"unknown kind {kind!r}; known: {', '.join(views.KINDS)}"}, 404)
        if state.report is None:
            return _starting()
        specs = {str(ref): spec for ref, spec in (state.world.intent.manifests if state.world.intent else {}).items()}
        name = request.args.get("name")
        peers = [peer.ref.name for peer in state.report.peers if name in {None, peer.ref.name}]
        by_peer = {
            peer: received(peer, state.world, views.LISTED_PREFIXES) for peer in peers if full == "OverlayBGPPeer"
        }
        items = views.objects(full, state.report, specs, by_peer, now=now(age(state)), started=self._started)
        if name:
            items = [item for item in items if item["metadata"]["name"] == name]
        return _json({"items": items})

    async def _explain(self, request: Request) -> Response:
        state = self._state()
        what = request.args.get("what", "")
        lines = explain(what, state.world, state.desired)
        if lines is None:
            return _unknown(what, state.world, "is no tunnel, no peer, and neither prefix nor address")
        return _json({"lines": lines})

    async def _diagnose(self, request: Request) -> Response:
        state = self._state()
        if state.report is None:
            return _starting()
        try:
            question = Question(
                what=request.args.get("what", ""),
                source=_address(request.args.get("from", "")),
                destination=_address(request.args.get("to", "")),
            )
        except ValueError as error:
            return _json({"error": f"{error}: from and to are IPv4 addresses"}, 400)
        scene = Scene(question=question, world=state.world, desired=state.desired, report=state.report)
        if not knows(question, scene):
            return _unknown(question.what, state.world, "is no tunnel and no peer")
        return _json(views.diagnosis(await self._along(diagnose(scene))))

    async def _events(self, request: Request) -> Response:
        limit, after = request.args.get("limit", str(LISTED_EVENTS)), request.args.get("after", "0")
        if not (limit.isdecimal() and after.isdecimal() and len(limit + after) < 20):
            return _json({"error": "limit and after are numbers"}, 400)
        state, named = self._state(), request.args.get("object", "")
        if state.report is not None and not views.is_name(named, state.timeline, state.report, state.desired):
            return _unknown(named, state.world, "is in the name of no object", state.report.gateway.name)
        return _json(views.events(state.timeline, int(limit), after=int(after), named=named))

    async def _healthz(self, _: Request) -> Response:
        state = self._state()
        if state.report is None:
            return _starting()
        if (seconds := age(state)) > STALLED_SECONDS:
            return _json({"error": f"the last pass was {seconds:.0f} s ago"}, 503)
        return Response("ok\n", headers={"Content-Type": "text/plain"})

    async def _metrics(self, _: Request) -> Response:
        state = self._state()
        if state.report is None:
            return _starting()
        body = metrics.render(state.report, state.pass_times)
        return Response(body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _address(text: str) -> IPv4Address | None:
    """Raises ValueError."""
    return IPv4Address(text) if text else None


def _unknown(what: str, world: World, which: str, *more: str) -> Response:
    """``more``: what else could have been meant, beside tunnels and peers."""
    intent = world.intent or Intent()
    known = [*intent.tunnels, *intent.peers, *more]
    rest = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    near = get_close_matches(what, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:NAMED]) or 'none'}{rest}"
    return _json({"error": f"{what!r} {which}; {hint}"}, 404)


def age(state: StateView) -> float:
    """Seconds since the last pass."""
    return time.monotonic() - state.ended


def now(ago: float = 0.0) -> str:
    """The time some seconds ago, for people and the API: RFC 3339, UTC."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251


def _json(body: dict[str, Any], code: int = 200) -> Response:
    return Response(msgspec.json.encode(body), code, {"Content-Type": "application/json"})


def _starting() -> Response:
    return _json({"error": "ncgd has just started and has not finished its first pass; ask again in a second"}, 503)
