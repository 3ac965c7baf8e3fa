"""Nexthop objects and groups."""

import asyncio
import json
from contextlib import suppress

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.errors import TimedOut
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from ncgd.model.fib import BLACKHOLE_V4, NEXTHOP_V4_BASE, Nexthop, NexthopGroup
from tests.integration.kernel.host import A4, B4, GROUP4, GROUPS, MEMBERS, drive, host, raise_nexthops
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root


def shown(space: Namespace) -> dict[int, dict[str, object]]:
    return {row["id"]: row for row in json.loads(space.ip("-j nexthop show") or "[]")}


def test_what_is_written_is_read_back_and_writing_it_again_changes_nothing() -> None:
    with host("kn-nexthops") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            assert (await kernel.read_nexthops()).nexthops == {**MEMBERS, **GROUPS}
            before = shown(space)
            await raise_nexthops(kernel)
            assert shown(space) == before

        drive(space, scenario)


def test_a_member_is_changed_in_place() -> None:
    with host("kn-nexthops") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            moved = Nexthop(id=A4, version=4, interface="b0")
            assert not (await kernel.nexthops.write(Delta({A4: moved}))).failed
            rows = (await kernel.read_nexthops()).nexthops
            assert rows[A4] == moved
            assert rows[GROUP4] == GROUPS[GROUP4]

        drive(space, scenario)


def test_groups_go_before_their_members() -> None:
    with host("kn-nexthops") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            everything = frozenset((*MEMBERS, *GROUPS))
            assert not (await kernel.nexthops.write(Delta(remove=everything))).failed
            assert not (await kernel.read_nexthops()).nexthops
            assert not (await kernel.nexthops.write(Delta(remove=everything))).failed

        drive(space, scenario)


def test_those_of_others_are_neither_read_nor_touched() -> None:
    with host("kn-nexthops") as space:
        space.ip("nexthop add id 7 dev a0")
        space.ip(f"nexthop add id {A4 + 50} dev a0 protocol static")

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            assert not (await kernel.read_nexthops()).nexthops
            outcome = await kernel.nexthops.write(Delta(remove=frozenset((A4,))))
            assert not outcome.failed

        drive(space, scenario)
        assert set(shown(space)) == {7, A4 + 50}


def test_failures_name_the_row_and_spare_the_others() -> None:
    with host("kn-nexthops") as space:
        space.ip("link set b0 down")

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            rows: dict[int, Nexthop | NexthopGroup] = {
                A4: MEMBERS[A4],
                B4: MEMBERS[B4],
                A4 + 9: Nexthop(id=A4 + 9, version=4, interface="gone0"),
                7: Nexthop(id=7, version=4, interface="a0"),
                GROUP4: NexthopGroup(id=GROUP4, members=(A4,)),
                GROUP4 + 1: NexthopGroup(id=GROUP4 + 1, members=(A4, B4)),
                GROUP4 + 2: NexthopGroup(id=GROUP4 + 2, members=()),
            }
            failed = (await kernel.nexthops.write(Delta(rows))).failed
            assert set(failed) == {B4, A4 + 9, 7, GROUP4 + 1, GROUP4 + 2}
            assert failed[B4].startswith(f"cannot set nexthop {B4:#x} dev b0: Nexthop device is not up")
            assert "dev gone0" in failed[A4 + 9]
            assert "outside ncgd's range" in failed[7]
            assert "Invalid nexthop id" in failed[GROUP4 + 1]
            assert "never empty" in failed[GROUP4 + 2]
            assert set((await kernel.read_nexthops()).nexthops) == {A4, GROUP4}

        drive(space, scenario)


def test_a_group_keeps_its_members_when_a_new_one_is_refused() -> None:
    with host("kn-nexthops") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            await raise_nexthops(kernel)
            worse = NexthopGroup(id=GROUP4, members=(A4, BLACKHOLE_V4))
            failed = (await kernel.nexthops.write(Delta({GROUP4: worse}))).failed
            assert "lackhole" in failed[GROUP4]
            assert (await kernel.read_nexthops()).nexthops[GROUP4] == GROUPS[GROUP4]

        drive(space, scenario)


def test_a_dump_that_changes_underneath_is_begun_again() -> None:
    """NLM_F_DUMP_INTR: nexthop objects come and go in a thread while the table is read over and over."""
    with host("kn-nexthops") as space:

        async def scenario(kernel: Kernel, _: list[Event]) -> None:
            holes = [Nexthop(id=NEXTHOP_V4_BASE + 100 + number, version=4) for number in range(3000)]
            assert not (await kernel.nexthops.write(Delta({row.id: row for row in holes}))).failed
            toggles = "".join(
                f"nexthop add id {number} blackhole\nnexthop del id {number}\n" for number in range(1, 4000)
            )
            meddling = asyncio.create_task(asyncio.to_thread(space.run, "ip", "-batch", "-", stdin=toggles))
            while not meddling.done():
                with suppress(TimedOut):  # said, when it never was quiet
                    assert (await kernel.read_nexthops()).nexthops.keys() == {row.id for row in holes}
            await meddling
            assert (await kernel.read_nexthops()).nexthops.keys() == {row.id for row in holes}

        drive(space, scenario)
