"""Takes part in the election: watches the Lease and the own Node, asks what the pure part chooses, tells the role."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ncgd.decision.election import Choice, Election, Move
from ncgd.election.candidacy import candidacy, kept
from ncgd.election.lease import LeaseObject, is_older, lease_name, lease_of, micro_time
from ncgd.errors import DriverError
from ncgd.model.event import RoleChanged
from ncgd.model.prefix import IPAddress
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role
from ncgd.sources.kubernetes.client import ApiRejected, Cluster, Json
from ncgd.sources.kubernetes.reflector import Reflector

log = logging.getLogger("ncgd.election")

CONFLICT = 409
Post = Callable[[RoleChanged], None]


def undecided(gateway: str) -> Role:
    """The role to start with."""
    message = f"Lease {lease_name(gateway)} has not been read yet"
    return Role(part=Part.UNDECIDED, reason=RoleReason.NOT_READ, message=message)


class Contest:
    """Posts the role whenever it is another."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        gateway: str,
        post: Post,
        *,
        node: str,
        address: IPAddress | None,
        instance: str,
    ) -> None:
        """``address``: where other nodes reach this one; None: the first InternalIP of its Node object."""
        self._object = LeaseObject(cluster, namespace, gateway)
        self._election = Election(self._object.name, node, instance)
        self._post = post
        self._node, self._address = node, address
        self._role = undecided(gateway)
        self._found: Json | None = None
        """The object as it was seen last."""
        self._told: Json | None = {}
        """The same as the watch told it last; it goes on telling that when it has stalled."""
        self._wake = asyncio.Event()
        self._lease_watch = Reflector(
            cluster,
            self._object.collection,
            lambda item: item,
            self._lease_told,
            fieldSelector=f"metadata.name={self._object.name}",
        )
        self._node_watch = Reflector(
            cluster, "/api/v1/nodes", kept, self._node_told, fieldSelector=f"metadata.name={node}"
        )

    async def run(self) -> None:
        """Take part until cancelled. Nothing wrong with the API ends this."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lease_watch.run(), name="follow the Lease")
            group.create_task(self._node_watch.run(), name="follow the Node")
            asked: asyncio.Task[None] | None = None
            while True:
                now = _now()
                choice = self._election.choose(now)
                self._tell(choice.role)
                self._wake.clear()
                if choice.move != Move.NOTHING and (asked is None or asked.done()):
                    asked = group.create_task(self._ask(choice, self._found, now), name="ask about the Lease")
                    asked.add_done_callback(lambda _: self._wake.set())
                # Not the answer alone is waited for: the role may change while the server makes up its mind.
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(choice.due if choice.due is not None and choice.due > now else None):
                        await self._wake.wait()

    def leave(self, why: str) -> None:
        """Have another candidate take over, if there is one."""
        self._election.leaves(why)
        self._wake.set()

    async def _ask(self, choice: Choice, known: Json | None, sent: float) -> None:
        try:
            if choice.lease is None:
                found = await self._object.get()
                if self._found is known:  # else the watch has told something newer meanwhile
                    self._see(found)
                return
            lease = replace(choice.lease, renewed=micro_time())
            self._election.sends(lease.renewed, sent)
            if choice.move == Move.CREATE or known is None:
                made = await self._object.create(lease)
            else:
                made = await self._object.replace(lease, known)
            if is_older(made, self._found):
                self._election.conflicted(_now())
            else:
                self._found = made
                self._election.wrote(lease_of(made), sent, _now())
        except ApiRejected as error:
            if error.code == CONFLICT:
                self._election.conflicted(_now())
            else:
                self._election.failed(str(error), _now())
        except DriverError as error:
            self._election.failed(str(error), _now())

    def _see(self, item: Json | None) -> None:
        self._found = item
        self._election.saw(None if item is None else lease_of(item), _now())

    def _tell(self, role: Role) -> None:
        if role == self._role:
            return
        before, self._role = self._role, role
        if (before.part, before.may_initiate, before.reason) != (role.part, role.may_initiate, role.reason):
            extra = {"event": "role", "part": str(role.part), "reason": str(role.reason)}
            log.info("this node is %s: %s", role.part, role.message, extra=extra)
        self._post(RoleChanged(role=role))

    def _lease_told(self) -> None:
        if self._lease_watch.problem is None and self._lease_watch.is_listed:
            told = next(iter(self._lease_watch.objects.values()), None)
            is_news, self._told = told != self._told, told
            if is_news and not is_older(told, self._found):
                self._see(told)
        self._wake.set()

    def _node_told(self) -> None:
        if self._node_watch.is_listed:
            found: Json | None = next(iter(self._node_watch.objects.values()), None)
            self._election.is_told(candidacy(self._node, found, self._address))
        elif self._node_watch.problem is not None:
            self._election.is_not_told(str(self._node_watch.problem))
        self._wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
