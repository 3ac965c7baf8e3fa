"""How large a packet fits through a tunnel.

``room = outer_mtu - 20 - nat_t - 8 - iv - icv``; ``payload = floor(room / align) * align - 2`` (RFC 4303 §2), and
20 bytes less over IPv6: what Google publishes for 1460 (Cloud VPN "MTU considerations") and AWS for 1500 bytes outside.
"""

OUTER_MTU = 1460
"""Cloud VPN's gateway MTU, bytes; packets that are larger after encapsulation are not accepted."""

_INTEGRITY_BYTES = {
    "sha1": 12,
    "sha256": 16,
    "sha384": 24,
    "sha512": 32,
    "aesxcbc": 12,
    "aescmac": 12,
    "md5": 12,
}


def payload_bytes(proposal: str, *, outer_version: int = 4, encap: bool = True, outer_mtu: int = OUTER_MTU) -> int:
    """Largest inner packet in bytes for an ESP proposal such as ``aes256gcm16-ecp256``.

    ``encap``: ESP in UDP (RFC 3948). Assumed by default, because behind NAT it is true, and a tunnel that shrinks
    later loses packets while one that is 8 bytes too small loses nothing.
    """
    words = proposal.split("-")
    if any(mark in words[0] for mark in ("gcm", "ccm", "chacha")):
        iv, icv, align = 8, 16, 4
    else:
        iv, align = (8, 8) if words[0].startswith("3des") else (16, 16)
        icv = next((_INTEGRITY_BYTES[word] for word in words[1:] if word in _INTEGRITY_BYTES), 32)
    room = outer_mtu - 20 - (8 if encap else 0) - 8 - iv - icv
    return room // align * align - 2 - (20 if outer_version == 6 else 0)
