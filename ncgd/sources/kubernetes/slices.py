"""OverlayRouteSlices: followed by every node, written by the active gateway."""

import asyncio
from collections.abc import Callable

from ncgd.errors import DriverError, Rejected
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import SlicesRead
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Finding
from ncgd.resources import crd, route_slice
from ncgd.resources.v1alpha1 import API_VERSION
from ncgd.sources.kubernetes import explain
from ncgd.sources.kubernetes.client import FIELD_MANAGER, ApiRejected, Cluster, Json
from ncgd.sources.kubernetes.pace import Pace
from ncgd.sources.kubernetes.reflector import Reflector

QUIET_SECONDS = 0.05
"""Slices that are written one after the other are often read together."""
BURST = 40.0
"""So many are written at once: 10 000 prefixes at a takeover."""
NOT_FOUND = 404

Note = Callable[[str, Finding | None], None]
"""Tells of something that concerns the API, by a key, or that it is over."""


class Slices:
    """OwnedTable of slices by name, and their source. What was read last stays while the API is away."""

    def __init__(self, cluster: Cluster, namespace: str, post: Callable[[SlicesRead], None], note: Note) -> None:
        """``post`` never blocks."""
        self._cluster = cluster
        self._namespace = namespace
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/{crd.plural(route_slice.KIND)}"
        self._post = post
        self._note = note
        self._changed = asyncio.Event()
        self._reflector = Reflector(cluster, self._path, _kept, self._changed.set)
        self._understood: dict[str, tuple[Json, RouteSlice]] = {}
        """Each slice with the object that it was made from."""
        self._answered: dict[str, str] = {}
        """The version that the last write of each slice has made."""
        self._pace: Pace | None = None

    async def run(self) -> None:
        """Follow the API until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name="follow OverlayRouteSlices")
            while True:
                await self._changed.wait()
                await asyncio.sleep(QUIET_SECONDS)
                self._changed.clear()
                self._tell()

    async def write(self, delta: Delta[str, RouteSlice]) -> Outcome[str]:
        """Apply, then delete, one by one and no faster than ``Pace`` allows; failures by name.

        That can last longer than our term: only versions that were known at its beginning are written over.
        """
        failed: dict[str, str] = {}
        versions = {name: self._version(name) for name in (*delta.set, *delta.remove)}
        epoch = max([self._epoch(), *(row.epoch for row in delta.set.values())])
        for name, row in delta.set.items():
            try:
                await self._turn(epoch)
                await self._put(row, versions[name])
            except DriverError as error:
                self._answered.pop(name, None)
                failed[name] = f"{route_slice.KIND} {name} cannot be written: {error}"
        for name in delta.remove:
            try:
                await self._turn(epoch)
                self._answered.pop(name, None)
                await self._cluster.delete(f"{self._path}/{name}", version=versions[name])
            except DriverError as error:
                if not (isinstance(error, ApiRejected) and error.code == NOT_FOUND):
                    failed[name] = f"{route_slice.KIND} {name} cannot be deleted: {error}"
        return Outcome(failed)

    async def _put(self, row: RouteSlice, version: str) -> None:
        body = route_slice.to_object(row, self._namespace)
        if version:
            body["metadata"]["resourceVersion"] = version
            answer = await self._cluster.apply(f"{self._path}/{row.name}", body)
        else:
            answer = await self._cluster.create(self._path, body, fieldManager=FIELD_MANAGER)
        self._answered[row.name] = _version(answer)

    async def _turn(self, epoch: int) -> None:
        """Wait until the next request may be made. Raises Rejected when the term of ``epoch`` is over by then."""
        self._pace = self._pace or Pace(asyncio.get_running_loop().time, BURST)
        await asyncio.sleep(self._pace.wait())
        if self._epoch() > epoch:
            raise Rejected(f"epoch {self._epoch()} has begun, and another node writes")
        self._pace.spend()

    def _version(self, name: str) -> str:
        """The latest version that is known; our own write may not have been read yet. (One server counts upwards.)"""
        read = _version(self._reflector.objects.get((self._namespace, name)) or {})
        return max(read, self._answered.get(name, ""), key=lambda text: (len(text), text))

    def _epoch(self) -> int:
        return max((row.epoch for _, row in self._understood.values()), default=0)

    def _tell(self) -> None:
        each = self._reflector
        problem: Finding | None = None
        if each.problem is not None:
            url, is_known = self._cluster.url, each.is_listed
            problem = explain.collection_problem(each.problem, route_slice.KIND, url, is_known=is_known)
        self._note("slices", problem)
        if not each.is_listed:
            return
        damaged: dict[str, str] = {}
        understood: dict[str, tuple[Json, RouteSlice]] = {}
        for (_, name), item in each.objects.items():
            known = self._understood.get(name)
            if known and known[0] is item:
                understood[name] = known
                continue
            try:
                understood[name] = item, route_slice.from_object(item)
            except ValueError as error:
                damaged[name] = str(error)
        self._understood = understood
        self._note("damaged slices", _damage([*damaged.values()]) if damaged else None)
        slices = {name: row for name, (_, row) in understood.items()}
        self._post(SlicesRead(slices=slices, damaged=frozenset(damaged)))


def _kept(item: Json) -> Json:
    metadata = {"name": (item.get("metadata") or {}).get("name"), "resourceVersion": _version(item)}
    return {"metadata": metadata, "spec": item.get("spec")}


def _version(item: Json) -> str:
    return str((item.get("metadata") or {}).get("resourceVersion") or "")


def _damage(texts: list[str]) -> Finding:
    return Finding(
        reason="SliceDamaged",
        where=route_slice.KIND,
        message=f"{'; '.join(texts[:3])}; what was read of it before stays in force",
        hint="the active gateway writes it anew; see its status and log when it does not",
        is_error=False,
    )
