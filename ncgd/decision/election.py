"""Who is the gateway: what one ncgd makes of the Lease, and what it does about it (``ncgd/election/TIMING.md``).

Fed with what the API server answered and when, by this machine's own monotonic clock; the times in the Lease are
never held against any clock. Says at any moment which part to play, what to ask the server, and when to look again.
"""

import zlib
from dataclasses import dataclass, replace
from enum import Enum, auto

from ncgd.model.lease import Candidacy, Lease
from ncgd.model.prefix import IPAddress
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role

DURATION_SECONDS = 10.0
"""A Lease that was not renewed for so long may be taken."""
CORDONED_FACTOR = 2.0
"""A cordoned node waits so many times longer than any other: it is better than none."""
RENEW_SECONDS = 2.0
LOOK_SECONDS = 3.0
"""A candidate that has heard nothing of the Lease for so long asks."""
NODE_LOOK_SECONDS = (6.0, 9.0)
"""The same for a node that is no candidate; where in between is its name's, so that not all of them ask at once."""
RETRY_SECONDS = 1.0
"""After a request that failed, more with each; the first conflict is looked into at once."""
LONGEST_RETRY_SECONDS = 4.0
GRAIN_SECONDS = 0.05
"""Less than that is not waited for."""
LONGEST_GAP_SECONDS = 2 * LOOK_SECONDS
"""Between two answers further apart the server may well have been away: that time is not held against the holder."""


class Move(Enum):
    """What to ask of the API server now."""

    NOTHING = auto()
    LOOK = auto()
    """GET the Lease."""
    CREATE = auto()
    """POST ``Choice.lease``."""
    WRITE = auto()
    """PUT ``Choice.lease`` in place of the version that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The part to play now, and what to do about the Lease."""

    role: Role
    move: Move = Move.NOTHING
    lease: Lease | None = None
    due: float | None = None
    """When to choose again though nothing happens (the caller's clock); None: only when something does."""


class Election:
    """One ncgd's view of the Lease. Mutable, like the RIB; every time is the caller's monotonic clock in seconds."""

    def __init__(self, name: str, node: str, instance: str) -> None:
        """``name`` of the Lease; ``instance`` tells this process from any other that goes by the node's name."""
        self._name, self._node, self._instance = name, node, instance
        self._lease: Lease | None = None
        self._is_read = False
        self._candidacy: Candidacy | None = None
        self._problem = self._node_problem = ""
        self._leaving = ""
        self._answered: float | None = None
        self._unrenewed = 0.0
        """For how long the server has answered while the Lease stayed as it is."""
        self._in_force_until = float("-inf")
        self._renew_at = float("-inf")
        self._look_at = float("-inf")
        self._conflicts = self._failures = 0
        self._must_look = False
        self._has_held = self._has_ever_held = False
        """Whether the Lease was this process's when it was seen last; or at any time."""
        self._sent: tuple[str, float] | None = None
        """The renewal that was sent last, until it is seen, and when it was sent."""
        self._epoch = -1
        earliest, latest = NODE_LOOK_SECONDS
        self._lag = earliest - LOOK_SECONDS + zlib.crc32(node.encode()) % 1000 / 1000 * (latest - earliest)
        """A node that is no candidate asks so much later than one that is."""

    def saw(self, lease: Lease | None, now: float) -> None:
        """The server tells the Lease as it is; None: there is none."""
        self._problem, self._must_look, self._failures = "", False, 0
        if self._answered is not None and now - self._answered <= LONGEST_GAP_SECONDS:
            self._unrenewed += now - self._answered
        self._answered = now
        self._look_at = now + LOOK_SECONDS
        if not self._is_read or _mark(lease) != _mark(self._lease):
            self._unrenewed = 0.0
        if lease is None or self._lease is None or lease.holder != self._lease.holder:
            self._renew_at = now
        self._lease, self._is_read = lease, True
        if lease is not None:
            self._has_held = self._has_held and self._is_mine(lease)
            if self._is_mine(lease) and self._sent is not None and self._sent[0] == lease.renewed:
                self._counts_from(self._sent[1])
        self._epoch = max(self._epoch, lease.transitions if lease else -1)

    def sends(self, renewed: str, now: float) -> None:
        """A write is on its way; it may be accepted though no answer comes, and be seen by its ``renewed`` then."""
        self._sent = renewed, now

    def wrote(self, lease: Lease, sent: float, now: float) -> None:
        """A write was accepted; it counts from when it was ``sent``, since others may have seen it from then on."""
        self.saw(lease, now)
        self._conflicts = 0
        if self._is_mine(lease):
            self._counts_from(sent)

    def _counts_from(self, sent: float) -> None:
        """A renewal that was sent then is in the Lease."""
        self._sent = None
        self._has_held = self._has_ever_held = True
        self._in_force_until = sent + DURATION_SECONDS
        self._renew_at = sent + RENEW_SECONDS

    def conflicted(self, now: float) -> None:
        """A write was refused because the Lease is another by now: look at it."""
        self._conflicts += 1
        self._must_look = True
        self._look_at = self._renew_at = now if self._conflicts == 1 else now + RETRY_SECONDS

    def failed(self, problem: str, now: float) -> None:
        """The server did not answer, or refused; from the second time in a row no time counts against the holder."""
        self._problem, self._must_look = problem, True
        if self._failures:
            self._answered = None
        self._failures += 1
        self._look_at = self._renew_at = now + min(self._failures * RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    def is_told(self, candidacy: Candidacy) -> None:
        """What the node's own object says now."""
        self._candidacy = candidacy

    def is_not_told(self, problem: str) -> None:
        """The node's own object cannot be read; what it said last stays."""
        self._node_problem = problem

    def leaves(self, why: str) -> None:
        """This ncgd ends and wants another to take over."""
        self._leaving = why

    def choose(self, now: float) -> Choice:
        """What to do now."""
        if not self._is_read or self._candidacy is None:
            what = f"Lease {self._name}" if not self._is_read else f"Node {self._node}"
            problem = self._problem or self._node_problem
            text = f"{what} has not been read yet{f': {problem}' if problem else ''}"
            if self._lease is not None and self._lease.holder not in {"", self._node}:
                return self._follow(self._lease, Candidacy(is_candidate=False, why_not=text), now)
            role = self._role(Part.UNDECIDED, RoleReason.NOT_READ, text)
            return Choice(role=role, move=Move.LOOK if now >= self._look_at else Move.NOTHING, due=self._look_at)
        if self._is_ours_to_hold(self._lease):
            return self._hold(self._candidacy, now)
        return self._follow(self._lease, self._candidacy, now)

    def _hold(self, candidacy: Candidacy, now: float) -> Choice:
        """The Lease is this node's, or there is none, and never was another's since."""
        lease = self._lease
        if not candidacy.is_candidate:
            role = self._role(Part.NODE, RoleReason.NO_LABEL, candidacy.why_not)
            if lease is None:
                return self._listening(role, now)
            free = replace(lease, holder="", instance="", address=None, yields="")
            self._renew_at = min(self._renew_at, now)
            return self._asking(Move.WRITE, free, role, now)
        yields = self._leaving or ("its node is cordoned" if candidacy.is_cordoned else "")
        base = lease or Lease(transitions=self._epoch + 1)
        ours = replace(self._ours(base, candidacy.address), yields=yields)
        if ours != lease:  # what others have to know of does not wait for the next renewal
            self._renew_at = min(self._renew_at, now)
        role = replace(
            self._role_of_holder(yields, now),
            holder=self._node,
            holder_address=candidacy.address,
            epoch=ours.transitions,
        )
        return self._asking(Move.CREATE if lease is None else Move.WRITE, ours, role, now)

    def _role_of_holder(self, yields: str, now: float) -> Role:
        if not self._has_held:
            text = f"Lease {self._name} is this node's, and not renewed yet" if self._lease else "there is no Lease yet"
            because = f": {self._problem}" if self._problem else ""
            return self._role(Part.UNDECIDED, RoleReason.NOT_READ, text + because)
        if now < self._in_force_until:
            text = f"holds Lease {self._name}"
            if yields:
                return self._role(Part.ACTIVE, RoleReason.YIELDS, f"{text}, hands it over to any candidate: {yields}")
            return self._role(Part.ACTIVE, RoleReason.HOLDS, text)
        because = f" ({self._problem})" if self._problem else ""
        text = f"Lease {self._name} has run out, because it could not be renewed{because}"
        return replace(self._role(Part.ACTIVE, RoleReason.HELD_OVER, text), may_initiate=False)

    def _follow(self, lease: Lease | None, candidacy: Candidacy, now: float) -> Choice:
        """The Lease is another's, or free, or gone; then its last holder makes it again at once, if it lives."""
        if not candidacy.is_candidate:
            return self._listening(self._role(Part.NODE, RoleReason.NO_LABEL, candidacy.why_not), now)
        if lease is None:
            text = f"there is no Lease {self._name} any more"
            role = self._role(Part.STANDBY, RoleReason.NOBODY_HOLDS, text)
            lease = Lease(transitions=self._epoch)
        elif lease.holder == self._node:
            text = f"another ncgd goes by the name of this node, {self._node}, and holds Lease {self._name}"
            role = self._role(Part.STANDBY, RoleReason.SUPERSEDED, text)
        elif lease.holder:
            at = f" ({lease.address})" if lease.address else ""
            role = self._role(Part.STANDBY, RoleReason.OTHER_HOLDS, f"{lease.holder}{at} holds Lease {self._name}")
        else:
            role = self._role(Part.STANDBY, RoleReason.NOBODY_HOLDS, f"nobody holds Lease {self._name}")
        if self._leaving:
            return Choice(role=replace(role, message=f"{role.message}; takes over from nobody: {self._leaving}"))
        patience = max(DURATION_SECONDS, lease.duration_seconds)
        if candidacy.is_cordoned:
            role = replace(role, message=f"{role.message}; takes over last, because its node is cordoned")
            patience *= CORDONED_FACTOR
        elif self._lease is not None and (not lease.holder or lease.yields):
            patience = 0.0
        left = patience - self._unrenewed
        if left <= GRAIN_SECONDS:
            ours = replace(self._ours(lease, candidacy.address), transitions=lease.transitions + 1)
            return self._asking(Move.CREATE if self._lease is None else Move.WRITE, ours, role, now)
        expires = float("inf") if self._answered is None or self._failures else self._answered + left
        due = min(self._look_at, expires)
        return Choice(role=role, move=Move.LOOK if now >= due else Move.NOTHING, due=due)

    def _listening(self, role: Role, now: float) -> Choice:
        """The choice of a node that is no candidate: a watch may be silent because it has stalled."""
        due = self._look_at + self._lag
        return Choice(role=role, move=Move.LOOK if now >= due else Move.NOTHING, due=due)

    def _asking(self, move: Move, lease: Lease, role: Role, now: float) -> Choice:
        """The choice to write this, unless it is not time yet, or it has to be seen first what is there."""
        end = self._in_force_until if self._in_force_until > now else float("inf")
        if self._must_look:
            move, at = Move.LOOK, self._look_at
        else:
            at = self._renew_at
        if now < at:
            return Choice(role=role, due=min(at, end))
        return Choice(role=role, move=move, lease=lease, due=end)

    def _ours(self, lease: Lease, address: IPAddress | None) -> Lease:
        return replace(
            lease,
            holder=self._node,
            instance=self._instance,
            address=address,
            duration_seconds=DURATION_SECONDS,
            yields="",
        )

    def _is_mine(self, lease: Lease) -> bool:
        return (lease.holder, lease.instance) == (self._node, self._instance)

    def _is_ours_to_hold(self, lease: Lease | None) -> bool:
        """Whether it is for this process to write it, without waiting for anybody."""
        if lease is None:
            return self._has_held or self._epoch < 0
        is_left_by_us = lease.holder == self._node and not self._has_ever_held
        return self._is_mine(lease) or is_left_by_us

    def _role(self, part: Part, reason: RoleReason, message: str) -> Role:
        lease = self._lease or Lease()
        return Role(
            part=part,
            holder=lease.holder,
            holder_address=lease.address,
            epoch=lease.transitions,
            reason=reason,
            message=message,
        )


def _mark(lease: Lease | None) -> object:
    """What a renewal changes; what others write into the object is no renewal."""
    return lease and (lease.holder, lease.instance, lease.renewed, lease.transitions)
