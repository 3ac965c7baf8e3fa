"""The status port: what people and Prometheus may see of this ncgd, over TCP and HTTP. Read-only, without secrets.

Whoever reaches the port may be anybody: heads are small and come at once, connections are few and short, answers are
made so seldom that failover has its time, and everything but GET and HEAD of the known paths is refused.
"""

import asyncio
import gzip
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address
from types import MappingProxyType

from microdot import Request, Response

from ncgd.api.request_head import HEAD_BYTES, BadRequest, RequestHead, parse
from ncgd.model.event import StatusPortTold
from ncgd.model.prefix import IPAddress

log = logging.getLogger("ncgd")

HEAD_SECONDS = 5.0
"""A request has to be here within that."""
CONNECTIONS = 64
"""Open at a time; the oldest makes room for a new one, so that slow clients keep nobody out."""
REUSED_SECONDS = 0.2
"""So long an answer serves whoever asks the same again."""
KEPT_ANSWERS = 8
REST = 4
"""Making answers takes at most one part in this many more of the loop's time, whoever asks for however many."""
_COMPRESSED_BYTES = 2048

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_ALWAYS = {
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[Request], Awaitable[Response]]


class _Answer:
    """What a path is answered with; compressed at most once, for however many take it."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self._response.body, 1, mtime=0)

    def encoded(self, head: RequestHead | None) -> bytes:
        """All of it, as the client takes it (RFC 9112 section 4)."""
        headers = {"Cache-Control": "no-store", **_ALWAYS, **self._response.headers}
        body: bytes = self._response.body
        accepts = head.headers.get("accept-encoding", "") if head else ""
        if "gzip" in accepts and len(body) >= _COMPRESSED_BYTES:
            body = self._packed
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        headers["Content-Length"] = str(len(body))
        status = self._response.status_code
        told = (f"{name}: {value}" for name, value in headers.items())
        start = "\r\n".join([f"HTTP/1.1 {status} {_REASONS.get(status, '')}", *told, "", ""]).encode()
        return start if head and head.method == "HEAD" else start + body


class StatusPort:
    """Serves handlers by their path."""

    def __init__(
        self,
        address: IPAddress,
        port: int,
        handlers: Mapping[str, Handler],
        post: Callable[[StatusPortTold], None],
        *,
        fixed: Mapping[str, Response] = MappingProxyType({}),
        answer_seconds: float = 10.0,
        retry_seconds: float = 5.0,
    ) -> None:
        """``post`` is told when the port cannot be had, and when it can; ``fixed``: answers that never change, by path.

        ``answer_seconds``: within that an answer is made and taken; ``retry_seconds``: between attempts to get a port
        that somebody else has.
        """
        self._address = address
        self._port = port
        self._handlers = handlers
        self._fixed = {path: _Answer(response) for path, response in fixed.items()}
        self._post = post
        self._answer_seconds = answer_seconds
        self._retry_seconds = retry_seconds
        self._open: dict[asyncio.Task[None], None] = {}
        self._is_closed = False
        self._answers: dict[str, tuple[float, _Answer]] = {}
        self._turn = asyncio.Lock()
        self._rested = 0.0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def run(self) -> None:
        """Serve until cancelled. A port that cannot be had is told, and tried again."""
        while True:
            try:
                server = await asyncio.start_server(self._accept, str(self._address), self._port, limit=HEAD_BYTES)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
                self._post(StatusPortTold(address=self._address, port=self._port, reason=why))
                await asyncio.sleep(self._retry_seconds)
                continue
            self._post(StatusPortTold(address=self._address, port=self._port))
            try:
                await asyncio.Event().wait()  # serve_forever would wait for its clients in the end (Python 3.12)
            finally:
                for listening in server.sockets:
                    asyncio.get_running_loop().remove_reader(listening.fileno())
                await asyncio.sleep(0)  # close() forgets, and leaves open, what was accepted in this turn of the loop
                server.close()
                self._is_closed = True
                for task in self._open:
                    task.cancel()
                await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:  # it was connected in that moment
            writer.transport.abort()
            return
        if len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()

        def ended(task: asyncio.Task[None]) -> None:
            self._open.pop(task, None)
            writer.transport.abort()  # nothing, when all was taken

        task = asyncio.create_task(self._serve(reader, writer))
        task.add_done_callback(ended)  # no `finally`: a task that is cancelled before it begins has none
        self._open[task] = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(self._answer_seconds):
                await self._converse(reader, writer)
                writer.close()
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head: RequestHead | None = None
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                raw = await reader.readuntil(b"\r\n\r\n")
            head = parse(raw)
            answer = await self._answer(head)
        except asyncio.LimitOverrunError:
            answer = _refusal(431, f"request line and headers are more than {HEAD_BYTES} bytes")
        except TimeoutError:
            answer = _refusal(408, f"the request took more than {HEAD_SECONDS:.0f} s")
        except BadRequest as refused:
            answer = _refusal(refused.status, str(refused))
        writer.write(answer.encoded(head))
        await writer.drain()

    async def _answer(self, head: RequestHead) -> _Answer:
        if self._address.is_loopback and not _is_local(head.headers.get("host", "")):
            # A page of somebody else whose name was made to point here (DNS rebinding) sends its own name.
            raise BadRequest(421, "this port is asked for as localhost or by address")
        if (answer := self._fixed.get(head.path) or self._fresh(head.target)) is not None:
            return answer
        if (handler := self._handlers.get(head.path)) is None:
            raise BadRequest(404, f"there is nothing here; there is {', '.join(sorted(self._handlers))}")
        async with self._turn:
            await asyncio.sleep(max(0.0, self._rested - time.monotonic()))
            if (answer := self._fresh(head.target)) is not None:  # made while we waited
                return answer
            began = time.monotonic()
            try:
                response = await handler(Request(None, ("", 0), head.method, head.target, "1.1", dict(head.headers)))
                answer = _Answer(response)
            except Exception:
                log.exception("a bug in answering %s", head.path, extra={"event": "bug"})
                answer = _refusal(500, "a bug in ncgd; see its log")
            ended = time.monotonic()
            self._rested = ended + REST * (ended - began)
            self._answers.pop(head.target, None)
            if len(self._answers) >= KEPT_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[head.target] = (ended, answer)
            return answer

    def _fresh(self, target: str) -> _Answer | None:
        made, answer = self._answers.get(target, (0.0, None))
        return answer if time.monotonic() - made < REUSED_SECONDS else None


def _is_local(host: str) -> bool:
    """Whether a Host header (RFC 9110 section 7.2) names an address, or localhost; empty is what old scrapers send."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() in {"", "localhost"}:
        return True
    with suppress(ValueError):
        ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    return False


def _refusal(status: int, why: str) -> _Answer:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return _Answer(Response(f"{why}\n", status, headers | ({"Allow": "GET, HEAD"} if status == 405 else {})))
