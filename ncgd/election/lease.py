"""The Lease object: how it is spelled in the API, and the three requests about it."""

import asyncio
import time
from collections.abc import Coroutine
from ipaddress import ip_address
from typing import Any

from ncgd.errors import TimedOut
from ncgd.model.lease import Lease
from ncgd.sources.kubernetes.client import ApiRejected, Cluster

Json = dict[str, Any]

REQUEST_SECONDS = 3.0
"""Longest wait for an answer: a few have to fit into the Lease's duration."""
ADDRESS = "ncgd.io/address"
INSTANCE = "ncgd.io/instance"
YIELDS = "ncgd.io/yields"
GATEWAY_LABEL = "ncgd.io/gateway"
MISSING = 404


def lease_name(gateway: str) -> str:
    """The Lease of a NetworkConnectivityGateway."""
    return f"ncgd-{gateway}"


class LeaseObject:
    """One Lease by name. Errors are those of ``Cluster``."""

    def __init__(self, cluster: Cluster, namespace: str, gateway: str) -> None:
        """``gateway``: name of the NetworkConnectivityGateway."""
        self._cluster = cluster
        self._namespace = namespace
        self._gateway = gateway
        self.name = lease_name(gateway)
        self.collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def get(self) -> Json | None:
        """The object as it is now; None when there is none."""
        try:
            return await self._within(self._cluster.get(f"{self.collection}/{self.name}"))
        except ApiRejected as error:
            if error.code == MISSING:
                return None
            raise

    async def create(self, lease: Lease) -> Json:
        """POST. Raises ApiRejected 409 when there is one."""
        return await self._within(self._cluster.create(self.collection, self._body(lease, {})))

    async def replace(self, lease: Lease, found: Json) -> Json:
        """PUT in place of ``found``, and with what others have written there.

        Raises ApiRejected 409 when that is not the version any more.
        """
        path = f"{self.collection}/{self.name}"
        return await self._within(self._cluster.replace(path, self._body(lease, found)))

    async def _within(self, request: Coroutine[None, None, Json]) -> Json:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await request
        except TimeoutError as error:
            raise TimedOut(f"{self._cluster.url} does not answer within {REQUEST_SECONDS:.0f} s") from error

    def _body(self, lease: Lease, found: Json) -> Json:
        metadata: Json = {
            key: value for key, value in (found.get("metadata") or {}).items() if key not in {"managedFields", "uid"}
        }
        ours = {ADDRESS: str(lease.address or ""), INSTANCE: lease.instance, YIELDS: lease.yields}
        annotations = {**(metadata.get("annotations") or {}), **ours}
        labels = {**(metadata.get("labels") or {}), GATEWAY_LABEL: self._gateway}
        metadata |= {"name": self.name, "namespace": self._namespace, "labels": labels}
        metadata["annotations"] = {key: value for key, value in annotations.items() if value}
        if lease.version:
            metadata["resourceVersion"] = lease.version
        spec: Json = {**(found.get("spec") or {})}
        if lease.holder != spec.get("holderIdentity"):
            spec["acquireTime"] = lease.renewed
        spec |= {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": max(1, round(lease.duration_seconds)),
            "leaseTransitions": lease.transitions,
            "renewTime": lease.renewed,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def lease_of(item: Json) -> Lease:
    """A Lease object as a value; what is missing or broken in it counts as not said."""
    metadata, spec = item.get("metadata") or {}, item.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    try:
        address = ip_address(annotations.get(ADDRESS, ""))
    except ValueError:
        address = None
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        instance=str(annotations.get(INSTANCE, "")),
        address=address,
        transitions=int(spec.get("leaseTransitions") or 0),
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        renewed=str(spec.get("renewTime") or ""),
        yields=str(annotations.get(YIELDS, "")),
        version=_version(item),
    )


def is_older(item: Json | None, than: Json | None) -> bool:
    """Whether an object is an earlier version; what a watch tells may be late. (One server counts upwards.)"""
    one, other = _version(item), _version(than)
    return one.isdigit() and other.isdigit() and int(one) < int(other)


def _version(item: Json | None) -> str:
    return str(((item or {}).get("metadata") or {}).get("resourceVersion") or "")


def micro_time() -> str:
    """Now as Kubernetes' MicroTime, for people: nobody decides by it."""
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now // 1000 % 10**6:06d}Z"
