"""ESP in UDP while charon is away: what comes of a write that a busy machine is too slow for."""

import asyncio
import json
import re

import pytest

from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import Rejected, TimedOut
from ncgd.model.delta import Delta
from ncgd.model.ike import EspPort

PORT: Delta[int, EspPort] = Delta(set={4500: EspPort(port=4500)})
GONE: Delta[int, EspPort] = Delta(remove=frozenset({4500}))


class Failing(Nft):
    """nft that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def run(self, *_arguments: str, text: bytes | None = None) -> bytes:
        """Raise it."""
        assert text
        raise self._error


def test_a_slow_nft_is_a_failure_and_tried_again() -> None:
    table = EspPortTable(Failing(TimedOut("nft -f -: no answer within 10 s")))
    for delta in (PORT, GONE):
        with pytest.raises(TimedOut):
            asyncio.run(table.write(delta))


def test_a_kernel_that_cannot_is_none() -> None:
    table = EspPortTable(Failing(Rejected("nft -f -: Operation not supported")))
    for delta in (PORT, GONE):
        assert not asyncio.run(table.write(delta)).failed


class Holding(Nft):
    """nft with one table, as it lists it."""

    def __init__(self) -> None:
        super().__init__()
        self.rules: list[object] = []

    async def run(self, *arguments: str, text: bytes | None = None) -> bytes:
        """Take the rules that send a port elsewhere or leave it alone; or list them."""
        if text is None:
            assert arguments[:2] == ("-j", "list")
            return json.dumps(
                {"nftables": [{"table": {}}, *({"rule": {"expr": rule}} for rule in self.rules)]}
            ).encode()
        key = {"payload": {"protocol": "udp", "field": "dport"}}
        self.rules = []
        for port, ours in re.findall(r"dport (\d+) .*(?:accept|dport set (\d+))", text.decode()):
            verdict = {"mangle": {"key": key, "value": int(ours)}} if ours else {"accept": None}
            self.rules.append([{"match": {"op": "==", "left": key, "right": int(port)}}, verdict])
        return b""


def test_what_somebody_flushed_is_seen_to_be_gone() -> None:
    nft = Holding()
    table = EspPortTable(nft)
    assert asyncio.run(table.read()) == {}
    asyncio.run(table.write(PORT))
    assert asyncio.run(table.read()) == PORT.set
    assert asyncio.run(EspPortTable(nft).read()) == {}, "an earlier ncgd's socket is gone"
    nft.rules.pop()
    assert asyncio.run(table.read()) == {}
    asyncio.run(table.write(GONE))
