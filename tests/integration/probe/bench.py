"""A running prober of one tunnel, between two namespaces."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

from ncgd.drivers.probe.memory import Memory
from ncgd.drivers.probe.prober import Prober
from ncgd.model.delta import Delta
from ncgd.model.event import Event, ProbesRead
from ncgd.model.probe import Probe, ProbeReport, Pulse
from ncgd.model.spec import Liveness
from tests.integration.netns import Namespace

FAST = Liveness(interval_seconds=0.02, misses=3, recovery_seconds=0.2)


class Bench:
    """A running prober of one tunnel, and what it last said."""

    def __init__(self, memory: Path, remote: str = "169.254.1.1") -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.prober = Prober(self._events.put_nowait, Memory(memory))
        self.probe = Probe(
            tunnel="t",
            interface="t1",
            local=IPv4Address("169.254.1.2"),
            remote=IPv4Address(remote),
            mtu=1500,
            settings=FAST,
        )

    async def until(self, *pulses: Pulse, seconds: float = 30.0) -> ProbesRead:
        async with asyncio.timeout(seconds):
            while True:
                event = await self._events.get()
                told = event.probes.get("t") if isinstance(event, ProbesRead) else None
                if told is not None and told.vitality.pulse in pulses:
                    assert isinstance(event, ProbesRead)
                    return event

    async def until_told(self, condition: Callable[[ProbeReport], bool], seconds: float = 30.0) -> ProbeReport:
        """The first report of the tunnel that is as wanted."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self._events.get()
                told = event.probes.get("t") if isinstance(event, ProbesRead) else None
                if told is not None and condition(told):
                    return told

    async def next(self) -> ProbesRead:
        async with asyncio.timeout(30):
            event = await self._events.get()
            assert isinstance(event, ProbesRead)
            return event

    def run_in(self, space: Namespace, scenario: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(self.prober.run())
            outcome = await self.prober.write(Delta(set={"t": self.probe}))
            assert not outcome.failed
            try:
                await scenario()
            finally:
                task.cancel()
                await asyncio.wait([task])

        space.call(lambda: asyncio.run(main()))


def drop(peer: Namespace, rule: str) -> None:
    """Drop what a rule matches on its way in."""
    table = f"table inet t {{\n chain c {{\n type filter hook input priority 0;\n {rule} drop;\n }}\n}}\n"
    peer.run("nft", "-f", "-", stdin=table)
