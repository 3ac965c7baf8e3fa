"""The API client: HTTP over the daemon's Unix socket."""

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ncgd.errors import Rejected, Unavailable

TIMEOUT_SECONDS = 10.0


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("ncgd", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def get(path: Path, resource: str, **query: str) -> Any:
    """The JSON at ``resource``. Raises Unavailable when the daemon is not there, Rejected when it says no."""
    target = f"{resource}?{urlencode(query)}" if query else resource
    connection = _UnixConnection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except PermissionError as error:
        raise Unavailable(f"{path}: permission denied; run ncgctl as root") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"no ncgd answers on {path} ({error}); is it running? (--socket names another)") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Rejected(str(body.get("error", answer.reason)))
    return body
