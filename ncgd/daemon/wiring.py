"""Who is connected to whom: the only module that names concrete drivers and sources."""

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ncgd.api.history import History
from ncgd.api.page.routes import assets, page_of
from ncgd.api.port import StatusPort
from ncgd.api.server import Api
from ncgd.daemon.capabilities import NET_BIND_SERVICE, effective
from ncgd.daemon.charons import CharonDriver, Charons, RoutedTable
from ncgd.daemon.chronicle import Chronicle
from ncgd.daemon.hand_over import hand_over
from ncgd.daemon.lock import only_one
from ncgd.daemon.looks import Looks
from ncgd.daemon.loop import Loop, Observe, State, wall_moment, wall_time
from ncgd.daemon.mailbox import Mailbox
from ncgd.daemon.notify import Notifier
from ncgd.daemon.processes import Processes
from ncgd.daemon.roster import Roster
from ncgd.daemon.settings import Settings
from ncgd.daemon.supervise import Supervisor
from ncgd.drivers.exabgp import speaker
from ncgd.drivers.exabgp.driver import Exabgp
from ncgd.drivers.kernel.probe import probe
from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.nftables import watch as filter_watch
from ncgd.drivers.nftables.agent import AgentTable
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.translators import Translators
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.port import OwnedTable, Post
from ncgd.drivers.probe.memory import Memory
from ncgd.drivers.probe.prober import Prober
from ncgd.drivers.statefile.table import GuardedPrefixes
from ncgd.drivers.strongswan import charon as charon_program
from ncgd.drivers.strongswan.driver import Strongswan
from ncgd.errors import UserError
from ncgd.model.capability import CharonKeeper
from ncgd.model.event import CapabilityProbed
from ncgd.model.ike import Charon, DataplaneMode
from ncgd.model.process import Launch
from ncgd.model.role import STANDALONE, Role
from ncgd.model.secret import Vault
from ncgd.sources.files import FilesSource

AnyTable = OwnedTable[object, object]

PROBE_SECONDS = 1.0
"""While neither dataplane can run: how often that is looked at again. What is missing may be installed meanwhile."""


async def run(settings: Settings, leaving: asyncio.Event) -> None:
    """Wire everything and run until cancelled, or ``leaving`` is set and another node has taken over.

    Raises UserError when another ncgd runs here.
    """
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(settings.run_dir):
        await _run(settings, leaving)


async def _run(settings: Settings, leaving: asyncio.Event) -> None:
    mailbox = Mailbox()
    vault = Vault(os.urandom(16))
    kernel = Kernel(mailbox.post, settings.sysctl_root)
    prober = Prober(mailbox.post, Memory(settings.run_dir / "pulses.json"))
    bgp = Exabgp(settings.bridge_socket, settings.exabgp_config, mailbox.post)

    def connect(row: Charon) -> CharonDriver:
        is_alone = row.mode is DataplaneMode.KERNEL and not settings.is_supervisor
        socket = settings.vici_socket if is_alone else charon_directory(settings, row.name) / "charon.vici"
        return cast("CharonDriver", Strongswan(row.name, socket, vault, mailbox.post))

    async def launch(name: str, row: object) -> Launch:
        if isinstance(row, Charon):
            installation = await charon_program.find_installation()
            return charon_program.launch(row, installation, charon_directory(settings, name))
        return speaker.launch(settings.exabgp_config, settings.bridge_socket)

    nft = Nft()
    clamps, guard, exemption, esp_ports = MssClampTable(nft), GuardTable(nft), ExemptionTable(nft), EspPortTable(nft)
    memory = GuardedPrefixes(settings.state_dir)
    charons = Charons(connect)
    runner = (
        Supervisor(settings.run_dir, launch, mailbox.post)
        if settings.is_supervisor
        else Roster(settings.run_dir, mailbox.post)
    )
    tables: dict[str, AnyTable] = {
        "processes": Processes(charons, runner),
        "sysctls": cast("AnyTable", kernel.sysctls),
        "esp_ports": cast("AnyTable", esp_ports),
        "links": cast("AnyTable", kernel.links),
        "addresses": cast("AnyTable", kernel.addresses),
        "adjacencies": cast("AnyTable", kernel.adjacencies),
        "ways": cast("AnyTable", kernel.ways),
        "nexthops": cast("AnyTable", kernel.nexthops),
        "agent": cast("AnyTable", AgentTable(nft)),
        "masquerade": cast("AnyTable", exemption),
        "guard": cast("AnyTable", guard),
        "clamps": cast("AnyTable", clamps),
        "credentials": RoutedTable(charons, lambda driver: cast("AnyTable", driver.credentials)),
        "connections": RoutedTable(charons, lambda driver: cast("AnyTable", driver.connections)),
        "sas": RoutedTable(charons, lambda driver: cast("AnyTable", driver.sas)),
        "probes": cast("AnyTable", prober),
        "neighbors": cast("AnyTable", bgp.neighbors),
        "memory": cast("AnyTable", memory),
    }
    chronicle = Chronicle(settings.run_dir / "timeline.jsonl")
    history, notifier = History(time.monotonic), Notifier(os.environ.get("NOTIFY_SOCKET", ""))
    place = home(settings, vault, mailbox)
    tables |= place.tables

    def observe(state: State) -> None:
        chronicle.keep(state.happened)
        for look in (history.observe, notifier.observe, place.observe):
            look(state)

    loop = Loop(
        mailbox,
        tables,
        kernel.program,
        settings.node,
        gateway=settings.gateway,
        role=place.role,
        past=chronicle.recall(),
        observe=observe,
    )

    tasks: list[asyncio.Task[None]] = []

    def say_goodbye() -> None:
        chronicle.keep([loop.state.timeline.say_goodbye(loop.state.world, wall_moment(), failed_job(tasks))])

    api = Api(settings.socket, lambda: loop.state, Looks(nft, settings.sysctl_root).along)

    async def probe_until_able() -> None:
        while True:
            mailbox.post(
                CapabilityProbed(
                    capability=await asyncio.to_thread(probe),
                    keeper=keeper(runner),
                    may_bind_service=NET_BIND_SERVICE in effective(),
                )
            )
            await asyncio.sleep(PROBE_SECONDS)
            capability = loop.state.world.capability
            if capability is not None and (capability.kernel_esp or capability.userspace_esp):
                return

    async def remember() -> None:
        mailbox.post(await memory.read())

    gc.freeze()  # code and tables stay for good: collections, which hold the loop up, need not go through them again
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as at_end:
        at_end.callback(kernel.close)
        at_end.callback(say_goodbye)
        jobs = [
            ("capability", probe_until_able()),
            ("kernel", kernel.run()),
            ("nftables", filter_watch.Watch(nft, guard, exemption, clamps, mailbox.post, esp_ports=esp_ports).run()),
            ("translators", Translators(nft, mailbox.post).run()),
            ("memory", remember()),
            ("exabgp", bgp.run()),
            *((name, run()) for name, run in place.jobs.items()),
            ("probe", prober.run()),
            *status_port(settings, api, lambda: loop.state, history, mailbox.post),
        ]
        jobs += [("charons", charons.run()), ("api", api.run()), ("loop", loop.run()), ("supervise", runner.run())]
        tasks += [group.create_task(job, name=name) for name, job in jobs]
        await leaving.wait()
        await hand_over(place.leave, lambda: loop.state.world)
        for task in tasks:
            task.cancel()


def keeper(runner: Supervisor | Roster) -> CharonKeeper:
    """Who starts charons here, as far as can be seen now."""
    if isinstance(runner, Supervisor):
        return CharonKeeper.NCGD
    return CharonKeeper.FOLLOWER if runner.is_followed() else CharonKeeper.OTHERS


def failed_job(tasks: Iterable[asyncio.Task[None]]) -> str:
    """Name of the job that an error has ended; empty when there is none."""
    ended = (task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None)
    return next((task.get_name() for task in ended), "")


def status_port(
    settings: Settings, api: Api, state: Callable[[], State], history: History, post: Post
) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
    """The job of the status port, where the settings name one."""
    if settings.status_address is not None:
        shown = {**api.shown, "/": page_of(state, history)}
        yield "status port", StatusPort(*settings.status_address, shown, post, fixed=assets()).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where resources come from, where status goes, and who says which part to play."""

    jobs: Mapping[str, Callable[[], Coroutine[None, None, None]]]
    tables: Mapping[str, AnyTable] = field(default_factory=dict)
    """What is written there, by name."""
    observe: Observe = lambda _: None
    role: Role = STANDALONE
    """To start with."""
    leave: Callable[[str], None] = lambda _: None
    """Have another node take over, and say why."""


def home(settings: Settings, vault: Vault, mailbox: Mailbox) -> Home:
    """The home that the settings name. Raises UserError when the Kubernetes API cannot be used."""
    if settings.source == "files":
        return Home(jobs={"source": FilesSource(settings.resources, vault, mailbox.post).run})
    try:
        # Only here, because it costs 4 MB, and an appliance does without these packages.
        from ncgd.election.contest import Contest, undecided  # noqa: PLC0415
        from ncgd.sources.kubernetes.client import connect  # noqa: PLC0415
        from ncgd.sources.kubernetes.home import KubernetesHome  # noqa: PLC0415
    except ImportError as error:
        raise UserError(f"--source kubernetes needs more packages ({error}): pip install 'ncgd[kubernetes]'") from error
    cluster = connect(settings.kubeconfig)
    kubernetes = KubernetesHome(
        cluster, settings.namespace, vault, mailbox.post, node=settings.node, wall=wall_time, awaits_role=True
    )
    contest = Contest(
        cluster,
        settings.namespace,
        settings.gateway,
        mailbox.post,
        node=settings.node,
        address=settings.node_address,
        instance=os.urandom(8).hex(),
    )
    return Home(
        jobs={"source": kubernetes.run, "election": contest.run},
        tables={"slices": cast("AnyTable", kubernetes.slices)},
        observe=kubernetes.observe,
        role=undecided(settings.gateway),
        leave=contest.leave,
    )


def charon_directory(settings: Settings, name: str) -> Path:
    """Where a supervised charon keeps its configuration, socket and log."""
    return settings.run_dir / name
