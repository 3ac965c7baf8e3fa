"""The file as text: a line that says what and which version, a prefix per line, a line that seals it. Pure."""

from collections.abc import Iterable
from hashlib import sha256

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix

TITLE = "ncgd guarded-prefixes"
VERSION = 1


class Damaged(ValueError):
    """Not as it was written; the text says where."""


class Newer(ValueError):
    """Written by a newer ncgd."""


def render(prefixes: Iterable[Prefix]) -> bytes:
    """The whole file; equal sets give equal files."""
    lines = [px.text(prefix) for prefix in sorted(prefixes)]
    body = "\n".join((f"{TITLE} {VERSION}", *lines, "")).encode()
    return body + f"end {len(lines)} {sha256(body).hexdigest()}\n".encode()


def parse(data: bytes) -> frozenset[Prefix]:
    """The prefixes of a file. Raises Damaged or Newer; half a file is no file."""
    first = data.partition(b"\n")[0].decode("ascii", "replace")
    title, _, version = first.rpartition(" ")
    if title != TITLE or not version.isdecimal():
        raise Damaged("its first line is none that ncgd writes")
    if int(version) > VERSION:
        raise Newer(f"it has version {version}, and this ncgd reads version {VERSION}")
    body, _, seal = data.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    lines = body.splitlines()[1:]
    if seal != f"end {len(lines)} {sha256(body).hexdigest()}".encode():
        raise Damaged("its last line does not fit the others: it was cut short or changed")
    try:
        return frozenset(px.parse(line.decode("ascii")) for line in lines)
    except ValueError as error:
        raise Damaged(str(error)) from error
