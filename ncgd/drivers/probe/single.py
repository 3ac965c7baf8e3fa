"""Single packets that somebody asks for: an echo request in another's name, a SYN that no connection comes of."""

import asyncio
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

from ncgd.drivers.probe import codec
from ncgd.drivers.probe.capture import TCP, Capture, capture, echoes, segments
from ncgd.errors import DriverError
from ncgd.model.look import Echo, EchoAnswer, Heard, Knock, KnockAnswer

PAUSES = (0.4, 0.6, 1.0)
"""Seconds after each attempt."""
_HAND_ON_SECONDS = 0.5
"""So long an answer may take from one interface to the other."""
_TTL = 64
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_TOKEN_BYTES = 16
_SIGNATURES = frozenset({19, 29})
"""TCP options: MD5 (RFC 2385), TCP-AO (RFC 5925)."""


async def echo(asked: Echo) -> EchoAnswer:
    """Send an echo request, and see which ways it and its answer take. Takes two seconds when there is none."""
    identifier, token = int.from_bytes(os.urandom(2)), os.urandom(_TOKEN_BYTES)
    seen = EchoAnswer()
    try:
        async with capture(echoes(identifier)) as packets:
            for sequence, pause in enumerate(PAUSES):
                packet = codec.request(identifier, sequence, token)
                began = time.monotonic()
                _send(asked.source, asked.destination, socket.IPPROTO_ICMP, packet)
                seen = await _follow(packets, token, seen, pause, began)
                if seen.came_by:
                    return seen
    except DriverError as error:
        return replace(seen, unseen=str(error))
    except OSError as error:
        return replace(seen, failure=os.strerror(error.errno) if error.errno else str(error))
    return seen


async def _follow(packets: Capture, token: bytes, seen: EchoAnswer, seconds: float, began: float) -> EchoAnswer:
    """What is seen of it within that time, or shortly after the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds) as limit:
            while not seen.passed_on:
                packet = await packets.next()
                if token not in packet.content:
                    continue
                is_reply = packet.content[0] == codec.ECHO_REPLY
                if packet.is_outgoing and not is_reply and not seen.left_by:
                    seen = replace(seen, left_by=packet.interface, left_as=packet.source)
                elif is_reply and not packet.is_outgoing and not seen.came_by:
                    milliseconds = 1000 * (time.monotonic() - began)
                    seen = replace(seen, came_by=packet.interface, milliseconds=milliseconds)
                    limit.reschedule(asyncio.get_running_loop().time() + _HAND_ON_SECONDS)
                elif is_reply and packet.is_outgoing:
                    seen = replace(seen, passed_on=packet.interface)
    return seen


async def knock(asked: Knock) -> KnockAnswer:
    """Send a SYN, and see what comes back. The kernel knows nothing of it, and resets what would come about."""
    port = 0x8000 | int.from_bytes(os.urandom(2)) >> 1
    segment = _syn(asked, port)
    is_signed = False
    try:
        async with capture(segments(asked.remote)) as packets:
            for pause in PAUSES:
                _send(asked.local, asked.remote, TCP, segment, asked.interface)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        while True:
                            packet = await packets.next()
                            if packet.is_outgoing or packet.interface != asked.interface:
                                continue
                            is_signed = is_signed or _is_signed(packet.content)
                            flags = packet.content[13]
                            if struct.unpack_from("!HH", packet.content) == (asked.port, port) and flags & _ACK:
                                heard = Heard.REFUSED if flags & _RST else Heard.OPEN
                                return KnockAnswer(heard=heard, is_signed=is_signed)
    except DriverError as error:
        return KnockAnswer(heard=Heard.SILENT, failure=str(error))
    except OSError as error:
        failure = os.strerror(error.errno) if error.errno else str(error)
        return KnockAnswer(heard=Heard.SILENT, failure=failure)
    return KnockAnswer(heard=Heard.SILENT, is_signed=is_signed)


def _send(source: IPv4Address, destination: IPv4Address, protocol: int, content: bytes, interface: str = "") -> None:
    """One packet. The kernel fills in length, identification and checksum of the IP header (raw(7))."""
    header = _IP.pack(0x45, 0, 0, 0, 0, _TTL, protocol, 0, source.packed, destination.packed)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as opened:
        if interface:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        opened.sendto(header + content, socket.MSG_DONTWAIT, (str(destination), 0))


def _syn(asked: Knock, port: int) -> bytes:
    number = int.from_bytes(os.urandom(4))
    fields = [port, asked.port, number, 0, _TCP.size // 4 << 4, _SYN, 0xFFFF, 0, 0]
    pseudo = asked.local.packed + asked.remote.packed + struct.pack("!BBH", 0, TCP, _TCP.size)
    fields[7] = codec.checksum(pseudo + _TCP.pack(*fields))
    return _TCP.pack(*fields)


def _is_signed(segment: bytes) -> bool:
    """Whether there is a signature among the options of a TCP header (RFC 9293 section 3.1)."""
    at, end = _TCP.size, min(len(segment), (segment[12] >> 4) * 4)
    while at < end and (kind := segment[at]):
        if kind in _SIGNATURES:
            return True
        if kind == 1:
            at += 1
        elif at + 1 < end and segment[at + 1] > 1:
            at += segment[at + 1]
        else:
            break
    return False
