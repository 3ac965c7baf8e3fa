"""Single questions to the kernel: what it would do with a packet, and what a setting is."""

import os
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.sysctls import PROC_SYS, path_of
from ncgd.drivers.kernel.transport import messages
from ncgd.model.look import RouteAnswer, RouteOf, Setting

_CHUNK = 1 << 15
_SECONDS = 1.0


def route_of(asked: RouteOf) -> RouteAnswer:
    """What the kernel would do with such a packet. Takes some 20 µs for each of at most two requests."""
    try:
        with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)) as opened:
            opened.settimeout(_SECONDS)
            indexes = {name: index for index, name in socket.if_nameindex()}
            if asked.interface is not None:
                if asked.interface not in indexes:
                    return RouteAnswer(refusal=f"there is no interface {asked.interface}")
                entering = codec.get_way_through(asked.destination, asked.source, indexes[asked.interface])
                return _ask(opened, entering, indexes)
            answer = _ask(opened, codec.get_source(asked.destination), indexes)
            if answer.way is None:
                return answer
            # A route with a nexthop group is not answered with an interface here, only with its prefix.
            length = _ask(opened, codec.get_way(asked.destination), indexes).length
            return replace(answer, way=replace(answer.way, length=length))
    except OSError as error:
        return RouteAnswer(refusal=os.strerror(error.errno) if error.errno else str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer(RouteAnswer):
    length: int = 0
    """Of the prefix that a route was found by, in bits."""


def _ask(opened: socket.socket, request: bytes, indexes: Mapping[str, int]) -> _Answer:
    names = {index: name for name, index in indexes.items()}
    opened.sendto(request, (0, 0))
    data = opened.recv(_CHUNK)
    for kind, flags, _, start, end in messages(data):
        if kind == codec.RTM_NEWROUTE:
            way = parse.way(data, start, end, names)
            return _Answer(way=way, is_local=parse.is_local(data, start), length=parse.length(data, start))
        if refusal := parse.refusal(kind, flags, data, start, end):
            return _Answer(refusal=os.strerror(refusal.errno))
    return _Answer(refusal="no answer")


def setting(asked: Setting, root: Path = PROC_SYS) -> str:
    """The value of a sysctl; empty where there is none."""
    try:
        return " ".join(path_of(asked.key, root).read_text().split())
    except OSError:
        return ""
