"""The roster keeps what an earlier ncgd has asked for, and holds userspace charons only."""

import asyncio
from pathlib import Path

from ncgd.daemon.roster import NAME, Roster
from ncgd.model.delta import Delta
from ncgd.model.event import Event, ProcessesRead
from ncgd.model.ike import Charon, DataplaneMode

ONE = Charon(name="charon-one", mode=DataplaneMode.USERSPACE, ike_port=20000, nat_port=20001)
TWO = Charon(name="charon-two", mode=DataplaneMode.USERSPACE, ike_port=20002, nat_port=20003)
KERNEL = Charon(name="charon", mode=DataplaneMode.KERNEL)


def write(roster: Roster, *rows: Charon, remove: frozenset[object] = frozenset()) -> None:
    asyncio.run(roster.write(Delta(set={row.name: row for row in rows}, remove=remove)))


def test_the_next_ncgd_finds_and_tells_what_the_last_has_asked_for(tmp_path: Path) -> None:
    Roster(tmp_path).open()
    write(Roster(tmp_path), ONE, TWO, KERNEL)
    told: list[Event] = []
    again = Roster(tmp_path, told.append)
    asyncio.run(again.run())
    assert told == [ProcessesRead(names=frozenset({"charon-one", "charon-two"}))]
    write(again, ONE)  # a first delta that says nothing of the other does not end it
    assert again.read() == {"charon-one": ONE, "charon-two": TWO}
    write(again, remove=frozenset({"charon-one"}))
    assert again.read() == {"charon-two": TWO}
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_opening_keeps_what_is_there(tmp_path: Path) -> None:
    Roster(tmp_path).open()
    write(Roster(tmp_path), ONE)
    Roster(tmp_path).open()
    assert Roster(tmp_path).read() == {"charon-one": ONE}


def test_what_nobody_can_read_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('[{"name": "charon-one", "mode": "steam"}]')
    assert Roster(tmp_path).read() == {}


def test_the_kernel_s_charon_alone_writes_no_file(tmp_path: Path) -> None:
    write(Roster(tmp_path), KERNEL)
    assert not (tmp_path / NAME).exists()


def test_who_asks_to_be_told_is_seen(tmp_path: Path) -> None:
    roster = Roster(tmp_path)
    assert not roster.is_followed()
    roster.open()
    assert roster.is_followed()
