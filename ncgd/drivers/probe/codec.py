"""ICMP echo messages (RFC 792) to bytes and back. Pure."""

import struct

ECHO_REQUEST, ECHO_REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")


def request(identifier: int, sequence: int, token: bytes) -> bytes:
    """An echo request; ``token`` comes back in the reply and proves that it is one to us."""
    head = _HEADER.pack(ECHO_REQUEST, 0, 0, identifier, sequence)
    return _HEADER.pack(ECHO_REQUEST, 0, checksum(head + token), identifier, sequence) + token


def reply_sequence(packet: bytes, token: bytes, identifier: int | None) -> int | None:
    """The sequence number of an echo reply whose data begins with ``token``; None for anything else.

    ``identifier`` None: the kernel chooses it and compares it (datagram sockets), and shows no IP header.
    """
    if identifier is not None:
        if len(packet) < 20:
            return None
        packet = packet[(packet[0] & 0xF) * 4 :]
    if len(packet) < _HEADER.size:
        return None
    kind, code, _, answered, sequence = _HEADER.unpack_from(packet)
    if (kind, code) != (ECHO_REPLY, 0) or not packet.startswith(token, _HEADER.size):
        return None
    if identifier is not None and answered != identifier:
        return None
    return int(sequence)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
