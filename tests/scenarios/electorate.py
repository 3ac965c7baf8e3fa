"""Several ncgds and one Lease, in simulated time."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from ncgd.decision.election import Election, Move
from ncgd.model.lease import Candidacy, Lease
from ncgd.model.role import Part, Role

TICK = 0.1
CANDIDATE = Candidacy(is_candidate=True, address=ip_address("10.0.0.1"))


@dataclass
class Server:
    """Keeps the Lease, and refuses a write that does not name the version it replaces."""

    lease: Lease | None = None
    version: int = 0
    writes: int = 0
    is_up: bool = True
    conflicts: int = 0
    """So many writes are refused, whatever they say."""

    def put(self, lease: Lease, *, stamp: str) -> Lease | None:
        if self.conflicts or (self.lease.version if self.lease else "") != lease.version:
            self.conflicts -= bool(self.conflicts)
            return None
        self.version += 1
        self.writes += 1
        self.lease = replace(lease, version=str(self.version), renewed=stamp)
        return self.lease


@dataclass
class Ncgd:
    """One process: its election, its own clock, and its way to the server."""

    name: str
    server: Server
    instance: str = ""
    skew: float = 0.0
    is_reachable: bool = True
    is_alive: bool = True
    is_answered: bool = True
    """False: what it writes arrives, and the answer does not."""
    has_watch: bool = True
    candidacy: Candidacy = CANDIDATE
    requests: int = 0
    role: Role = field(init=False)

    def __post_init__(self) -> None:
        self.election = Election("ncgd-default", self.name, self.instance or f"process of {self.name}")
        self.election.is_told(self.candidacy)
        self._seen: Lease | None = None
        self.role = self.election.choose(0.0).role

    def tick(self, wall: float) -> None:
        if not self.is_alive:
            return
        now = wall + self.skew
        is_heard = self.is_reachable and self.server.is_up
        if is_heard and self.has_watch and self.server.lease != self._seen:
            self._seen = self.server.lease
            self.election.saw(self.server.lease, now)
        for _ in range(10):
            choice = self.election.choose(now)
            self.role = choice.role
            if choice.move == Move.NOTHING:
                assert choice.due is None or choice.due > now, "a busy loop"
                return
            self.requests += 1
            if not is_heard:
                self.election.failed("no route to host", now)
            elif choice.move == Move.LOOK or choice.lease is None:
                self.election.saw(self.server.lease, now)
            else:
                stamp = f"{now:.6f}"
                self.election.sends(stamp, now)
                made = self.server.put(choice.lease, stamp=stamp)
                if not self.is_answered:
                    self.election.failed("does not answer within 3 s", now)
                elif made is None:
                    self.election.conflicted(now)
                else:
                    self.election.wrote(made, now, now)
        raise AssertionError(f"{self.name} does not stop asking")


class Cluster:
    """Some ncgds, one server, one true time that none of them knows."""

    def __init__(self, *names: str, **skews: float) -> None:
        self.server = Server()
        self.time = 1000.0
        self.all = [Ncgd(name, self.server, skew=skews.get(name, 0.0)) for name in names]

    @property
    def lease(self) -> Lease:
        assert self.server.lease is not None
        return self.server.lease

    def __getitem__(self, name: str) -> Ncgd:
        return next(each for each in self.all if each.name == name and each.is_alive)

    @property
    def active(self) -> list[str]:
        """Those that would begin something new."""
        return [
            each.name for each in self.all if each.is_alive and each.role.part == Part.ACTIVE and each.role.may_initiate
        ]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.time += TICK
            for each in [*self.all, *self.all]:  # a watch tells all of them of what one has done
                each.tick(self.time)
            assert len(self.active) <= 1, "two gateways"

    def until_active(self, name: str, within: float) -> float:
        begun = self.time
        while self.active != [name]:
            assert self.time - begun <= within, f"{name} is not active after {within} s, but {self.active}"
            self.run(TICK)
        return self.time - begun

    def restart(self, name: str, **changes: object) -> Ncgd:
        old = self[name]
        old.is_alive = False
        new = Ncgd(name, self.server, instance=f"later {name}", **changes)  # type: ignore[arg-type]
        self.all.append(new)
        return new
