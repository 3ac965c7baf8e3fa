"""One strongSwan driver per charon, and the tables that route rows to the charon they belong to."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from ncgd.drivers.port import OwnedTable
from ncgd.errors import DriverError
from ncgd.model.delta import Delta, Outcome
from ncgd.model.ike import Charon, Connection, Credential, StaleSa


class CharonDriver(Protocol):
    """What a strongSwan driver offers."""

    credentials: OwnedTable[str, Credential]
    connections: OwnedTable[str, Connection]
    sas: OwnedTable[str, Connection]

    async def run(self) -> None:
        """Connect and post events until cancelled."""


class Charons:
    """The charons that should run, each with its driver task."""

    def __init__(self, make: Callable[[Charon], CharonDriver]) -> None:
        """``make`` builds a driver for a charon; it does no I/O."""
        self._make = make
        self._drivers: dict[str, CharonDriver] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Run the drivers until cancelled."""
        async with self._group:
            await asyncio.Event().wait()

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Take over which charons there are (the rows of table ``processes`` that are charons)."""
        for key in [*delta.remove, *delta.set]:
            self._drivers.pop(str(key), None)
            if task := self._tasks.pop(str(key), None):
                task.cancel()
        for row in delta.set.values():
            if isinstance(row, Charon):
                driver = self._drivers[row.name] = self._make(row)
                self._tasks[row.name] = self._group.create_task(driver.run(), name=f"vici {row.name}")
        return Outcome()

    @property
    def names(self) -> list[str]:
        """The charons that should run, sorted."""
        return sorted(self._drivers)

    def driver(self, name: str) -> CharonDriver | None:
        """The driver of a charon; None when it should not run any more."""
        return self._drivers.get(name)


class RoutedTable:
    """A table whose rows lie in several charons."""

    def __init__(self, charons: Charons, select: Callable[[CharonDriver], OwnedTable[object, object]]) -> None:
        """``select`` picks the table of one driver."""
        self._charons = charons
        self._select = select
        self._holders: dict[object, str] = {}

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Split the delta by charon and write all parts at once; one that fails or hangs leaves others alone."""
        failed: dict[object, str] = {}
        for part_failed in await asyncio.gather(*(self._write_to(name, delta) for name in self._charons.names)):
            failed |= part_failed
        failed |= {
            key: f"there is no charon {_charon_of(row)!r}" for key, row in delta.set.items() if self._is_lost(row)
        }
        for key in delta.remove - failed.keys():
            self._holders.pop(key, None)
        return Outcome(failed=failed)

    async def _write_to(self, name: str, delta: Delta[object, object]) -> Mapping[object, str]:
        """Write one charon's part; failures by key."""
        part = Delta(
            set={key: row for key, row in delta.set.items() if _charon_of(row) == name},
            remove=frozenset(key for key in delta.remove if self._may_hold(name, key)),
        )
        driver = self._charons.driver(name)
        if not part or driver is None:
            return {}
        try:
            outcome = await self._select(driver).write(part)
        except DriverError as error:
            return dict.fromkeys([*part.set, *part.remove], str(error))
        self._holders |= dict.fromkeys(part.set, name)
        return outcome.failed

    def _is_lost(self, row: object) -> bool:
        return _charon_of(row) not in self._charons.names

    def _may_hold(self, charon: str, key: object) -> bool:
        """A row of an earlier run may be in any charon; removing what is not there does no harm."""
        return charon == (key.charon if isinstance(key, StaleSa) else self._holders.get(key, charon))


def _charon_of(row: object) -> str:
    return row.charon if isinstance(row, Connection | Credential) else ""
