"""Bytes → the head of an HTTP/1 request, or why it is refused. Strict: what no browser or scraper sends is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

HEAD_BYTES = 8192
"""Request line and headers together; browsers send less than 2 kB to a page without cookies."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!-~]*) HTTP/1\.[01]")
"""Method, target in origin form (RFC 9112 section 3.2.1), version."""
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
"""Each byte fits one part only, so matching takes a time that grows with the line, and no faster."""
_ESCAPED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """``target`` is path and query as sent; ``headers`` by name in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The target without its query; nothing is decoded, so no spelling of another path is one we have."""
        return self.target.partition("?")[0]


class BadRequest(Exception):
    """The request is refused: ``status`` is the HTTP status code, the text says why."""

    def __init__(self, status: int, why: str) -> None:
        """``why``: a sentence for whoever sent it."""
        super().__init__(why)
        self.status = status


def parse(head: bytes) -> RequestHead:
    """The head up to and with its empty line (RFC 9112 sections 3 and 5). Raises BadRequest."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    matched = _REQUEST_LINE.fullmatch(first)
    if matched is None:
        raise BadRequest(400, "the first line is not METHOD /PATH HTTP/1.1")
    method, target = (part.decode() for part in matched.groups())
    if not _is_text(target):
        raise BadRequest(400, "the target's percent-encoding is no UTF-8")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise BadRequest(400, "a header line is malformed")
        name, value = header[1].decode().lower(), header[2].strip(b" \t").decode("latin-1")
        if name == "host" and name in headers:
            raise BadRequest(400, "there are two Host headers")
        headers[name] = value
    if method not in {"GET", "HEAD"}:
        raise BadRequest(405, f"{method} is refused: this port only shows, and changes nothing")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(413, "a request that only asks has no body")
    return RequestHead(method=method, target=target, headers=headers)


def _is_text(target: str) -> bool:
    """Whether its percent-encoding (RFC 3986 section 2.1) can be decoded; whoever answers takes that for granted."""
    if _ESCAPED.fullmatch(target) is None:
        return False
    try:
        unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return False
    return True
