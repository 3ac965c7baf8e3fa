"""A fault, and what it is measured by: traffic, the packets that left in clear, and the state before and after."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ncgd.lab import gateway
from ncgd.lab.topology import inside
from tests.integration.faults.snapshot import Snapshot, difference, snapshot
from tests.integration.faults.traffic import INTERVAL_SECONDS, SMALL, Account, Traffic
from tests.integration.faults.witness import watching
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import NODE_OF

HEALED_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done to the lab, and what must hold then on any machine."""

    name: str
    cause: Callable[[Lab], AbstractContextManager[None]]
    """Entering does the damage and waits until it has told; leaving undoes what the gateway cannot mend itself."""
    is_survived: bool = True
    """Traffic flows both ways while it lasts."""
    spares: tuple[str, ...] = ("cloud1",)
    """Cloud Router tasks whose session never ends."""
    loses_seconds: float = 5.0
    """How long any flow may lose packets; 0 where logic says that none is lost. Far from what is usual."""
    packets: int = SMALL
    """Bytes of payload of the traffic."""


@dataclass(slots=True, kw_only=True)
class Row:
    """What a fault came to: a line of the table."""

    fault: str
    esp: str
    accounts: list[Account] = field(default_factory=list)
    clear: dict[str, int] | None = None
    changed: list[str] | None = None

    def __str__(self) -> str:
        out, back = (
            max((each.outage for each in self.accounts if each.flow.direction == direction), default=0.0)
            for direction in ("out", "back")
        )
        lost, sent = sum(each.lost for each in self.accounts), sum(each.sent for each in self.accounts)
        clear = "?" if self.clear is None else sum(self.clear.values())
        same = "?" if self.changed is None else "NO" if self.changed else "yes"
        times = f"{out * 1000:8.0f} {back * 1000:8.0f}"
        return f"{self.fault:44} {self.esp:9} {times} {lost:6} of {sent:<6} {clear:>5}  {same}"


HEADING = f"{'fault':44} {'ESP':9} {'out, ms':>8} {'back, ms':>8} {'lost':>6}    {'sent':6} {'clear':>5}  end = start"


def undergo(lab: Lab, start: Snapshot, fault: Fault, rows: list[Row]) -> None:
    """Let a fault happen under traffic and wait until all is as it was; the row is there also when that fails."""
    site_side.healthy()
    before = sessions()
    row = Row(fault=fault.name, esp=gateway.status()["dataplane"]["mode"])
    rows.append(row)
    with watching() as clear:
        traffic = Traffic(fault.packets)
        try:
            with traffic:
                with fault.cause(lab):
                    if fault.is_survived:
                        traffic.flow_again()
                traffic.flow_again(HEALED_SECONDS)
                row.changed = _changed(lab, start)
        finally:
            row.accounts = traffic.accounts
    row.clear = clear
    assert not clear, f"left in clear: {clear}"
    assert not row.changed, "\n".join(["not as it was:", *row.changed, gateway.screen()])
    for account in row.accounts:
        told = f"{account}\n{row}\n{gateway.ncgctl('events').stdout}"
        assert account.lost * INTERVAL_SECONDS <= fault.loses_seconds, told
    now = sessions()
    for node in fault.spares:
        assert now[node] == before[node] != [], f"session of {node}: was {before[node]}, is {now[node]}"
    assert "Traceback" not in site_side.log_text()
    assert "a bug in ncgd" not in site_side.log_text()


def settled(lab: Lab) -> Snapshot:
    """The state of a healthy gateway, once it is the same twice."""
    site_side.healthy()
    last = snapshot(lab)

    def same() -> bool:
        nonlocal last
        before, last = last, snapshot(lab)
        return before == last

    until(same, 30, "a state that lasts")
    return last


def _changed(lab: Lab, start: Snapshot) -> list[str]:
    """What is still not as at the start when the time is over."""
    left: list[str] = []

    def same() -> bool:
        nonlocal left
        left = difference(start, snapshot(lab))
        return not left

    try:
        until(same, HEALED_SECONDS)
    except AssertionError:
        return left
    return []


def sessions() -> dict[str, list[str]]:
    """Both ends of the TCP connection of each Cloud Router task's session: another session has another port."""
    find = ("ss", "-Htn", "state", "established", "( sport = :179 or dport = :179 ) and dst 169.254.0.0/16")
    return {
        node: subprocess.run(inside(node, *find), capture_output=True, text=True, check=True).stdout.split()[2:]
        for node in NODE_OF.values()
    }
