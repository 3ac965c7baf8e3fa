"""YAML 1.2 (core schema) into plain values, safely.

PyYAML's own constructor follows YAML 1.1: it reads the BGP community ``65000:1`` as 3900001, ``on`` as true,
``0123`` as 83 and dates as dates. So only its parser (libyaml) is used, and the values are made here from the
parser's events. Anchors and aliases are refused, which leaves a YAML bomb nothing to expand.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from ncgd.resources.problem import Problem, shown

MAX_BYTES = 1024 * 1024
"""Largest file that is read: about ten thousand tunnels, and parsed in well under a second."""
MAX_DEPTH = 32
"""Deepest nesting; our own kinds need seven."""

_DUPLICATES_LISTED = 20
_NUMBER_CHARACTERS = 64  # int() refuses thousands of digits, and no field of ours needs more
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)

Value = object
"""``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` or None."""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The documents of a file, or why there are none; a file with a problem has none."""

    documents: tuple[Value, ...] = field(default=(), repr=False)  # they may hold a Secret
    problems: tuple[Problem, ...] = ()


class _Refused(Exception):
    """The text is YAML, but not what we take."""

    def __init__(self, reason: str, event: yaml.Event, message: str, hint: str = "") -> None:
        self.problem = Problem("", reason, f"{_place(event)}: {message}", hint)


def parse(data: bytes) -> ParsedFile:
    """All documents of a file, or all that is wrong with its text. Never raises."""
    if len(data) > MAX_BYTES:
        text = f"is larger than {MAX_BYTES // 1024} KiB"
        return ParsedFile(problems=(Problem("", "FileTooLarge", text, "split it into several files"),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line}: byte {error.start} (0x{data[error.start]:02x}) is not UTF-8"
        return ParsedFile(problems=(Problem("", "NotUTF8", message, "save the file as UTF-8"),))
    composer = _Composer(text)
    try:
        documents = tuple(composer.documents())
    except _Refused as refused:
        return ParsedFile(problems=(*composer.problems, refused.problem))
    except yaml.YAMLError as error:
        return ParsedFile(problems=(*composer.problems, _syntax_problem(error)))
    return ParsedFile(problems=tuple(composer.problems)) if composer.problems else ParsedFile(documents)


class _Composer:
    """Builds values from the parser's events; recursion is bounded by MAX_DEPTH."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)

    def documents(self) -> Iterator[Value]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield self._node(next(self._events), depth=1)

    def _node(self, event: yaml.Event, depth: int) -> Value:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            message = "anchors (&) and aliases (*) are not supported"
            raise _Refused("AliasRefused", event, message, "write the value out, or put it in quotes")
        if getattr(event, "tag", None) is not None:
            message = "tags (!) are not supported"
            raise _Refused("TagRefused", event, message, "remove the tag, or put the value in quotes")
        if depth > MAX_DEPTH:
            raise _Refused("TooDeep", event, f"nested deeper than {MAX_DEPTH} levels")
        match event:
            case yaml.MappingStartEvent():
                return self._mapping(depth)
            case yaml.SequenceStartEvent():
                items = []
                while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                    items.append(self._node(event, depth + 1))
                return items
            case yaml.ScalarEvent():
                return _plain(event.value) if event.implicit[0] else event.value
            case _:
                raise _Refused("YamlSyntax", event, "this is not a value")

    def _mapping(self, depth: int) -> Mapping[str, Value]:
        values: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            start = event
            key = self._node(event, depth + 1)
            if not isinstance(key, str):
                raise _Refused("KeyNotString", start, "this key is not a string", "put it in quotes")
            if key in values:
                message = f"{_place(start)}: the key {shown(key)} is there already"
                if len(self.problems) == _DUPLICATES_LISTED:
                    raise _Refused("DuplicateKey", start, "more keys are there already", "mend those above first")
                self.problems.append(Problem("", "DuplicateKey", message, "keep one of the two"))
            values[key] = self._node(next(self._events), depth + 1)
        return values


def _place(event: yaml.Event) -> str:
    mark = event.start_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "line unknown"


def _plain(text: str) -> Value:
    """A plain scalar by the YAML 1.2 core schema; a leading zero makes a string, because YAML 1.1 made it octal."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) > _NUMBER_CHARACTERS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    """What the parser says, without a quotation from the file, which may hold a key."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        message = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
        if error.context and error.context_mark:
            message += f" ({error.context} that starts in line {error.context_mark.line + 1})"
    else:
        position = getattr(error, "position", 0)
        message = f"character {position}: {getattr(error, 'reason', 'it cannot be read')}"
    return Problem("", "YamlSyntax", message, "check the indentation and quotes there")
