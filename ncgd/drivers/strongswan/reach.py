"""Asks whether a peer answers IKE, without leaving anything behind at either end.

The request proposes algorithms of private use (RFC 7296 §3.3.2), which nobody accepts: a responder that knows our
address refuses with NO_PROPOSAL_CHOSEN and keeps no state.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterable

from ncgd.decision.preflight.facts import Reach

IKE, IKE_NAT = 500, 4500
ATTEMPTS = 3
WAIT_SECONDS = 1.0
ANSWERED, SILENT = "answered", "silent"

_HEADER = struct.Struct(">8s8sBBBBII")
_SA, _KE, _NONCE, _NO_NEXT = 33, 34, 40, 0
_VERSION, _IKE_SA_INIT, _INITIATOR = 0x20, 34, 0x08
_NON_ESP = bytes(4)
"""Before IKE on port 4500 (RFC 3948 §2.2)."""
_PRIVATE = 65001
_GROUP_14, _GROUP_14_BYTES = 14, 256


def request(spi: bytes) -> bytes:
    """An IKE_SA_INIT of the initiator ``spi`` (8 bytes) that is well formed and never accepted."""
    kinds = range(1, 5)  # ENCR, PRF, INTEG, D-H
    transforms = b"".join(struct.pack(">BxHBxH", 3 if kind < 4 else 0, 8, kind, _PRIVATE) for kind in kinds)
    proposal = struct.pack(">BxHBBBB", 0, 8 + len(transforms), 1, 1, 0, 4) + transforms
    key = struct.pack(">Hxx", _GROUP_14) + os.urandom(_GROUP_14_BYTES)
    body = _payload(_KE, proposal) + _payload(_NONCE, key) + _payload(_NO_NEXT, os.urandom(32))
    return _HEADER.pack(spi, bytes(8), _SA, _VERSION, _IKE_SA_INIT, _INITIATOR, 0, _HEADER.size + len(body)) + body


def _payload(following: int, content: bytes) -> bytes:
    return struct.pack(">BxH", following, 4 + len(content)) + content


async def reach(peers: Iterable[str]) -> tuple[Reach, ...]:
    """Every peer at both ports, all at once; takes at most ``ATTEMPTS`` times ``WAIT_SECONDS``."""
    return tuple(await asyncio.gather(*(_ask(peer, port) for peer in peers for port in (IKE, IKE_NAT))))


async def _ask(peer: str, port: int) -> Reach:
    loop = asyncio.get_running_loop()
    spi = os.urandom(8)
    marker = _NON_ESP if port == IKE_NAT else b""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (peer, port))
            for _ in range(ATTEMPTS):
                await loop.sock_sendall(connection, marker + request(spi))
                try:
                    async with asyncio.timeout(WAIT_SECONDS):
                        while not (await loop.sock_recv(connection, 4096)).startswith(marker + spi):
                            pass
                except TimeoutError:
                    continue
                return Reach(peer=peer, port=port, outcome=ANSWERED)
        except OSError as error:
            return Reach(peer=peer, port=port, outcome=error.strerror or type(error).__name__)
    return Reach(peer=peer, port=port, outcome=SILENT)
