"""A stateful Kubernetes API server, as far as ncgd uses one, over real HTTP; and what can go wrong with it.

The lab's cluster has one, and so have tests, on their event loop. The contract tests in tests/kube hold it and a real
API server to the same. Runs in the virtual environment.
"""

import asyncio
import copy
import json
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from ncgd.lab.api_objects import Json, Refused, Store
from ncgd.resources import crd
from ncgd.resources.v1alpha1 import GROUP, VERSION

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?P<status>/status)?"
)
_CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
_CORE = {
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "events": "Event",
    "nodes": "Node",
    "services": "Service",
}
_LEASES = {"leases": "Lease"}
_KINDS = {crd.plural(kind): kind for kind in crd.DEFINED} | _CORE | _LEASES


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json
    at: float = 0.0

    @property
    def is_watch(self) -> bool:
        """Whether it follows a collection."""
        return self.query.get("watch") in {"1", "true"}


@dataclass
class Faults:
    """What is wrong with the server now."""

    refuse: Callable[[Request], Refused | None] = lambda _: None
    """Consulted for every request: an error to answer with."""
    delay_seconds: float = 0.0
    is_hanging: bool = False
    """Requests are taken, and never answered."""
    watch_seconds: float | None = None
    """Every watch is cut after that long."""
    is_garbled: bool = False
    """Answers are HTML, as a captive proxy sends them."""


@dataclass
class ApiServer:
    """``async with ApiServer() as server``: an empty cluster whose CRDs are installed."""

    store: Store = field(default_factory=Store)
    faults: Faults = field(default_factory=Faults)
    definitions: dict[str, Json] = field(default_factory=lambda: {kind: crd.definition(kind) for kind in crd.DEFINED})
    """Installed CRDs by kind."""
    bookmark_seconds: float = 0.05
    requests: list[Request] = field(default_factory=list)
    address: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        self._news = asyncio.Condition()
        self._connections: set[asyncio.Task[None]] = set()
        self._pending: set[asyncio.Task[None]] = set()
        self.store.told = self._announce
        await self.up()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, self.address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Close the port and every connection."""
        self._server.close()
        await self.cut()
        with suppress(Exception):
            await self._server.wait_closed()

    async def cut(self) -> None:
        """Close every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def seed(self, item: Json) -> None:
        """Put an object there as if somebody had applied it, and its controller had written its status."""
        group, _, version = item["apiVersion"].rpartition("/")
        plural = next(plural for plural, kind in _KINDS.items() if kind == item["kind"])
        collection, namespace = f"{group}/{version}/{plural}", item["metadata"].get("namespace", "")
        self.store.create(collection, namespace, item)
        if "status" in item:
            self.store.update(collection, namespace, item, is_status=True)

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig for it into a folder."""
        path = folder / "double.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "u", "user": {"token": "a-token"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return path

    def _announce(self) -> None:
        task = asyncio.ensure_future(self._wake())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            while (request := await _read(reader)) is not None:
                request.at = asyncio.get_running_loop().time()
                self.requests.append(request)
                await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if task is not None:
                self._connections.discard(task)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.faults.delay_seconds:
            await asyncio.sleep(self.faults.delay_seconds)
        while self.faults.is_hanging:  # noqa: ASYNC110 - a plain switch is easier to use for tests
            await asyncio.sleep(0.01)
        if self.faults.is_garbled:
            writer.write(_head(200, {"Content-Type": "text/html", "Content-Length": "13"}) + b"<html></html>")
            await writer.drain()
            return
        try:
            refused = self.faults.refuse(request)
            if refused:
                raise refused
            if request.is_watch:
                await self._follow(request, writer)
                return
            code, body, headers = 200, self._handle(request), {}
        except Refused as error:
            code, body, headers = error.code, error.status(), error.headers
        data = self._encoded(request, body)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        writer.write(_head(code, headers) + data)
        await writer.drain()

    def _encoded(self, _: Request, body: Json) -> bytes:
        return json.dumps(body).encode()

    def _handle(self, request: Request) -> Json:
        if request.path.startswith(_CRD_PATH):
            return self._definition(request.path.removeprefix(_CRD_PATH))
        collection, namespace, name, is_status = self._resolve(request.path)
        body = self._as_kept(collection, request.body)
        match request.method:
            case "GET" if name:
                return self.store.get(collection, namespace, name)
            case "GET":
                return self._list(collection, namespace, request.query)
            case "POST":
                return self.store.create(collection, namespace, body)
            case "PUT":
                return self.store.update(collection, namespace, body, is_status=is_status)
            case "DELETE":
                version = body.get("preconditions", {}).get("resourceVersion", "")
                return self.store.delete(collection, namespace, name, version)
            case "PATCH" if request.headers.get("content-type") == "application/merge-patch+json":
                return self.store.merge(collection, namespace, name, body)
            case "PATCH":
                if request.headers.get("content-type") != "application/apply-patch+yaml":
                    raise Refused(415, "UnsupportedMediaType", "only apply patches here")
                if body.get("kind") != _KINDS[collection.rpartition("/")[2]]:
                    raise Refused(400, "BadRequest", "kind does not fit the path")
                manager, force = request.query["fieldManager"], request.query.get("force") == "true"
                return self.store.apply(collection, namespace, body, manager, is_status=is_status, force=force)
        raise Refused(405, "MethodNotAllowed", request.method)

    def _resolve(self, path: str) -> tuple[str, str, str, bool]:
        match = _PATH.fullmatch(path)
        plural = match["plural"] if match else ""
        kind = _KINDS.get(plural)
        is_there = kind in self.definitions if match and match["group"] == GROUP else plural in _CORE | _LEASES
        if match is None or not is_there:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        collection = f"{match['group'] or ''}/{match['version']}/{plural}"
        return collection, match["ns"] or "", unquote(match["name"] or ""), bool(match["status"])

    def _definition(self, name: str) -> Json:
        for kind, definition in self.definitions.items():
            if name == f"{crd.plural(kind)}.{GROUP}":
                return definition
        raise Refused(404, "NotFound", f'customresourcedefinitions "{name}" not found')

    def _as_kept(self, collection: str, body: Json) -> Json:
        """Without fields that the definition does not know; a Secret's stringData as data."""
        kind = _KINDS[collection.rpartition("/")[2]]
        if kind == "Secret" and "stringData" in body:
            encoded = {key: b64encode(value.encode()).decode() for key, value in body["stringData"].items()}
            rest = {key: value for key, value in body.items() if key != "stringData"}
            return {**rest, "data": {**(body.get("data") or {}), **encoded}}
        if kind not in self.definitions or "spec" not in body:
            return body
        version = next(v for v in self.definitions[kind]["spec"]["versions"] if v["name"] == VERSION)
        schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return {**body, "spec": _prune(body["spec"], schema)}

    def _list(self, collection: str, namespace: str, query: dict[str, str]) -> Json:
        found = [
            item
            for (where, _), item in sorted(self.store.objects.get(collection, {}).items())
            if namespace in {"", where} and _selected(item, query)
        ]
        begin, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(found)
        page, rest = found[begin : begin + limit], found[begin + limit :]
        metadata = {"resourceVersion": str(self.store.version)}
        if rest:
            metadata["continue"] = str(begin + limit)
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page}

    async def _follow(self, request: Request, writer: asyncio.StreamWriter) -> None:
        collection, namespace, _, _ = self._resolve(request.path)
        version = int(request.query["resourceVersion"])
        clock = asyncio.get_running_loop().time
        end = clock() + float(request.query.get("timeoutSeconds", "300"))
        if self.faults.watch_seconds is not None:
            end = min(end, clock() + self.faults.watch_seconds)
        writer.write(_head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))

        def send(kind: str, value: Json) -> None:
            data = json.dumps({"type": kind, "object": value}).encode() + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))

        with suppress(TimeoutError):
            async with asyncio.timeout(end - clock()):
                while True:
                    try:
                        changes = self.store.since(collection, version)
                    except Refused as error:
                        send("ERROR", error.status())
                        break
                    for change in changes:
                        where = change.object["metadata"].get("namespace", "")
                        if namespace in {"", where} and _selected(change.object, request.query):
                            send(change.kind, change.object)
                    version = self.store.version
                    await writer.drain()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self.bookmark_seconds), self._news:
                            await self._news.wait_for(lambda seen=version: self.store.version != seen)  # type: ignore[misc]
                    if self.store.version == version and request.query.get("allowWatchBookmarks") == "true":
                        send("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _selected(item: Json, query: dict[str, str]) -> bool:
    selector = query.get("fieldSelector", "")
    return not selector or selector == f"metadata.name={item['metadata']['name']}"


def _prune(value: object, schema: Json) -> object:
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {name: _prune(item, known[name]) for name, item in value.items() if name in known}
    if isinstance(value, list):
        return [_prune(item, schema.get("items", {})) for item in value]
    return copy.deepcopy(value)


def _head(code: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {code} x\r\n{lines}\r\n".encode()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, json.loads(body) if body else {})
