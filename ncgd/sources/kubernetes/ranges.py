"""The address ranges of the cluster: ``podCIDRs`` of its Nodes and, when asked for, addresses of its Services."""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from ncgd.errors import DriverError
from ncgd.model import prefix as px
from ncgd.model.cluster_range import ClusterRange, RangeKind
from ncgd.model.event import ClusterRangesRead
from ncgd.model.spec import Finding
from ncgd.sources.kubernetes import explain
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json
from ncgd.sources.kubernetes.reflector import Reflector

QUIET_SECONDS = 0.2
"""Nodes often come and go together."""
PAGE = "50"
"""A Node is some 15 kB, of which less than 100 bytes are kept: a page of 500 would cost 50 MB for a moment."""

Note = Callable[[str, Finding | None], None]
"""Tells of something that concerns the API, by a key, or that it is over."""


class ClusterRanges:
    """Posts the ranges, now and when they change. What was read last stays while the API is away."""

    def __init__(self, cluster: Cluster, post: Callable[[ClusterRangesRead], None], note: Note) -> None:
        """``post`` never blocks."""
        self._cluster = cluster
        self._post = post
        self._note = note
        self._changed = asyncio.Event()
        self._nodes = Reflector(cluster, "/api/v1/nodes", _kept_node, self._changed.set, page=PAGE)
        self._services: Reflector | None = None
        self._wants_services = False
        self._posted: ClusterRangesRead | None = None

    def want_services(self, *, wanted: bool) -> None:
        """Whether addresses of Services matter; otherwise none is read."""
        if wanted == self._wants_services:
            return
        self._wants_services = wanted
        if wanted:  # at a start, what has been read so far is not all
            self._offer(ClusterRangesRead(ranges=None))
        self._changed.set()

    async def run(self) -> None:
        """Follow the API until cancelled."""
        self._offer(ClusterRangesRead(ranges=None))
        following: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nodes.run(), name="follow Nodes")
            while True:
                await self._changed.wait()
                await asyncio.sleep(QUIET_SECONDS)
                self._changed.clear()
                if self._wants_services and self._services is None:
                    path = "/api/v1/services"
                    self._services = Reflector(self._cluster, path, _kept_service, self._changed.set, page=PAGE)
                    following = group.create_task(self._services.run(), name="follow Services")
                elif not self._wants_services and following is not None:
                    following.cancel()
                    self._services = following = None
                self._tell()

    def _tell(self) -> None:
        self._note("nodes", self._problem("Nodes", self._nodes))
        self._note("services", self._problem("Services", self._services) if self._services else None)
        reflectors = [self._nodes, *([self._services] if self._services else [])]
        if not all(each.is_listed or _is_refusal(each.problem) for each in reflectors):
            return
        ranges = [each for (_, name), item in self._nodes.objects.items() for each in _pod_ranges(name, item)]
        bare = sorted(name for (_, name), item in self._nodes.objects.items() if not item["podCIDRs"])
        if self._services:
            for (namespace, name), item in self._services.objects.items():
                ranges += _load_balancer_ranges(f"{namespace}/{name}", item)
        self._offer(ClusterRangesRead(ranges=tuple(sorted(ranges)), bare_nodes=tuple(bare)))

    def _offer(self, event: ClusterRangesRead) -> None:
        if event != self._posted:
            self._posted = event
            self._post(event)

    def _problem(self, what: str, reflector: Reflector) -> Finding | None:
        problem = reflector.problem
        return (
            explain.range_problem(problem, what, self._cluster.url, is_known=reflector.is_listed) if problem else None
        )


def _is_refusal(problem: DriverError | None) -> bool:
    """Whether it is an answer: the same is to be expected the next time."""
    return isinstance(problem, ApiRejected) and problem.code in {401, 403, 404}


def _kept_node(item: Json) -> Json:
    spec = item.get("spec") or {}
    given = spec.get("podCIDRs") or [spec.get("podCIDR")]
    return {"podCIDRs": [text for text in given if isinstance(text, str) and text]}


def _kept_service(item: Json) -> Json:
    ingress = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    is_meant = (item.get("spec") or {}).get("type") == "LoadBalancer"
    return {"addresses": [each["ip"] for each in ingress if is_meant and each.get("ip")]}


def _pod_ranges(node: str, item: Json) -> Iterator[ClusterRange]:
    for text in item["podCIDRs"]:
        try:
            prefix = px.of_network(ip_network(text, strict=False))
        except ValueError:  # an API server lets none through
            continue
        yield ClusterRange(prefix=prefix, kind=RangeKind.POD, owner=f"node {node}")


def _load_balancer_ranges(service: str, item: Json) -> Iterator[ClusterRange]:
    for text in item["addresses"]:
        try:
            prefix = px.parse(str(ip_address(text)))
        except ValueError:  # written by whatever provides load balancers here
            continue
        yield ClusterRange(prefix=prefix, kind=RangeKind.LOAD_BALANCER, owner=f"Service {service}")
