"""One strongSwan driver per charon, and the tables that route rows to the charon they belong to."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from ncgd.drivers.port import OwnedTable
from ncgd.errors import Unavailable
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

    def driver(self, name: str) -> CharonDriver:
        """The driver of a charon. Raises Unavailable when there is none."""
        try:
            return self._drivers[name]
        except KeyError:
            raise Unavailable(f"there is no charon {name!r}") from None


class RoutedTable:
    """A table whose rows lie in several charons."""

    def __init__(self, charons: Charons, select: Callable[[CharonDriver], OwnedTable[object, object]]) -> None:
        """``select`` picks the table of one driver."""
        self._charons = charons
        self._select = select
        self._holders: dict[object, str] = {}

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Split the delta by charon and write each part; one charon's failure leaves the others alone."""
        failed: dict[object, str] = {}
        for name in self._charons_of(delta):
            part = Delta(
                set={key: row for key, row in delta.set.items() if _charon_of(row) == name},
                remove=frozenset(key for key in delta.remove if self._holder(key) == name),
            )
            try:
                outcome = await self._select(self._charons.driver(name)).write(part)
            except Unavailable as error:
                # Rows in a charon that is gone are gone with it.
                failed |= dict.fromkeys(part.set, str(error))
                continue
            failed |= outcome.failed
            self._holders |= dict.fromkeys(part.set, name)
        for key in delta.remove:
            self._holders.pop(key, None)
        return Outcome(failed=failed)

    def _charons_of(self, delta: Delta[object, object]) -> Iterable[str]:
        names = {_charon_of(row) for row in delta.set.values()} | {self._holder(key) for key in delta.remove}
        return sorted(name for name in names if name)

    def _holder(self, key: object) -> str:
        return key.charon if isinstance(key, StaleSa) else self._holders.get(key, "")


def _charon_of(row: object) -> str:
    return row.charon if isinstance(row, Connection | Credential) else ""
