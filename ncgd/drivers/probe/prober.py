"""Sends the echoes, counts the answers, and tells when a tunnel's pulse changes."""

import asyncio
import os
import socket
import statistics
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from ncgd.decision.liveness import step
from ncgd.drivers.port import Post
from ncgd.drivers.probe import codec
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import ProbesRead
from ncgd.model.probe import Beat, Probe, ProbeReport, Vitality

REPORT_SECONDS = 1.0
"""How often round trips and loss are told though no pulse has changed."""
_REMEMBERED = 64
"""Echoes whose answers are still welcome; a reply counts once (duplicates and stale ones do not)."""
_NET_DEV = Path("/proc/thread-self/net/dev")


class Prober:
    """Table ``probes``: Probe by tunnel. Posts ProbesRead at each change and every second."""

    def __init__(self, post: Post) -> None:
        """Nothing is probed until the table is written."""
        self._post = post
        self._tracks: dict[str, _Track] = {}
        self._told: dict[str, ProbeReport] = {}
        self._changed = asyncio.Event()

    async def write(self, delta: Delta[str, Probe]) -> Outcome[str]:
        """Take over what to probe. A tunnel whose path is the same keeps its pulse, whatever its settings."""
        failed: dict[str, str] = {}
        for tunnel in delta.remove:
            if track := self._tracks.pop(tunnel, None):
                track.close()
        for tunnel, probe in delta.set.items():
            old = self._tracks.pop(tunnel, None)
            try:
                fresh = _Track(probe, old.vitality if old and old.is_same_path(probe) else Vitality())
            except OSError as error:
                failed[tunnel] = f"cannot probe {probe.remote} through {probe.interface}: {error.strerror}"
            else:
                self._tracks[tunnel] = fresh
            if old:
                old.close()
        self._changed.set()
        return Outcome(failed=failed)

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        report_due = loop.time() + REPORT_SECONDS
        try:
            while True:
                now = loop.time()
                self._beat(now)
                if now >= report_due or self._pulses_changed():
                    report_due = now + REPORT_SECONDS
                    self._tell()
                due = min([track.due for track in self._tracks.values()], default=report_due)
                self._changed.clear()
                try:
                    async with asyncio.timeout_at(min(due, report_due)):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            for track in self._tracks.values():
                track.close()

    def _beat(self, now: float) -> None:
        tracks = [track for track in self._tracks.values() if track.due <= now]
        if not tracks:
            return
        received = _received_packets()
        for track in tracks:
            track.beat(now, received.get(track.probe.interface, 0))

    def _pulses_changed(self) -> bool:
        return self._told.keys() != self._tracks.keys() or any(
            self._told[tunnel].vitality.pulse != track.vitality.pulse for tunnel, track in self._tracks.items()
        )

    def _tell(self) -> None:
        self._told = {tunnel: track.report() for tunnel, track in self._tracks.items()}
        self._post(ProbesRead(probes=dict(self._told)))


class _Track:
    """One tunnel being probed. Raises OSError when its socket cannot be made."""

    def __init__(self, probe: Probe, vitality: Vitality) -> None:
        self.probe = probe
        self.vitality = vitality
        self.due = 0.0
        self._token = os.urandom(16)
        self._sequence = 0
        self._sent: dict[int, float] = {}
        self._answers = 0
        self._received: int | None = None
        self._round_trips: deque[float | None] = deque(maxlen=max(1, round(1 / probe.settings.interval_seconds)))
        self._socket, self._has_ip_header = _open(probe)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def is_same_path(self, probe: Probe) -> bool:
        mine = self.probe
        return (mine.interface, mine.local, mine.remote) == (probe.interface, probe.local, probe.remote)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def beat(self, now: float, received: int) -> None:
        """Judge the interval that ends now, and send the next echo."""
        if self._received is not None:
            others = received - self._received - self._answers
            beat = Beat(is_answered=self._answers > 0, is_received=others > 0)
            if not beat.is_answered:
                self._round_trips.append(None)
            self.vitality = step(self.vitality, beat, self.probe.settings, now)
        self._received, self._answers = received, 0
        # Counted from now: after a stall of ours there is one beat, not a burst of missed ones.
        self.due = now + self.probe.settings.interval_seconds
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._sent[self._sequence] = now
        if len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        try:
            self._socket.sendto(
                codec.request(os.getpid() & 0xFFFF, self._sequence, self._token), (str(self.probe.remote), 0)
            )
        except OSError:
            return  # the tunnel says it cannot send: no answer will come, which is what counts

    def report(self) -> ProbeReport:
        answered = [seconds for seconds in self._round_trips if seconds is not None]
        loss = 1 - len(answered) / len(self._round_trips) if self._round_trips else 0.0
        return ProbeReport(
            vitality=self.vitality, rtt_seconds=statistics.median(answered) if answered else None, loss=loss
        )

    def _read(self) -> None:
        while True:
            try:
                packet, (source, _) = self._socket.recvfrom(2048)
            except OSError:
                return
            sequence = codec.reply_sequence(packet, self._token, has_ip_header=self._has_ip_header)
            sent = self._sent.pop(sequence, None) if sequence is not None else None
            if sent is not None and source == str(self.probe.remote):
                self._answers += 1
                self._round_trips.append(self._loop.time() - sent)


def _open(probe: Probe) -> tuple[socket.socket, bool]:
    """A socket bound to the tunnel's interface and address, and whether it shows IP headers.

    Datagram ICMP where ``ping_group_range`` allows it: it needs no CAP_NET_RAW and gets only its own replies.
    """
    try:
        opened, is_raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), False
    except PermissionError:
        opened, is_raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), True
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, probe.interface.encode())
        opened.bind((str(probe.local), 0))
    except OSError:
        opened.close()
        raise
    return opened, is_raw


def _received_packets() -> Mapping[str, int]:
    """Packets received so far, by interface (proc(5), /proc/net/dev)."""
    counts = {}
    for line in _NET_DEV.read_text().splitlines()[2:]:
        name, _, fields = line.partition(":")
        counts[name.strip()] = int(fields.split()[1])
    return counts
