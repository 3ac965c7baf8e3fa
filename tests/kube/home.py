"""ncgd's Kubernetes side without its data plane: what it reads meets a site of the scenarios, and is reported back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ncgd.daemon.loop import wall_time
from ncgd.decision.conditions import with_conditions
from ncgd.decision.world import World
from ncgd.model.event import ClusterRangesRead, Event, IntentRead, SlicesRead
from ncgd.model.masquerade_event import AgentConfigRead
from ncgd.model.prefix import Prefix
from ncgd.model.report import Report
from ncgd.model.secret import Vault
from ncgd.model.spec import Intent
from ncgd.sources.kubernetes.home import KubernetesHome
from tests.kube.cluster import Place, until
from tests.scenarios.site import Site, healthy_site


@dataclass
class Seen:
    world: World
    report: Report | None


@dataclass
class Running:
    """A running home and everything that it has posted."""

    place: Place
    wall: Callable[[], str] = wall_time
    intents: list[Intent] = field(default_factory=list)
    ranges: list[ClusterRangesRead] = field(default_factory=list)
    slices: list[SlicesRead] = field(default_factory=list)
    agent: list[AgentConfigRead] = field(default_factory=list)
    """The last of these."""
    site: Site | None = None
    awaits_role: bool = False

    async def __aenter__(self) -> "Running":
        self.vault = Vault(b"salt")
        self.seen: Seen | None = None
        cluster = self.place.connect()
        self.home = KubernetesHome(
            cluster,
            self.place.namespace,
            self.vault,
            self._post,
            node="node-1",
            wall=self.wall,
            awaits_role=self.awaits_role,
        )
        self.task = asyncio.create_task(self.home.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self.task.done(), "nothing that an API server does may end it"
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def intent(self) -> Intent:
        return self.intents[-1] if self.intents else Intent(is_complete=False)

    @property
    def reasons(self) -> set[str]:
        return {finding.reason for finding in self.intent.findings}

    async def until_whole(self) -> Intent:
        await until(lambda: len(self.intent.peers) == 2 and self.intent.is_complete and not self.intent.findings)
        return self.intent

    def shows(self, site: Site) -> None:
        """What a pass of the loop does with the state of a site."""
        before = self.seen.report if self.seen else None
        report = with_conditions(site.report(), site.world.intent or Intent(), before, self.wall())
        self.seen = Seen(site.world, report)
        self.home.observe(self.seen)

    def comes_up(self) -> Site:
        """A site that brings the intent to life."""
        self.site = healthy_site(self.intent)
        read: list[Event] = [*self.ranges, *self.agent]
        for event in read:
            self.site.tell(event)
        self.site.settle()
        self.shows(self.site)
        return self.site

    @property
    def published(self) -> set[Prefix]:
        """The prefixes in the slices that were read last."""
        rows = self.slices[-1].slices.values() if self.slices else ()
        return {prefix for row in rows for prefix in row.prefixes}

    def _post(self, event: IntentRead | ClusterRangesRead | SlicesRead | AgentConfigRead) -> None:
        if isinstance(event, ClusterRangesRead):
            self.ranges.append(event)
        elif isinstance(event, SlicesRead):
            self.slices.append(event)
        elif isinstance(event, IntentRead):
            self.intents.append(event.intent)
        else:
            self.agent = [event]
        if self.site is not None:
            self.site.tell(event)
            self.shows(self.site)
