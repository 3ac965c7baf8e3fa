"""Which interface ids the kernel encrypts for, read while an IKE daemon swaps SAs."""

import asyncio
import struct

import pytest

from ncgd.drivers.kernel import codec, esp
from ncgd.drivers.kernel.transport import NetlinkSocket, Table

IF_ID, OLD, NEW = 7, b"\0\0\1\1", b"\0\0\2\2"
_GETSA = 0x12


class Rekeying(NetlinkSocket):
    """A kernel in which the one SA is swapped for its successor after so many dumps."""

    def __init__(self, swapped_after: int) -> None:
        super().__init__()
        self._dumps_left = swapped_after

    async def dump(self, request: bytes, empty: type[Table]) -> Table:  # type: ignore[override]
        """One SA with keys, and the outbound policy that names it."""
        spi = OLD if self._dumps_left > 0 else NEW
        self._dumps_left -= 1
        (_, kind, *_) = codec.HEADER.unpack_from(request)
        data = state(spi) if kind == _GETSA else policy(spi)
        table = empty()
        table.fold(data, 0, len(data))
        return table


def state(spi: bytes) -> bytes:
    body = bytearray(224)
    body[72:76] = spi
    return bytes(body) + codec.attribute(18, b"key!")


def policy(spi: bytes) -> bytes:
    body = bytearray(168)
    body[160] = 1
    template = bytes(16) + spi + bytes(44)
    return bytes(body) + codec.attribute(5, template) + codec.attribute(31, struct.pack("=I", IF_ID))


@pytest.mark.parametrize("swapped_after", range(4))
def test_a_rekey_between_two_dumps_is_no_tunnel_lost(swapped_after: int) -> None:
    assert asyncio.run(esp._read(Rekeying(swapped_after))).if_ids == {IF_ID}
