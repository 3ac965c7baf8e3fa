"""The ConfigMap of ip-masq-agent: read for whoever asks, and kept in step with what was learned, where that is wanted.

What ncgd has added stands in an annotation of the ConfigMap. Each change is made to the version that was read: who
edits it meanwhile wins, and what they wrote is looked at next.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ncgd.decision.agent_share import Share, shared
from ncgd.decision.role import has_heard_all
from ncgd.decision.world import World
from ncgd.errors import DriverError
from ncgd.model import prefix as px
from ncgd.model.masquerade_event import AgentConfigRead
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Finding, Masquerade
from ncgd.resources.agent_config import CONFIG_MAP, KEY, LIST, ConfigInvalid, ConfigUneditable
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json
from ncgd.sources.kubernetes.reflector import Reflector

ANNOTATION = "ncgd.io/non-masquerade-cidrs"
LOOK_SECONDS = 5.0
"""How often it is looked at whether what was learned has changed; agents read their configuration once a minute."""
CONFLICT = 409
_NOTE = "ip-masq-agent"

Note = Callable[[str, Finding | None], None]


@dataclass(frozen=True, slots=True)
class _Held:
    """The ConfigMap as it was read."""

    version: str
    text: str
    ours: tuple[str, ...]


class AgentConfigMap:
    """Follows the ConfigMap, and writes our entries into it."""

    def __init__(self, cluster: Cluster, namespace: str, note: Note, post: Callable[[AgentConfigRead], None]) -> None:
        """``note`` tells of what a person has to mend."""
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._where = f"ConfigMap/{namespace}/{CONFIG_MAP}"
        self._note = note
        self._post = post
        self._posted: AgentConfigRead | None = None
        self._changed = asyncio.Event()
        selector = {"fieldSelector": f"metadata.name={CONFIG_MAP}"}
        self._reflector = Reflector(cluster, self._path, _kept, self._changed.set, **selector)
        self._world: World | None = None
        self._signs: object = None
        """What of the world tells at once that there may be something to do."""
        self._outdated = ""
        """The version that we have changed ourselves, until the watch tells of the next one."""

    def observe(self, world: World) -> None:
        """Take note of the state after a pass."""
        self._world = world
        exempt, mode = world.protection.exempt, world.intent and world.intent.gateway.masquerade
        signs = (mode, world.role.part, len(exempt.held), exempt.is_settled)
        if signs != self._signs:
            self._signs = signs
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name="follow the ConfigMap of ip-masq-agent")
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._changed.wait()
                self._changed.clear()
                self._tell()
                await self._keep_in_step()

    def _tell(self) -> None:
        """What the configuration says. One that cannot be read stays as it was read last."""
        if not self._reflector.is_listed:
            return
        held = _held(self._reflector)
        told = AgentConfigRead(text=held.text if held else "")
        if told != self._posted:
            self._posted = told
            self._post(told)

    async def _keep_in_step(self) -> None:
        world = self._world
        if world is None or world.intent is None:
            return
        mode, problem = world.intent.gateway.masquerade, self._reflector.problem
        is_wanted = mode == Masquerade.CONFIG_MAP and world.role.is_gateway
        if problem is not None:
            is_needed = is_wanted or (mode == Masquerade.AGENT and world.role.is_decided)
            self._note(_NOTE, self._unreadable(problem) if is_needed else None)
            return
        held = _held(self._reflector)
        if not world.role.is_gateway or not (is_wanted or (held and held.ours)):
            self._note(_NOTE, None)
        elif not self._reflector.is_listed:
            return
        elif held is None:
            self._note(_NOTE, self._missing())
        elif not is_wanted and not world.intent.is_complete:
            return  # a gateway that is not known has not opted out
        elif held.version != self._outdated and world.protection.exempt.is_settled:
            await self._write(held, _wanted(world, held) if is_wanted else frozenset(), is_wanted=is_wanted)

    async def _write(self, held: _Held, prefixes: frozenset[Prefix], *, is_wanted: bool) -> None:
        try:
            share = await asyncio.to_thread(shared, held.text, held.ours, prefixes)
            if (share.text, share.ours) != (held.text, held.ours):
                await self._cluster.merge(f"{self._path}/{CONFIG_MAP}", _patch(held, share))
                self._outdated = held.version
            self._note(_NOTE, self._crowded(share) if is_wanted else None)
        except ConfigInvalid as error:
            self._note(_NOTE, self._invalid(error))
        except DriverError as error:
            if not (isinstance(error, ApiRejected) and error.code == CONFLICT):  # the next version is on its way to us
                self._note(_NOTE, self._unwritable(error))

    def _missing(self) -> Finding:
        hint = "create it, or set masquerade: Exempt if no ip-masq-agent runs here"
        return self._finding("AgentConfigMissing", "there is no such ConfigMap: the agent has its defaults", hint)

    def _invalid(self, error: ConfigInvalid) -> Finding:
        hint = "correct it: the agent does not take it either, and keeps its last rules; nothing of it was changed"
        if isinstance(error, ConfigUneditable):
            hint = f"write {LIST} as a plain list there, with no alias and no indent; nothing of it was changed"
        return self._finding("AgentConfigInvalid", f"{KEY}: {error}", hint)

    def _unreadable(self, error: DriverError) -> Finding:
        return self._finding("AgentConfigUnreadable", str(error), "kubectl apply -f config/rbac; ncgd goes on trying")

    def _unwritable(self, error: DriverError) -> Finding:
        return self._finding("AgentConfigNotWritten", str(error), "kubectl apply -f config/rbac; ncgd goes on trying")

    def _crowded(self, share: Share) -> Finding | None:
        if not share.joined and not share.left_out:
            return None
        joined = f"{share.joined} learned prefixes are part of wider entries, which hold more than was learned"
        left_out = f"{share.left_out} have no room and are left to ncgd's own exemption"
        text = "; ".join(each for each, count in ((joined, share.joined), (left_out, share.left_out)) if count)
        return self._finding("AgentConfigCrowded", text, "raise cidrLimit there, or have the peers aggregate")

    def _finding(self, reason: str, message: str, hint: str) -> Finding:
        return Finding(reason=reason, where=self._where, message=message, hint=hint, is_error=False)


def released(item: Json) -> Json | None:
    """The patch that takes our entries out of a ConfigMap as it was read; None when it has none.

    Raises ConfigInvalid.
    """
    held = _of(_kept(item))
    return _patch(held, shared(held.text, held.ours, frozenset())) if held.ours else None


def _wanted(world: World, held: _Held) -> frozenset[Prefix]:
    """What is exempt; and, while not all peers are known and have spoken since the start, what was so before."""
    exempt = frozenset(world.protection.exempt.held)
    return exempt if has_heard_all(world) else exempt | {px.parse(entry) for entry in held.ours}


def _patch(held: _Held, share: Share) -> Json:
    """A merge patch that a newer version refuses (409)."""
    ours = json.dumps(share.ours) if share.ours else None
    metadata = {"resourceVersion": held.version, "annotations": {ANNOTATION: ours}}
    return {"metadata": metadata, "data": {KEY: share.text}}


def _held(reflector: Reflector) -> _Held | None:
    item = next(iter(reflector.objects.values()), None)
    return None if item is None else _of(item)


def _of(item: Json) -> _Held:
    ours: tuple[str, ...] = ()
    with suppress(ValueError, TypeError):  # what somebody else has written there is not ours
        entries = json.loads(item["ours"])
        ours = tuple(px.text(px.parse(each)) for each in entries) if isinstance(entries, list) else ()
    return _Held(str(item["version"]), str(item["text"]), ours)


def _kept(item: Json) -> Json:
    metadata = item.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    data = item.get("data") or {}
    return {
        "version": metadata.get("resourceVersion"),
        "ours": annotations.get(ANNOTATION, ""),
        "text": data.get(KEY) or "",
    }
