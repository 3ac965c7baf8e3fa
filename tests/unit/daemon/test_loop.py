"""The pass: failures are values, a hanging table holds up nobody, a bug costs its own table."""

import asyncio
import time
from collections.abc import Mapping

from ncgd.daemon.loop import Loop
from ncgd.daemon.mailbox import Mailbox
from ncgd.decision.fold import FORGOTTEN_SECONDS
from ncgd.drivers.port import OwnedTable
from ncgd.errors import TimedOut
from ncgd.model import event as ev
from ncgd.model.delta import Delta, Outcome
from ncgd.model.fib import Interface, RouteChange
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Intent
from ncgd.plan.order import BOTTOM_UP
from tests.scenarios.site import CAPABLE, ha_vpn


class Recorder:
    """A table that remembers what was written, and does what ``behave`` does before it answers."""

    def __init__(self) -> None:
        self.writes: list[Delta[object, object]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        self.writes.append(delta)
        await self.gate.wait()
        if self.error:
            raise self.error
        return Outcome()


async def program(_: RouteChange) -> Outcome[Prefix]:
    return Outcome()


class Rig:
    """A loop with recording tables, started on the HA VPN example."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.tables = {name: Recorder() for name in BOTTOM_UP if name != "routes"}
        tables: Mapping[str, OwnedTable[object, object]] = self.tables
        self.after_each_pass: list[ev.Event] = []
        self.ahead = 0.0
        """Seconds that the loop's clock is ahead."""
        self.loop = Loop(
            self.mailbox,
            tables,
            program,
            "node-1",
            clock=lambda: time.monotonic() + self.ahead,
            observe=lambda _: self._observe(),
        )
        for event in (
            ev.IntentRead(intent=ha_vpn()),
            ev.CapabilityProbed(capability=CAPABLE),
            ev.InterfacesRead(interfaces={}),
            ev.NexthopsRead(nexthops={}),
            ev.RoutesRead(routes={}, backstops=frozenset()),
            ev.CharonUp(charon="charon", version="5.9.8"),
            ev.SasRead(charon="charon", sas={}),
        ):
            self.mailbox.post(event)

    def _observe(self) -> None:
        for event in self.after_each_pass:
            self.mailbox.post(event)

    async def until(self, condition: object) -> None:
        assert callable(condition)
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.01)


def run(scenario: object) -> None:
    async def main() -> None:
        assert callable(scenario)
        rig = Rig()
        task = asyncio.ensure_future(rig.loop.run())
        try:
            await scenario(rig, task)
        finally:
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())


def test_a_table_that_hangs_holds_up_no_other() -> None:
    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        rig.tables["links"].gate.clear()
        await rig.until(lambda: rig.tables["credentials"].writes)
        assert len(rig.tables["links"].writes) == 1
        passes = rig.loop.state.passes
        rig.mailbox.post(ev.Ticked())
        await rig.until(lambda: rig.loop.state.passes > passes)
        assert len(rig.tables["links"].writes) == 1
        rig.tables["links"].gate.set()
        await rig.until(lambda: rig.loop.state.world.written.get("links"))

    run(scenario)


def test_a_driver_error_is_a_row_that_waits_and_a_problem_that_names_it() -> None:
    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        rig.tables["clamps"].error = TimedOut("nft did not answer within 5 s")
        await rig.until(lambda: ("clamps", "ncg-tunnel-1") in rig.loop.state.world.retries)

        def is_told() -> bool:
            report = rig.loop.state.report
            return report is not None and any("nft did not answer" in problem.message for problem in report.problems)

        await rig.until(is_told)

    run(scenario)


def test_a_bug_in_a_table_costs_that_table_and_is_told() -> None:
    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        rig.tables["sysctls"].error = KeyError("a bug")
        await rig.until(lambda: any(table == "sysctls" for table, _ in rig.loop.state.world.retries))
        await rig.until(lambda: rig.tables["credentials"].writes)
        problems = rig.loop.state.report.problems if rig.loop.state.report else ()
        await rig.until(lambda: rig.loop.state.passes > 3 or problems)
        texts = [retry.text for retry in rig.loop.state.world.retries.values()]
        assert any("a bug in ncgd: KeyError('a bug')" in text for text in texts)

    run(scenario)


def test_nothing_is_removed_before_the_peers_have_been_told() -> None:
    """A speaker that takes its time: tunnels and keys stay until it has withdrawn what was advertised through them."""

    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        rig.tables["neighbors"].gate.clear()
        rig.mailbox.post(ev.SpeakerUp(version="5.0.15", neighbors=frozenset({"peer-1", "peer-2"})))
        rig.mailbox.post(ev.SpeakerRead())
        await rig.until(lambda: rig.tables["credentials"].writes and rig.tables["neighbors"].writes)
        assert rig.tables["neighbors"].writes[-1].remove
        rig.mailbox.post(ev.IntentRead(intent=Intent()))
        passes = rig.loop.state.passes
        for turn in range(1, 4):
            rig.mailbox.post(ev.Ticked())
            await rig.until(lambda turn=turn: rig.loop.state.passes > passes + turn)
        assert not any(write.remove for write in rig.tables["credentials"].writes)
        rig.tables["neighbors"].gate.set()
        await rig.until(lambda: rig.tables["credentials"].writes[-1].remove)

    run(scenario)


def test_nothing_is_removed_before_groups_point_elsewhere() -> None:
    """With a device goes its next hop, with the last of a group the group, and with that, silently, its routes."""

    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        rig.tables["nexthops"].gate.clear()
        device = Interface(index=7, name="ncg-tunnel-1", kind="xfrm", mtu=1400, is_up=True)
        rig.mailbox.post(ev.InterfacesRead(interfaces={device.name: device}))
        rig.mailbox.post(ev.SpeakerUp(version="5.0.15", neighbors=frozenset()))
        rig.mailbox.post(ev.SpeakerRead())
        await rig.until(lambda: rig.tables["nexthops"].writes and rig.tables["credentials"].writes)
        rig.mailbox.post(ev.IntentRead(intent=Intent()))
        passes = rig.loop.state.passes
        for turn in range(1, 4):
            rig.mailbox.post(ev.Ticked())
            await rig.until(lambda turn=turn: rig.loop.state.passes > passes + turn)
        assert not any(write.remove for table in ("credentials", "links") for write in rig.tables[table].writes)
        rig.tables["nexthops"].gate.set()
        await rig.until(lambda: rig.tables["credentials"].writes[-1].remove)

    run(scenario)


def test_time_passes_though_routine_events_never_end() -> None:
    """A probe's report and a list of SAs came every second, so time never came: nothing was ever given up as over."""

    async def scenario(rig: Rig, _: "asyncio.Task[None]") -> None:
        await rig.until(lambda: rig.tables["credentials"].writes)
        gone: Outcome[object] = Outcome(failed={"gone": "no answer"})
        rig.mailbox.post(
            ev.TableWritten(table="clamps", begun=0, ended=0, set={"gone": None}, removed=frozenset(), outcome=gone)
        )
        await rig.until(lambda: ("clamps", "gone") in rig.loop.state.world.retries)
        rig.after_each_pass.append(ev.SasRead(charon="charon", sas={}))
        passes = rig.loop.state.passes
        await rig.until(lambda: rig.loop.state.passes > passes + 1)
        rig.ahead = 2 * FORGOTTEN_SECONDS
        await rig.until(lambda: ("clamps", "gone") not in rig.loop.state.world.retries)

    run(scenario)
