"""One collection of the Kubernetes API, kept up to date: list, then watch from there, for ever.

A failing server is asked again more and more rarely, with jitter, so that many nodes do not come back at one moment.
What was read last stays; only the server itself, by a list or by an event, removes an object.
"""

import asyncio
import random
from collections.abc import Callable

from ncgd.errors import DriverError
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json

FIRST_DELAY_SECONDS = 0.5
CUT_DELAY_SECONDS = 5.0
"""Longest wait before a watch that was cut short is opened again."""
LONGEST_DELAY_SECONDS = 30.0
"""The same after a failure; a server's Retry-After may ask for up to twice as much."""
STEADY_SECONDS = 30.0
"""A watch that lasted this long was no failure."""
WATCH_SECONDS = (240, 480)
"""How long a watch lasts: random between these, so that not all of them end together."""
RELIST_SECONDS = 1800.0
"""Age at which the list is read again although the watch tells of nothing: a restored etcd is behind our version."""
PAGE = "500"
GONE = 410


class Reflector:
    """The objects of one collection by namespace and name. ``repr`` shows none of them: they may be Secrets."""

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        keep: Callable[[Json], Json],
        changed: Callable[[], None],
        *,
        page: str = PAGE,
        **selector: str,
    ) -> None:
        """``keep`` reduces an object to what matters; ``changed`` is called whenever something visible here is new.

        ``page``: how many objects are listed at a time.
        """
        self.objects: dict[tuple[str, str], Json] = {}
        self.problem: DriverError | None = None
        """Why the server cannot be followed now."""
        self.is_listed = False
        """The whole collection was read at least once."""
        self._cluster = cluster
        self._path = path
        self._keep = keep
        self._changed = changed
        self._page = page
        self._selector = selector
        self._version: str | None = None
        self._listed_at = 0.0
        self._is_followed = False
        self._delay = 0.0

    def __repr__(self) -> str:
        return f"<Reflector {self._path} with {len(self.objects)} objects>"

    @property
    def has_answered(self) -> bool:
        """False until the server was asked once, with whatever result."""
        return self.is_listed or self.problem is not None

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._is_followed = False
            began, longest, least = clock(), CUT_DELAY_SECONDS, 0.0
            try:
                if self._version is None or began - self._listed_at > RELIST_SECONDS:
                    await self._list()
                    self._listed_at = clock()
                await self._watch(self._version or "")
            except DriverError as error:
                if isinstance(error, ApiRejected):
                    least = min(error.retry_after, 2 * LONGEST_DELAY_SECONDS)
                if not self._is_followed or isinstance(error, ApiRejected):
                    longest = LONGEST_DELAY_SECONDS
                if isinstance(error, ApiRejected) and error.code == GONE:
                    self._version = None
                elif not self._is_followed:
                    self._tell(error)
            if clock() - began > STEADY_SECONDS:
                self._delay = 0.0
            self._delay = min(longest, max(FIRST_DELAY_SECONDS, 2 * self._delay))
            await asyncio.sleep(least + self._delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret

    async def _list(self) -> None:
        found: dict[tuple[str, str], Json] = {}
        query = {**self._selector, "limit": self._page}
        while True:
            page = await self._cluster.get(self._path, **query)
            for item in page.get("items") or ():
                found[_key(item)] = self._keep(item)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        self._version = metadata.get("resourceVersion")
        is_news = found != self.objects or not self.is_listed
        self.objects = found
        self.is_listed = True
        self._tell(None, is_news=is_news)

    async def _watch(self, version: str) -> None:
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - jitter, no secret
        await self._cluster.watch(
            self._path, seconds, self._opened, self._seen, resourceVersion=version, **self._selector
        )

    def _opened(self) -> None:
        self._is_followed = True
        self._tell(None)

    def _seen(self, kind: str, item: Json) -> None:
        self._version = (item.get("metadata") or {}).get("resourceVersion") or self._version
        if kind == "BOOKMARK":
            return
        key = _key(item)
        if kind == "DELETED":
            if self.objects.pop(key, None) is not None:
                self._changed()
            return
        kept = self._keep(item)
        if self.objects.get(key) != kept:
            self.objects[key] = kept
            self._changed()

    def _tell(self, problem: DriverError | None, *, is_news: bool = False) -> None:
        is_news = is_news or str(problem) != str(self.problem)
        self.problem = problem
        if is_news:
            self._changed()


def _key(item: Json) -> tuple[str, str]:
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
