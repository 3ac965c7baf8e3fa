"""The few requests that ncgd makes to an API server, over one HTTP client.

lightkube finds the server and authenticates (kubeconfig, service account with token rotation, exec plugins). The
requests are made here: its own watch asks for no bookmarks, has no time limit, and lets errors escape.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from ncgd import __version__
from ncgd.errors import DriverError, Rejected, TimedOut, Unavailable, UserError

Json = dict[str, Any]

REQUEST_SECONDS = 15.0
"""Longest wait for a whole answer, and for the beginning of a watch."""
CONNECT_SECONDS = 5.0
WATCH_SLACK_SECONDS = 30.0
"""A server that has not ended a watch this long after it should have is gone."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""An object in etcd is at most 1.5 MiB."""
FIELD_MANAGER = "ncgd"

# A server that vanishes without a word ends a silent watch after 30 s, not after the kernel's two hours.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


_WHEN = ("certificate is not yet valid", "certificate has expired")
"""X509_verify_cert_error_string(3)."""


class ApiRejected(Rejected):
    """The API server answered with an error: HTTP status code, and how long it asks to be left alone (seconds)."""

    def __init__(self, code: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"the API server says {code}: {message}")
        self.code = code
        self.retry_after = retry_after


class Cluster:
    """One API server. Errors are ``Unavailable``, ``TimedOut`` and ``ApiRejected``; no text holds a token."""

    def __init__(self, config: SingleConfig) -> None:
        """Raises UserError when certificates or credentials cannot be used."""
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request at INFO
        self.url = str(config.cluster.server).rstrip("/")
        user = config.user
        try:
            verify = verify_cluster(config.cluster, user, config.abs_file, trust_env=False)  # type: ignore[arg-type]
            auth = user_auth(user)
        except (ConfigError, OSError, ValueError) as error:
            raise UserError(f"the credentials for {self.url} cannot be used: {error}") from error
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=2)
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            auth=auth,
            headers={"User-Agent": f"ncgd/{__version__}"},
            timeout=httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx2.AsyncHTTPTransport(
                verify=verify, trust_env=False, limits=limits, socket_options=_KEEPALIVE
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str, **query: str) -> Json:
        """The object, or one page of a list, at a path."""
        return await self._exchange(self._http.build_request("GET", path, params=query))

    async def apply(self, path: str, body: Json, *, manager: str = FIELD_MANAGER, **query: str) -> Json:
        """Server-side apply as a field manager: our fields become these, nobody else's are touched."""
        query |= {"fieldManager": manager, "force": "true"}
        return await self._exchange(self._with_body("PATCH", path, body, "application/apply-patch+yaml", query))

    async def merge(self, path: str, body: Json) -> Json:
        """Merge these fields into an object that is there (RFC 7386); None removes one."""
        return await self._exchange(self._with_body("PATCH", path, body, "application/merge-patch+json", {}))

    async def create(self, path: str, body: Json, **query: str) -> Json:
        """Create an object, or ask for a review, at a collection's path."""
        return await self._exchange(self._with_body("POST", path, body, "application/json", query))

    async def replace(self, path: str, body: Json) -> Json:
        """Put an object in the place of the version that its ``resourceVersion`` names; ApiRejected 409 otherwise."""
        return await self._exchange(self._with_body("PUT", path, body, "application/json", {}))

    async def delete(self, path: str, *, version: str = "", **query: str) -> Json:
        """Delete the object, or the collection, at a path; with ``version`` only that one (ApiRejected 409)."""
        if not version:
            return await self._exchange(self._http.build_request("DELETE", path, params=query))
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": version}}
        return await self._exchange(self._with_body("DELETE", path, body, "application/json", query))

    async def text(self, path: str, **query: str) -> str:
        """What is no JSON object at a path: the log of a pod."""
        return (await self._send(self._http.build_request("GET", path, params=query))).decode(errors="replace")

    def _with_body(self, method: str, path: str, body: Json, kind: str, query: dict[str, str]) -> httpx2.Request:
        content, headers = msgspec.json.encode(body), {"Content-Type": kind}
        return self._http.build_request(method, path, params=query, content=content, headers=headers)

    async def watch(
        self, path: str, seconds: int, opened: Callable[[], None], seen: Callable[[str, Json], None], **query: str
    ) -> None:
        """Call ``opened`` once the server follows, ``seen`` with type and object of each event, until it ends.

        The server is asked to end it after ``seconds``; one that does not is hung up on.
        """
        query |= {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        request = self._http.build_request("GET", path, params=query, timeout=timeout)
        try:
            async with asyncio.timeout(seconds + WATCH_SLACK_SECONDS):
                async with asyncio.timeout(REQUEST_SECONDS):
                    response = await self._http.send(request, stream=True)
                try:
                    if response.is_error:
                        await response.aread()
                        raise _rejection(response)
                    if "json" not in response.headers.get("Content-Type", ""):
                        raise Unavailable(f"{self.url} answers a watch with something that is not JSON")
                    opened()
                    await _lines(response, lambda line: seen(*_event(line)))
                finally:
                    await response.aclose()
        except _FAILURES as error:
            raise _translated(error, self.url) from error

    async def _exchange(self, request: httpx2.Request) -> Json:
        data = await self._send(request)
        try:
            return _object(data)
        except msgspec.DecodeError as error:
            raise _translated(error, self.url) from error

    async def _send(self, request: httpx2.Request) -> bytes:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._http.send(request)
        except _FAILURES as error:
            raise _translated(error, self.url) from error
        if response.is_error:
            raise _rejection(response)
        return response.content


_FAILURES = (httpx2.HTTPError, ConfigError, OSError, TimeoutError, msgspec.DecodeError)


def connect(kubeconfig: Path | None) -> Cluster:
    """The cluster of a kubeconfig's current context, or the one that this pod runs in. Raises UserError."""
    try:
        if kubeconfig is None:
            config = KubeConfig.from_service_account().get()
        else:
            config = KubeConfig.from_file(str(kubeconfig)).get()
    except yaml.MarkedYAMLError as error:  # its own text shows the line, and there may be a token in it
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"--kubeconfig {kubeconfig} cannot be used: no YAML: {error.problem}{line}") from None
    except KeyError as error:
        raise UserError(f"--kubeconfig {kubeconfig} cannot be used: it has no {error}") from error
    except Exception as error:  # a broken kubeconfig ends in whatever its YAML happened to hold
        where = f"--kubeconfig {kubeconfig}" if kubeconfig else "this pod's service account"
        hint = "" if kubeconfig else "; outside a cluster give --kubeconfig FILE"
        raise UserError(f"{where} cannot be used: {error or type(error).__name__}{hint}") from error
    if config is None or config.cluster is None:
        raise UserError(f"--kubeconfig {kubeconfig} has no current context with a cluster")
    return Cluster(config)


async def _lines(response: httpx2.Response, take: Callable[[bytes], None]) -> None:
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise Unavailable(f"a line of a watch is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            if line.strip():
                take(line)


def _event(line: bytes) -> tuple[str, Json]:
    event = _object(line)
    kind, value = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(value, dict):
        raise Unavailable("the API server sent a watch event without type or object")
    if kind == "ERROR":
        raise ApiRejected(_number(value.get("code")), str(value.get("message", "")))
    return kind, value


def _rejection(response: httpx2.Response) -> ApiRejected:
    message = response.reason_phrase
    with suppress(msgspec.DecodeError, Unavailable):
        message = str(_object(response.content).get("message") or message)
    after = response.headers.get("Retry-After", "")
    return ApiRejected(response.status_code, message, float(after) if after.isdigit() else 0.0)


def _object(data: bytes) -> Json:
    value = msgspec.json.decode(data)
    if not isinstance(value, dict):
        raise Unavailable("the API server sent something that is not an object")
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _translated(error: BaseException, url: str) -> DriverError:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return TimedOut(f"{url} does not answer in time")
    if isinstance(error, msgspec.DecodeError):
        return Unavailable(f"{url} sent something that is not JSON")
    text = str(error) or type(error).__name__
    if any(words in text for words in _WHEN):
        text += f"; or is the clock of this machine wrong? Its date is {time.strftime('%Y-%m-%d', time.gmtime())}"
    return Unavailable(f"{url} cannot be reached: {text}")
