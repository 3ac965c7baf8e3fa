"""What the bridge says about sessions, as events."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ncgd.drivers.exabgp import codec
from ncgd.drivers.port import Post
from ncgd.model.bgp import Attributes
from ncgd.model.event import (
    AdjRibInRead,
    EndOfRib,
    PathsLearned,
    PathsWithdrawn,
    SessionDown,
    SessionUp,
    SpeakerRead,
)
from ncgd.model.prefix import Prefix

RESTART_SECONDS = 120
"""Taken for a peer that does graceful restart when its own value was lost with a bridge (default of BIRD and FRR)."""

SAME_SECONDS = 3.0
"""A bridge that was restarted knows the age of a session to a second or two."""


@dataclass(slots=True)
class _Table:
    """The table of a session that is being sent whole."""

    ended: frozenset[int]
    paths: dict[Prefix, Attributes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Up:
    """A session that we have told of."""

    since: float
    restart: int | None


class Sessions:
    """Turns the bridge's messages into events, in order, under the peers' names.

    Knows which sessions it has told to be up, over the life of several bridges and speakers, so that each event
    is a change. Sessions of neighbours that nobody named are left out.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._interner = codec.Interner()
        self._names: dict[str, str] = {}
        self._up: dict[str, _Up] = {}
        self._tables: dict[str, _Table] = {}
        self._unheard: set[str] = set()

    def know(self, names: Mapping[str, str]) -> None:
        """Peer names by session key, in addition to those known."""
        self._names.update(names)

    def forget(self, keys: Iterable[str], reason: str) -> None:
        """These sessions are about to get another name: under the one they had they are down."""
        for key in keys:
            if key in self._up:
                self._down(key, reason, is_graceful=False)

    def start(self, names: Mapping[str, str]) -> None:
        """A new connection: every session is about to be reported."""
        self.know(names)
        self._tables.clear()
        self._unheard = set(self._up)

    def take(self, message: codec.Message) -> None:
        """One message. Raises ValueError when it makes no sense."""
        if isinstance(message, codec.Synced):
            for key in self._unheard & self._up.keys():
                self._down(key, "the speaker was started again", is_graceful=True)
            self._post(SpeakerRead())
            return
        if isinstance(message, codec.Answer) or message.key not in self._names:
            return
        self._unheard.discard(message.key)
        if isinstance(message, codec.Learn):
            self._learn(message)
        elif isinstance(message, codec.Withdraw):
            prefixes = codec.prefixes(message.family, message.blocks)
            self._post(PathsWithdrawn(peer=self._names[message.key], prefixes=prefixes))
        elif isinstance(message, codec.Eor):
            self._post(EndOfRib(peer=self._names[message.key], version=message.version))
        elif isinstance(message, codec.Up):
            self._tell_up(message)
        elif isinstance(message, codec.Down):
            self._down(message.key, codec.reason(message.reason), is_graceful=message.is_graceful)
        elif isinstance(message, codec.Begin):
            self._tell_up(message)
            self._tables[message.key] = _Table(frozenset(message.ended))
        else:
            self._finish(message.key)

    def _learn(self, message: codec.Learn) -> None:
        peer, table = self._names[message.key], self._tables.get(message.key)
        prefixes = codec.prefixes(message.family, message.blocks)
        try:
            attributes = self._interner.attributes(message.attributes)
        except ValueError:
            # RFC 7606 §2: treat as withdraw.
            if table is None:
                self._post(PathsWithdrawn(peer=peer, prefixes=prefixes))
            return
        if table is not None:
            table.paths.update(dict.fromkeys(prefixes, attributes))
        else:
            self._post(PathsLearned(peer=peer, attributes=attributes, prefixes=prefixes))

    def _tell_up(self, message: codec.Up | codec.Begin) -> None:
        known = self._up.get(message.key)
        restart = message.restart
        if restart is not None and restart < 0:
            restart = known.restart if known and known.restart is not None else RESTART_SECONDS
        if known and isinstance(message, codec.Begin):
            tolerance = SAME_SECONDS if message.is_recovered else 0.0
            if abs(known.since - message.since) <= tolerance:
                return
        self._up[message.key] = _Up(message.since, restart)
        age = max(0.0, time.monotonic() - message.since)
        self._post(SessionUp(peer=self._names[message.key], restart_seconds=restart, age_seconds=age))

    def _down(self, key: str, reason: str, *, is_graceful: bool) -> None:
        self._up.pop(key, None)
        self._tables.pop(key, None)
        self._post(SessionDown(peer=self._names[key], reason=reason, is_graceful=is_graceful))

    def _finish(self, key: str) -> None:
        table = self._tables.pop(key, None)
        if table is not None:
            self._post(AdjRibInRead(peer=self._names[key], paths=table.paths, families_ended=table.ended))
