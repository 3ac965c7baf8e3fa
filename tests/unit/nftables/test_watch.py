"""The watch on nftables: what makes it read again, without a kernel."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from ncgd.drivers.nftables import transport, watch
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import TimedOut
from ncgd.model.delta import Delta
from ncgd.model.event import ClampsRead, Event, GuardRead

QUICK = 0.05


@pytest.fixture
def slow_nft(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """nft that finds no table, and does not come back when it writes."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "nft"
    program.write_text("#!/bin/sh\ncase $1 in -j) echo No such file >&2; exit 1;; esac\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.usefixtures("slow_nft")
def test_a_write_whose_outcome_is_unknown_has_everything_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have done it, and what a run of ours does is no news."""
    monkeypatch.setattr(watch, "_COUNT_SECONDS", QUICK)

    async def scenario() -> None:
        events: list[Event] = []
        nft = Nft()
        guard = GuardTable(nft)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        watching = watch.Watch(
            nft, guard, ExemptionTable(nft), MssClampTable(nft), events.append, esp_ports=EspPortTable(nft)
        )
        following = asyncio.ensure_future(watching._follow(ours))
        await until(lambda: any(isinstance(event, ClampsRead) for event in events))
        events.clear()
        with pytest.raises(TimedOut), monkeypatch.context() as impatient:
            impatient.setattr(transport, "_TIMEOUT_SECONDS", 0.5)
            await guard.write(Delta(set={"ncg-tunnel-1": None}))
        await until(lambda: any(isinstance(event, GuardRead) for event in events))
        following.cancel()
        await asyncio.wait({following})
        ours.close()
        theirs.close()

    asyncio.run(scenario())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
