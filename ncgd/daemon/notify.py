"""What systemd is told of a unit with ``Type=notify`` and a watchdog (sd_notify(3)): ready, how it goes, alive."""

import socket

from ncgd.daemon.loop import State
from ncgd.decision.desired import is_protected

SECONDS = 1.0
"""Between two messages that say the same; ``WatchdogSec`` is to be several times as long."""


class Notifier:
    """Says after a pass how it goes: ready from the first one that found everything protected that must not leak."""

    def __init__(self, address: str) -> None:
        """``address`` of systemd's datagram socket, as in ``$NOTIFY_SOCKET``; empty: nobody listens."""
        self._address = "\0" + address[1:] if address.startswith("@") else address  # unix(7), abstract
        self._is_ready = False
        self._said = ""
        self._when = 0.0

    def observe(self, state: State) -> None:
        """Never blocks, never raises: what systemd misses now it hears in a second."""
        if not self._address:
            return
        self._is_ready = self._is_ready or is_protected(state.world)
        health = f"\nSTATUS=Gateway is {state.report.health}" if state.report else ""
        text = f"WATCHDOG=1{health}" + ("\nREADY=1" if self._is_ready else "")
        if text == self._said and state.ended - self._when < SECONDS:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(), self._address)
            except OSError:
                return
        self._said, self._when = text, state.ended
