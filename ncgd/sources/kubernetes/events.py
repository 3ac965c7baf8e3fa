"""Notices → Kubernetes Events on the objects, one per object and reason: repetitions raise its count."""

import hashlib
from dataclasses import dataclass
from typing import Any

from ncgd.model.notice import Notice
from ncgd.model.spec import ObjectRef
from ncgd.resources.v1alpha1 import API_VERSION

Json = dict[str, Any]

SPACING_SECONDS = 30.0
"""An Event of one object and reason is written at most that often."""
MOST_KEPT = 500
"""Objects times reasons that are remembered; beyond that the oldest are counted anew."""
MESSAGE_CHARACTERS = 1024
"""The API's own limit."""


@dataclass(slots=True)
class _Series:
    notice: Notice
    first: str
    last: str
    count: int = 1
    is_pending: bool = True
    written_at: float = float("-inf")


class Events:
    """What has to be told, and how often it happened."""

    def __init__(self, node: str) -> None:
        """``node``: who tells."""
        self._node = node
        self._series: dict[tuple[ObjectRef, str], _Series] = {}

    def add(self, notice: Notice, wall: str) -> None:
        """Something has happened; ``wall`` is RFC 3339."""
        key = (notice.ref, notice.reason)
        series = self._series.pop(key, None)
        if series is None:
            series = _Series(notice, wall, wall)
        else:
            series.notice, series.last, series.is_pending = notice, wall, True
            series.count += 1
        self._series[key] = series
        while len(self._series) > MOST_KEPT:
            self._series.pop(next(iter(self._series)))

    def due(self, now: float) -> tuple[ObjectRef, str] | None:
        """An event that may be written now; ``now`` monotonic."""
        pending = (key for key, each in self._series.items() if each.is_pending)
        return next((key for key in pending if now - self._series[key].written_at >= SPACING_SECONDS), None)

    def written(self, key: tuple[ObjectRef, str], now: float) -> None:
        """An event is written, or never will be."""
        if key in self._series:
            self._series[key].is_pending = False
            self._series[key].written_at = now

    def body(self, key: tuple[ObjectRef, str], uid: str) -> tuple[str, Json]:
        """Path and content of the Event (core ``v1``) on the object with this identity."""
        ref, reason = key
        each = self._series[key]
        digest = hashlib.sha256(f"{ref}/{reason}/{uid}".encode()).hexdigest()[:12]
        name = f"{ref.name[:200].rstrip('.-')}.{digest}"
        path = f"/api/v1/namespaces/{ref.namespace}/events/{name}"
        return path, {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": ref.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": ref.kind,
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": uid,
            },
            "reason": reason,
            "message": each.notice.message[:MESSAGE_CHARACTERS],
            "type": "Warning" if each.notice.is_warning else "Normal",
            "source": {"component": "ncgd", "host": self._node},
            "reportingComponent": "ncgd",
            "reportingInstance": self._node,
            "firstTimestamp": each.first,
            "lastTimestamp": each.last,
            "count": each.count,
        }
