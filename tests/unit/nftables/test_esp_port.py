"""ESP in UDP while charon is away: what comes of a write that a busy machine is too slow for."""

import asyncio

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
