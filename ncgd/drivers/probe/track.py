"""One tunnel being probed: its socket, the echoes under way, and what came of each interval."""

import os
import socket
import statistics
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from ncgd.decision.liveness import step
from ncgd.drivers.probe import codec
from ncgd.model.probe import Beat, EchoTally, Probe, ProbeReport, Pulse, Vitality

_NOT_UP = {Pulse.UNPROVEN, Pulse.DEAD}
"""Paths on which no echo is answered."""
_REMEMBERED = 128
"""Echoes whose answers are still welcome; a reply counts once (duplicates and stale ones do not)."""
_READ_AT_ONCE = 256
"""Packets read in one interval: whoever floods us with replies gets no more of our time than that."""
_HEADERS = 28
"""IPv4 and ICMP, without options."""
_NETWORK_CONTROL = 0xC0
"""DSCP CS6 (RFC 4594), as routing protocols have: under load an echo should be the last packet to be dropped."""
_SOL_RAW, _ICMP_FILTER = 255, 1
_SO_TIMESTAMPNS = 64
"""linux/socket.h SO_TIMESTAMPNS_NEW: when the kernel got the packet, which we may read much later."""
_TIMESPEC = struct.Struct("=qq")
_TIMESPEC_ROOM = socket.CMSG_SPACE(_TIMESPEC.size)


@dataclass(frozen=True, slots=True)
class Counters:
    """What an interface has received (packets) and sent (bytes) so far."""

    received: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Echo:
    """One that was sent."""

    sent: tuple[int, int]
    """When: nanoseconds of the steady clock and of the wall clock."""
    pulse: Pulse
    """Of the path at that time."""


class Track:
    """One tunnel. Raises OSError when its socket cannot be made."""

    def __init__(self, probe: Probe) -> None:
        """The path is open; nothing is sent before the first ``judge``."""
        self.probe = probe
        self.vitality = Vitality()
        self.tally = EchoTally()
        self.due = 0.0
        """When the next beat is (the loop's clock)."""
        self._token = os.urandom(16)
        self._sequence = 0
        self._sent: dict[int, _Echo] = {}
        self._urgent: set[int] = set()
        self._before: Counters | None = None
        self._round_trips: dict[int, float] = {}
        self._a_second = max(1, round(1 / probe.settings.interval_seconds))
        self._received: deque[int] = deque(maxlen=self._a_second)
        self._large_sequence: int | None = None
        self._large_lost: int | None = None
        self._socket, is_raw = _open(probe)
        self._identifier = int.from_bytes(os.urandom(2)) if is_raw else None
        index = socket.if_nametoindex(probe.interface)
        self.path = f"{probe.tunnel}: {probe.local} to {probe.remote} through {probe.interface} ({index})"
        """Names the path, and no other one that this machine has had since its start."""

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def judge(self, now: float, counters: Counters) -> None:
        """Read the answers, and judge the interval that ends now; ``now`` in seconds of the loop's clock."""
        answers = self._read()
        if self._before is not None:
            beat = Beat(
                is_answered=answers > 0,
                received=max(0, counters.received - self._before.received - answers),
                sent_bytes=max(0, counters.sent_bytes - self._before.sent_bytes),
            )
            self._received.append(beat.received)
            self.vitality = step(self.vitality, beat, self.probe.settings, now)
            if not self.vitality.is_doubted:
                self._urgent.clear()
        self._before = counters

    def send(self) -> None:
        """Send the next echo, and once a second a second one, as large as the MTU."""
        self._count_lost()
        # Before it is sent: on a short way the answer is there before sendto returns.
        echo = _Echo((time.monotonic_ns(), time.time_ns()), self.vitality.pulse)
        sequence = self._send(b"")
        self._sent[sequence] = echo
        if len(self._sent) > _REMEMBERED:
            oldest = next(iter(self._sent))
            del self._sent[oldest]
            self._round_trips.pop(oldest, None)
        if sequence % (self._a_second + 1) == 0:
            if self._large_sequence is not None and self._large_lost is not None:
                self._large_lost += 1
            self._large_sequence = self._send(bytes(max(0, self.probe.mtu - _HEADERS - len(self._token))))

    def _count_lost(self) -> None:
        """The echo that was sent a second ago has had its time."""
        due = next(islice(reversed(self._sent), self._a_second - 1, None), None)
        if due is not None and due not in self._round_trips and self._sent[due].pulse != Pulse.UNPROVEN:
            self.tally = replace(self.tally, lost=self.tally.lost + 1)

    def insist(self) -> None:
        """Send an echo between two beats; its answer counts, and its loss does not."""
        self._urgent.add(self._send(b""))

    def _send(self, padding: bytes) -> int:
        """Send an echo; returns its sequence number."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        message = codec.request(self._identifier or 0, self._sequence, self._token + padding)
        with suppress(OSError):  # the tunnel says it cannot send: no answer will come, which is what counts
            self._socket.sendto(message, (str(self.probe.remote), 0))
        return self._sequence

    def report(self) -> ProbeReport:
        """The vitality, and what came of a second's echoes; the last second's may still be answered.

        What was sent before a path has come up is no loss of it any more.
        """
        latest = list(self._sent)[-2 * self._a_second :]
        answered = [self._round_trips[sequence] for sequence in latest if sequence in self._round_trips]
        is_up = self.vitality.pulse not in _NOT_UP
        due = [each for each in latest[: -self._a_second] if not is_up or self._sent[each].pulse not in _NOT_UP]
        lost = sum(sequence not in self._round_trips for sequence in due)
        return ProbeReport(
            vitality=self.vitality,
            rtt_seconds=statistics.median(answered) if answered else None,
            loss=lost / len(due) if due else 0.0,
            large_lost=self._large_lost,
            received=sum(self._received),
            tally=self.tally,
        )

    def _read(self) -> int:
        """How many echoes have been answered since the last time."""
        answers = 0
        for _ in range(_READ_AT_ONCE):
            try:
                packet, ancillary, _, source = self._socket.recvmsg(2048, _TIMESPEC_ROOM)
            except OSError:
                break
            sequence = codec.reply_sequence(packet, self._token, self._identifier)
            if sequence is None or source[0] != str(self.probe.remote):
                continue
            if sequence == self._large_sequence:
                answers += 1
                self._large_sequence, self._large_lost = None, 0
            elif sequence in self._urgent:
                answers += 1
                self._urgent.remove(sequence)
            elif sequence in self._sent and sequence not in self._round_trips:
                answers += 1
                self._round_trips[sequence] = seconds = round_trip(
                    self._sent[sequence].sent, (time.monotonic_ns(), _arrival(ancillary))
                )
                self.tally = replace(self.tally, round_trips=self.tally.round_trips.plus(seconds))
        return answers


def round_trip(sent: tuple[int, int], arrived: tuple[int, int]) -> float:
    """Seconds between two times, each by the steady clock and by the wall clock in nanoseconds.

    The wall clock knows better, for it is the kernel's when a packet comes; unless somebody has set it meanwhile.
    """
    longest, seconds = ((after - before) / 1e9 for before, after in zip(sent, arrived, strict=True))
    return seconds if 0 <= seconds <= longest else longest


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel got a packet, in nanoseconds of the wall clock: it has no other one for packets."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()


def _open(probe: Probe) -> tuple[socket.socket, bool]:
    """A socket bound to the tunnel's interface and address, and whether it is a raw one.

    Datagram ICMP where ``ping_group_range`` allows it: it needs no CAP_NET_RAW and gets only its own replies.
    """
    try:
        opened, is_raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), False
    except PermissionError:
        opened, is_raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), True
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, probe.interface.encode())
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _NETWORK_CONTROL)
        if is_raw:
            opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << codec.ECHO_REPLY) & 0xFFFF_FFFF))
        opened.bind((str(probe.local), 0))
    except OSError:
        opened.close()
        raise
    return opened, is_raw
