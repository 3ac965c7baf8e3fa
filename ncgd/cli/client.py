"""The API client: HTTP over the daemon's Unix socket."""

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ncgd.errors import Rejected, Unavailable

TIMEOUT_SECONDS = 10.0


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("ncgd", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(path: Path, resource: str, query: Mapping[str, str] | None = None, *, seconds: float = TIMEOUT_SECONDS) -> Any:
    """The JSON at ``resource``, within ``seconds``.

    Raises Unavailable when the daemon is not there, Rejected when it says no.
    """
    try:
        return json.loads(read(path, f"{resource}?{urlencode(query)}" if query else resource, seconds=seconds))
    except ValueError as error:
        raise Unavailable(f"what answers on {path} is no ncgd ({error})") from error


def read(path: Path, resource: str, *, seconds: float = TIMEOUT_SECONDS) -> bytes:
    """What is at ``resource``, as it is. Raises the same."""
    connection = _UnixConnection(path, seconds)
    try:
        connection.request("GET", resource)
        answer = connection.getresponse()
        body = answer.read()
    except PermissionError as error:
        raise Unavailable(f"{path}: permission denied; run ncgctl as root") from error
    except (TimeoutError, BlockingIOError) as error:  # the latter: nobody takes connections from the queue
        raise Unavailable(f"the ncgd on {path} is there and does not answer; its log may say why") from error
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or error
        raise Unavailable(f"no ncgd answers on {path} ({why}); is it running? (--socket names another)") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Rejected(_refusal(body) or answer.reason)
    return body


def _refusal(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return ""
