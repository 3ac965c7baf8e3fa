"""The status port, over real sockets: what it shows, and what becomes of clients that mean no good."""

import asyncio
import gc
import gzip
import itertools
import json
import socket
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from microdot import Request, Response

from ncgd.api.port import CONNECTIONS, HEAD_SECONDS, StatusPort
from ncgd.api.server import Api
from ncgd.daemon import settings
from ncgd.daemon.loop import State
from ncgd.model.event import StatusPortTold
from tests.scenarios.site import healthy_site
from tests.unit.api.scenes import nobody_looks

LOOPBACK = ip_address("127.0.0.1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Rig:
    """A status port in this loop, and a client."""

    def __init__(self, number: int, answer_seconds: float = 10.0) -> None:
        self.number = number
        self.told: list[StatusPortTold] = []
        self.calls = 0
        state = State(site := healthy_site().world)
        state.report = healthy_site().report()
        assert site.intent is not None
        api = Api(Path("/nowhere"), lambda: state, nobody_looks)
        handlers = {**api.shown, "/count": self.count, "/bug": self.bug, "/large": self.large}
        fixed = {"/fixed": Response("always the same"), "/long": Response("and so on " * 1000)}
        self.port = StatusPort(
            LOOPBACK, number, handlers, self.told.append, fixed=fixed, answer_seconds=answer_seconds, retry_seconds=0.05
        )

    async def count(self, _: Request) -> Response:
        self.calls += 1
        return Response(str(self.calls))

    async def bug(self, _: Request) -> Response:
        raise ValueError("secret-canary")

    async def large(self, _: Request) -> Response:
        return Response(b"x" * 4_000_000)

    async def raw(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()

    async def get(self, target: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
        head, _, body = (await self.raw("\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        status, *rest = head.decode().split("\r\n")
        return int(status.split()[1]), dict(line.split(": ", 1) for line in rest), body


def with_port(work: Callable[[Rig], Awaitable[None]], answer_seconds: float = 10.0) -> None:
    async def whole() -> None:
        rig = Rig(free_port(), answer_seconds)
        task = asyncio.create_task(rig.port.run())
        while not rig.told:
            await asyncio.sleep(0.005)
        assert rig.told[0].reason == ""
        try:
            await work(rig)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(whole())


def test_it_shows_status_health_explanations_and_metrics() -> None:
    async def work(rig: Rig) -> None:
        status, headers, body = await rig.get("/v1/status")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body)["status"] == "Healthy"
        assert (await rig.get("/healthz"))[0] == 503  # no pass was made for a long time
        assert b"ncgd_build_info" in (await rig.get("/metrics"))[2]
        assert b"tunnel-1" in (await rig.get("/v1/explain?what=tunnel-1"))[2]
        assert (await rig.get("/fixed"))[2] == b"always the same"

    with_port(work)


def test_every_answer_forbids_what_a_page_of_ours_does_not_need() -> None:
    async def work(rig: Rig) -> None:
        for target in ("/v1/status", "/nothing", "/bug"):
            _, headers, _ = await rig.get(target)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers

    with_port(work)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n", 400),
        (b"GET http://10.0.0.1/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /assets/..%2f..%2fetc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /%76%31/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/objects/overlayvpntunnel HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nX:" + b" " * 8000 + b"\x01\r\n\r\n", 400),
        (b"GET /v1/explain?what=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/explain?what=%4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nHost: evil.example:9179\r\n\r\n", 421),
        (b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        (b"GET /v1/status HTTP/1.1\r\n" + b"X-Junk: y\r\n" * 1000 + b"\r\n", 431),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /v1/status HTTP/1.1\r\nHost: [::1]:9179\r\n\r\n", 200),
        (b"GET /v1/status HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
    ],
)
def test_what_is_refused_is_refused_with_its_reason(request_bytes: bytes, status: int) -> None:
    async def work(rig: Rig) -> None:
        head, _, body = (await rig.raw(request_bytes)).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert bool(body) != request_bytes.startswith(b"HEAD")
        assert (b"Allow: GET, HEAD" in head) == (status == 405)

    with_port(work)


def test_slow_clients_are_shown_the_door_and_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    async def work(rig: Rig) -> None:
        slow = [await asyncio.open_connection("127.0.0.1", rig.number) for _ in range(3 * CONNECTIONS)]
        for _, writer in slow:
            writer.write(b"GET /v1/status HTTP/1.1\r\nX: ")
        status, _, _ = await asyncio.wait_for(rig.get("/v1/status"), HEAD_SECONDS - 1)
        assert status == 200
        endings = [await asyncio.wait_for(_ending(reader), 2 * HEAD_SECONDS) for reader, _ in slow]
        assert sum(b" 408 " in ending for ending in endings) < CONNECTIONS
        assert sum(not ending for ending in endings) > CONNECTIONS
        for _, writer in slow:
            writer.close()

    with_port(work)
    assert caplog.text == "", "whoever comes cannot fill the log"


HOSTILE = (
    "GET /v1/explain?what={junk} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /v1/events?object={junk} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /{junk} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /../../{junk} HTTP/1.1\r\n{junk}: {junk}\r\n\r\n",
    "{junk} / HTTP/1.1\r\n\r\n",
    "GET /v1/status HTTP/1.1\r\nHost: {junk}\r\n\r\n",
    "GET /v1/status HTTP/1.1\r\n{junk}{junk}{junk}{junk}{junk}{junk}{junk}{junk}{junk}{junk}\r\n\r\n",
    "GET /v1/status HTTP/1.1\r\nX: {junk}",  # and goes away
)


def test_whatever_clients_send_none_of_it_is_kept() -> None:
    async def work(rig: Rig) -> None:
        numbers = itertools.count()

        async def throw_all(times: int) -> None:
            for _ in range(times):
                for request in HOSTILE:
                    await throw(request.format(junk=f"{next(numbers)}-".ljust(1000, "x")).encode())
            while rig.port.connections:
                await asyncio.sleep(0.005)

        async def throw(request: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.number)
            writer.write(request)
            if request.endswith(b"\r\n\r\n"):
                await _ending(reader)
            writer.close()

        await throw_all(5)  # caches are full, and all code has run
        before = _allocated()
        await throw_all(40)
        assert _allocated() - before < 100_000, "320 requests of 1 to 10 kB"

    tracemalloc.start()
    try:
        with_port(work)
    finally:
        tracemalloc.stop()


def _allocated() -> int:
    """Bytes of Python's objects that are still in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _ending(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def test_nobody_is_waited_for_in_the_end() -> None:
    """ncgd's own restart would wait, too: for seconds in which nothing fails over."""

    async def whole() -> None:
        rig = Rig(free_port())
        task = asyncio.create_task(rig.port.run())
        while not rig.told:
            await asyncio.sleep(0.005)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.number)
        writer.write(b"GET /v1/status")
        while not rig.port.connections:
            await asyncio.sleep(0.005)
        task.cancel()
        ended, _ = await asyncio.wait({task}, timeout=HEAD_SECONDS - 2)
        assert ended == {task}
        assert await _ending(reader) == b""
        writer.close()

    asyncio.run(whole())


@pytest.mark.parametrize("turns", range(8))
def test_a_client_that_comes_as_the_port_ends_is_sent_away(turns: int) -> None:
    """Its connection was left open in some turn of the loop: nobody had begun to serve it."""

    async def whole() -> None:
        rig = Rig(free_port())
        task = asyncio.create_task(rig.port.run())
        while not rig.told:
            await asyncio.sleep(0.005)
        with socket.create_connection(("127.0.0.1", rig.number)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            client.setblocking(False)
            with suppress(ConnectionError):
                assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5) == b""

    asyncio.run(whole())


def test_a_client_that_does_not_read_its_answer_is_dropped() -> None:
    async def work(rig: Rig) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.number, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not rig.port.connections:
            await asyncio.sleep(0.005)
        while rig.port.connections:
            await asyncio.sleep(0.02)
        assert len(await _ending(reader)) < 4_000_000
        writer.close()

    with_port(work, answer_seconds=0.3)


def test_an_answer_serves_all_who_ask_at_about_the_same_time() -> None:
    async def work(rig: Rig) -> None:
        answers = await asyncio.gather(*(rig.get("/count") for _ in range(30)))
        assert {status for status, _, _ in answers} == {200}
        assert rig.calls < 10

    with_port(work)


def test_answers_are_compressed_for_those_who_ask_for_it() -> None:
    async def work(rig: Rig) -> None:
        _, plain, body = await rig.get("/v1/status")
        _, headers, packed = await rig.get("/v1/status", "Accept-Encoding: gzip, deflate")
        assert "Content-Encoding" not in plain
        assert headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed) == body
        assert len(packed) == int(headers["Content-Length"]) < len(body)

    with_port(work)


def test_an_answer_is_compressed_once_for_all_who_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compress, packed = gzip.compress, list[int]()

    def counted(body: bytes, *arguments: int, **options: Any) -> bytes:
        packed.append(len(body))
        return compress(body, *arguments, **options)

    monkeypatch.setattr("gzip.compress", counted)

    async def work(rig: Rig) -> None:
        for _ in range(5):
            await rig.get("/long", "Accept-Encoding: gzip")

    with_port(work)
    assert len(packed) == 1


def test_a_bug_tells_nothing_to_the_outside(caplog: pytest.LogCaptureFixture) -> None:
    async def work(rig: Rig) -> None:
        (status, _, body), *_ = await asyncio.gather(*(rig.get("/bug") for _ in range(30)))
        assert status == 500
        assert b"canary" not in body
        assert (await rig.get("/v1/status"))[0] == 200

    with_port(work)
    assert caplog.text.count("a bug in answering /bug") < 10, "whoever asks cannot fill the log"
    assert "a bug in answering /bug" in caplog.text


@contextmanager
def taken_port() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other, other.getsockname()[1]


def test_a_port_in_use_is_told_and_taken_once_it_is_free() -> None:
    async def whole() -> None:
        with taken_port() as (other, number):
            rig = Rig(number)
            task = asyncio.create_task(rig.port.run())
            while not rig.told:
                await asyncio.sleep(0.005)
            assert rig.told[0].reason == "Address already in use"
            other.close()
            while rig.told[-1].reason:
                await asyncio.sleep(0.005)
            assert (await rig.get("/v1/status"))[0] == 200
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(whole())


def test_a_port_in_use_is_a_problem_and_breaks_nothing() -> None:
    site = healthy_site()
    site.tell(StatusPortTold(address=ip_address("::1"), port=9179, reason="Address already in use"))
    site.settle()
    (problem,) = site.report().problems
    assert (problem.reason, problem.object, problem.is_error) == ("StatusPortUnavailable", "[::1]:9179", False)
    assert "Address already in use" in problem.message
    assert "sport = :9179" in problem.hint
    assert site.report().health == "Healthy"
    site.tell(StatusPortTold(address=ip_address("::1"), port=9179))
    assert site.report().problems == ()


@pytest.mark.parametrize("text", ["9179", "localhost:9179", "127.0.0.1", "::1:9179", "[127.0.0.1]:9179", "127.0.0.1:0"])
def test_a_wrong_address_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings.parse(["--status-address", text])
    assert ended.value.code == 2
    assert "is not ADDRESS:PORT" in capsys.readouterr().err


def test_addresses_of_both_versions_are_understood() -> None:
    assert settings.parse(["--status-address", "[::1]:9179"]).status_address == (ip_address("::1"), 9179)
    assert settings.parse(["--status-address=0.0.0.0:80"]).status_address == (ip_address("0.0.0.0"), 80)
    assert settings.parse([]).status_address is None
