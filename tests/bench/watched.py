"""``python -m tests.bench.watched FOLDER``: a gateway of 64 tunnels and 5 000 prefixes that is being watched.

Its kernel, charon and speaker are a scenario's; loop, API and status port are ncgd's own, in a process of their own as
ncgd is. Prints the port; and for each line that it reads, how long each pass since then took, in seconds from the event
that made it necessary to its end, as JSON. Twenty events come in a second.
"""

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from ipaddress import ip_address
from pathlib import Path

from ncgd.api.history import History
from ncgd.api.page.routes import assets, page_of
from ncgd.api.port import StatusPort
from ncgd.api.server import Api
from ncgd.daemon.loop import Loop, State
from ncgd.daemon.mailbox import Mailbox
from ncgd.model.delta import Delta, Outcome
from ncgd.model.event import StatusPortTold, Ticked
from ncgd.model.fib import RouteChange
from ncgd.model.prefix import Prefix
from tests.unit.api.scenes import large, moment, nobody_looks
from tests.unit.api.test_port import free_port

SOCKET = "ncgd.sock"
_EVENT_SECONDS = 0.05
_LOOPBACK = ip_address("127.0.0.1")


class _Written:
    """A table that takes everything."""

    async def write(self, _: Delta[object, object]) -> Outcome[object]:
        return Outcome()


async def _programmed(_: RouteChange) -> Outcome[Prefix]:
    return Outcome()


async def _run(folder: Path) -> None:
    gc.freeze()  # as ncgd does
    scene = moment(large())
    ahead = scene.state.world.now - time.monotonic()

    def clock() -> float:
        return time.monotonic() + ahead

    history, mailbox, latencies = History(time.monotonic), Mailbox(clock), list[float]()

    def observe(state: State) -> None:
        history.observe(state)
        latencies.append(clock() - state.world.heard)

    loop = Loop(mailbox, defaultdict(_Written), _programmed, "node-1", clock=clock, observe=observe)
    loop.state.world = scene.state.world
    api = Api(folder / SOCKET, lambda: loop.state, nobody_looks)
    number, is_listening = free_port(), asyncio.Event()

    def told(event: StatusPortTold) -> None:
        assert not event.reason, event.reason
        is_listening.set()

    shown = {**api.shown, "/": page_of(lambda: loop.state, history)}
    port = StatusPort(_LOOPBACK, number, shown, told, fixed=assets())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in (loop.run(), api.run(), port.run(), _happen(mailbox))]
        await is_listening.wait()
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(json.dumps(latencies) + "\n")
            sys.stdout.flush()
            latencies.clear()
        for task in tasks:
            task.cancel()


async def _happen(mailbox: Mailbox) -> None:
    while True:
        mailbox.post(Ticked())
        await asyncio.sleep(_EVENT_SECONDS)


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
