"""The bridge's lines, and the text that ExaBGP answers with, as values. Pure; see README.md for the lines."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

import msgspec

from ncgd.drivers.exabgp import render
from ncgd.model import prefix
from ncgd.model.bgp import TCP_FAILED, Attributes, Origin
from ncgd.model.prefix import Prefix

REMEMBERED = 10_000
"""Attribute sets that are kept to be shared; beyond, all are forgotten and learned anew."""


Family = Literal["ipv4 unicast", "ipv6 unicast"]


class Answer(msgspec.Struct, tag="answer", array_like=True, frozen=True):
    """What ExaBGP answered to command ``number``; ``is_ok``: it said done and not error."""

    number: int
    is_ok: bool
    lines: list[str]


class Up(msgspec.Struct, tag="up", array_like=True, frozen=True):
    """A session came up; ``since`` by the monotonic clock. ``restart``: see Begin."""

    key: str
    since: float
    restart: int | None


class Down(msgspec.Struct, tag="down", array_like=True, frozen=True):
    """A session is down; ``is_graceful``: TCP closed without a NOTIFICATION."""

    key: str
    reason: str
    is_graceful: bool


class Learn(msgspec.Struct, tag="learn", array_like=True, frozen=True):
    """Packed prefixes, and their attributes: those of ExaBGP, and ``next-hop``."""

    key: str
    family: Family
    attributes: msgspec.Raw
    blocks: list[bytes]


class Withdraw(msgspec.Struct, tag="withdraw", array_like=True, frozen=True):
    """Packed prefixes that are gone."""

    key: str
    family: Family
    blocks: list[bytes]


class End(msgspec.Struct, tag="end", array_like=True, frozen=True):
    """The table that Begin started is whole."""

    key: str


class Eor(msgspec.Struct, tag="eor", array_like=True, frozen=True):
    """End-of-RIB for one IP version."""

    key: str
    version: int


class Begin(msgspec.Struct, tag="begin", array_like=True, frozen=True):
    """Here comes the whole table of a session that is up.

    ``is_recovered``: by a bridge that was started later than the session, so ``since`` is right to a second or two.
    ``restart``: seconds from the peer's OPEN; None without graceful restart; -1 when it is not known any more.
    ``ended``: IP versions whose End-of-RIB has been seen.
    """

    key: str
    since: float
    is_recovered: bool
    restart: int | None
    ended: list[int]


class Synced(msgspec.Struct, tag="synced", array_like=True, frozen=True):
    """Every session has been reported."""


Message = Answer | Up | Down | Learn | Withdraw | Begin | End | Eor | Synced

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(line: bytes) -> Message:
    """One line of the bridge. Raises ValueError for anything else."""
    return _decoder.decode(line)


def command(number: int, text: str) -> bytes:
    """A line that puts a command to ExaBGP; its Answer carries the number."""
    return msgspec.json.encode(["do", number, text]) + b"\n"


SYNC = b'["sync"]\n'
"""Asks for everything, and from then on for every change."""


class Interner:
    """Attributes by their JSON text: prefixes that share them share one object."""

    def __init__(self) -> None:
        self._known: dict[bytes, Attributes] = {}

    def attributes(self, text: msgspec.Raw) -> Attributes:
        """See the function of that name."""
        raw = bytes(text)
        found = self._known.get(raw)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[raw] = attributes(msgspec.json.decode(raw))
        return found


def attributes(values: dict[str, Any]) -> Attributes:
    """ExaBGP's JSON of the path attributes, with ``next-hop``.

    Raises ValueError when one makes no sense or a well-known one is missing, of which ExaBGP lets some pass.
    """
    try:
        path, length = _as_path(values.get("as-path") or {})
        ip_address(values["next-hop"])
        return Attributes(
            as_path=path,
            as_path_length=length,
            origin=Origin[values["origin"].upper()],
            med=int(values.get("med", 0)),
            next_hop=values["next-hop"],
            communities=tuple(
                ":".join(map(str, community))
                for kind in ("community", "large-community")
                for community in values.get(kind, [])
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"path attributes that make no sense: {values!r}") from error


def _as_path(segments: dict[str, dict[str, Any]]) -> tuple[tuple[int, ...], int]:
    """ASNs nearest first, and the length by RFC 4271 §9.1.2.2 a and RFC 5065 §5.3 (confederations count nothing)."""
    path: list[int] = []
    length = 0
    for _, segment in sorted(segments.items(), key=lambda item: int(item[0])):
        path += segment["value"]
        if segment["element"] == "as-sequence":
            length += len(segment["value"])
        elif segment["element"] == "as-set":
            length += 1
    return tuple(path), length


def prefixes(family: Family, blocks: Iterable[bytes]) -> tuple[Prefix, ...]:
    """Packed prefixes (RFC 4271 §4.3: length in bits, then as many bytes as it takes) as integers.

    Raises ValueError.
    """
    bits = 128 if family == "ipv6 unicast" else 32
    empty = [prefix.make(6 if bits == 128 else 4, 0, length) for length in range(bits + 1)]
    found: list[Prefix] = []
    for block in blocks:
        at, end = 0, len(block)
        while at < end:
            length = block[at]
            size = length + 7 >> 3
            start, at = at + 1, at + 1 + size
            if length > bits or at > end:
                raise ValueError(f"{block.hex()} are no prefixes of {family}")
            network = int.from_bytes(block[start:at]) >> size * 8 - length
            found.append(Prefix(empty[length] | network))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A neighbour as a running ExaBGP has it. ``description`` as ``render.description`` makes it."""

    peer: str
    description: str
    interface: str | None


_OPENS = re.compile(r"neighbor (\S+) \{")
_SAYS = re.compile(r'  (description|local-address|source-interface) "?(.*?)"?;')


def loaded(lines: Sequence[str]) -> dict[str, Loaded]:
    """The answer of ``show neighbor configuration``, by session key. A neighbour that is not ours has no name."""
    blocks: list[dict[str, str]] = []
    for line in lines:
        if opens := _OPENS.fullmatch(line):
            blocks.append({"peer-address": opens[1]})
        elif blocks and (says := _SAYS.fullmatch(line)):
            blocks[-1][says[1]] = says[2]
    found = {}
    for block in blocks:
        interface = block.get("source-interface", "None")
        found[render.key(block["peer-address"], block.get("local-address", ""))] = Loaded(
            peer=block.get("description", "").partition(" ")[0],
            description=block.get("description", ""),
            interface=None if interface == "None" else interface,
        )
    return found


_CEASE = {
    1: "maximum number of prefixes reached",
    2: "administrative shutdown",
    3: "peer de-configured",
    4: "administrative reset",
    5: "connection rejected",
    6: "other configuration change",
    7: "connection collision",
    8: "out of resources",
}
_ERRORS = {
    (2, 1): "unsupported BGP version",
    (2, 2): "bad peer AS: the ASNs of both sides do not match",
    (2, 3): "bad BGP identifier: both sides may have the same router id",
    (2, 6): "unacceptable hold time",
    (4, 0): "hold timer expired",
}
_CLASSES = {1: "message header error", 2: "OPEN error", 3: "malformed UPDATE", 5: "state machine error", 6: "cease"}
_NOTIFICATION = re.compile(r"notification (sent|received) \((\d+),(\d+)\)")
_WORDS = {
    "closing connection": TCP_FAILED,
    "graceful restarted negotiated, closing without sending any notification": "closed by us, to be opened again",
    "stop, message [shutting down]": "the speaker stops",
    "stop, message [removed]": "closed by us: its tunnel is down, or its configuration was changed",
    "": "the speaker gave no reason",
}


def reason(text: str) -> str:
    """ExaBGP's reason for the end of a session, for people. Codes: RFC 4271 §4.5, RFC 4486."""
    match = _NOTIFICATION.match(text)
    if match is None:
        return _WORDS.get(text, text)
    code, subcode = int(match[2]), int(match[3])
    meaning = _CEASE.get(subcode) if code == 6 else _ERRORS.get((code, subcode))
    who = "we sent" if match[1] == "sent" else "the peer sent"
    return f"{who} NOTIFICATION {code}/{subcode}: {meaning or _CLASSES.get(code, 'unknown')}"
