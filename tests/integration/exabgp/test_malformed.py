"""A hand-written peer that says what no BGP speaker should."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ncgd.model.event import SessionDown
from tests.integration.exabgp.bird import PEER_ASN
from tests.integration.exabgp.site import LOCAL_ASN, Mailbox, Site, wanted

pytestmark = pytest.mark.root

OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
IGP, NOTHING_KNOWN = 0, 9
GOOD_PATH = b"\x40\x02\x04\x02\x01" + struct.pack("!H", PEER_ASN)
NEXT_HOP = b"\x40\x03\x04" + bytes([169, 254, 1, 1])


def message(kind: int, body: bytes = b"", marker: bytes = b"\xff" * 16) -> bytes:
    return marker + struct.pack("!HB", 19 + len(body), kind) + body


def update(origin: int, *prefixes: bytes, path: bytes = GOOD_PATH) -> bytes:
    """RFC 4271 §4.3, two-byte ASNs: we announce no capability at all."""
    attributes = bytes([0x40, 1, 1, origin]) + path + NEXT_HOP
    return message(UPDATE, b"\0\0" + struct.pack("!H", len(attributes)) + attributes + b"".join(prefixes))


class Impostor:
    """Accepts the gateway's connections, one after the other."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None

    async def accept(self) -> None:
        """OPEN and KEEPALIVE, both ways."""
        loop = asyncio.get_running_loop()
        if self._connection:
            self._connection.close()
        self._connection, _ = await asyncio.wait_for(loop.sock_accept(self._listener), 30)
        await self.send(
            message(OPEN, struct.pack("!BHH4sB", 4, PEER_ASN, 60, bytes([9, 9, 9, 9]), 0)) + message(KEEPALIVE)
        )

    async def send(self, data: bytes) -> None:
        assert self._connection is not None
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    async def notification(self) -> tuple[int, int]:
        """Read until the gateway complains: code and subcode."""
        assert self._connection is not None
        data = b""
        while chunk := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._connection, 4096), 30):
            data += chunk
        while data[18] != NOTIFICATION:
            data = data[struct.unpack("!H", data[16:18])[0] :]
        return data[19], data[20]

    def close(self) -> None:
        for one in (self._connection, self._listener):
            if one:
                one.close()


@contextmanager
def impostor(lab: Site) -> Iterator[Impostor]:
    def listen() -> socket.socket:
        listener = socket.create_server(("169.254.1.1", 179))
        listener.setblocking(False)
        return listener

    made = Impostor(lab.spaces[0].call(listen))
    try:
        yield made
    finally:
        made.close()


async def established(peer: Impostor, mailbox: Mailbox, *, good: bytes) -> None:
    await peer.accept()
    await peer.send(update(IGP, good))
    await mailbox.until(lambda: mailbox.prefixes("peer-1"), "a good path")


def test_a_bad_attribute_withdraws_its_prefixes_and_nothing_else(lab: Site) -> None:
    """RFC 7606: treat as withdraw; the session stays."""

    async def scenario() -> None:
        with impostor(lab) as peer:
            async with lab.driver() as (speaker, mailbox):
                await speaker.neighbors.write(wanted(lab.neighbor(1)))
                await established(peer, mailbox, good=b"\x08\x0a\x08\x0b")
                assert mailbox.prefixes("peer-1") == ["10.0.0.0/8", "11.0.0.0/8"]
                await peer.send(update(NOTHING_KNOWN, b"\x08\x0b"))
                await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.0.0.0/8"], "the withdrawal")
                await peer.send(update(IGP, b"\x08\x0c"))
                await mailbox.until(lambda: mailbox.prefixes("peer-1") == ["10.0.0.0/8", "12.0.0.0/8"], "the next path")
                assert not mailbox.of(SessionDown)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("nonsense", "code"),
    [
        (update(IGP, b"\x29\x0a\x0a\x0a\x0a\x0a\x0a"), 3),
        (message(UPDATE, b"\xff\xff\x00\x00"), 3),
        (message(KEEPALIVE, marker=b"\0" * 16), 1),
        (message(77), 1),
    ],
    ids=["prefix longer than an address", "lengths that lie", "no marker", "unknown type"],
)
def test_nonsense_ends_the_session_with_a_reason_and_the_next_one_is_fine(
    lab: Site, nonsense: bytes, code: int
) -> None:
    async def scenario() -> None:
        lab.birds[1].start(["10.2.0.0/16"])
        with impostor(lab) as peer:
            async with lab.driver() as (speaker, mailbox):
                await speaker.neighbors.write(wanted(lab.neighbor(1), lab.neighbor(2)))
                await established(peer, mailbox, good=b"\x08\x0a")
                await mailbox.until(lambda: mailbox.prefixes("peer-2"), "the other session")
                await peer.send(nonsense)
                await mailbox.until(lambda: mailbox.of(SessionDown), "the end")
                down = mailbox.of(SessionDown)[0]
                assert not down.is_graceful
                assert f"we sent NOTIFICATION {code}/" in down.reason
                assert (await peer.notification())[0] == code
                await established(peer, mailbox, good=b"\x08\x0d")
                assert mailbox.prefixes("peer-1") == ["13.0.0.0/8"]
                assert {down.peer for down in mailbox.of(SessionDown)} == {"peer-1"}

    asyncio.run(scenario())


def test_our_own_asn_in_the_path_is_shown_as_it_came(lab: Site) -> None:
    """Whether to refuse a looped path is a decision, not the driver's."""

    async def scenario() -> None:
        with impostor(lab) as peer:
            async with lab.driver() as (speaker, mailbox):
                await speaker.neighbors.write(wanted(lab.neighbor(1)))
                await peer.accept()
                path = b"\x40\x02\x0a\x02\x02" + struct.pack("!HH", PEER_ASN, LOCAL_ASN) + b"\x01\x01\x00\x07"
                await peer.send(update(IGP, b"\x08\x0a", path=path))
                await mailbox.until(lambda: mailbox.prefixes("peer-1"), "the path")
                (attributes,) = mailbox.paths["peer-1"].values()
                assert (attributes.as_path, attributes.as_path_length) == ((PEER_ASN, LOCAL_ASN, 7), 3)

    asyncio.run(scenario())
