"""Which XFRM interfaces the kernel encrypts for: IPsec goes on in the kernel when its IKE daemon is dead.

An interface id counts while it has an outbound policy whose template names the SPI of an SA with keys; strongSwan
writes policies like that. Structures: ``linux/xfrm.h``.
"""

import asyncio
import logging
import socket
import struct
from contextlib import closing

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.transport import NetlinkSocket, Notifications
from ncgd.drivers.port import Post
from ncgd.errors import DriverError, Unavailable
from ncgd.model.event import EspRead

_log = logging.getLogger(__name__)

_GROUPS = (3, 4)
"""XFRMNLGRP_SA and XFRMNLGRP_POLICY."""
_GETSA, _GETPOLICY = 0x12, 0x15
_ALG_CRYPT, _TMPL, _ALG_AEAD, _IF_ID = 2, 5, 18, 31
_SA_BYTES, _SA_SPI = 224, 72
"""Of ``struct xfrm_usersa_info``: size with padding, offset of ``id.spi``."""
_POLICY_BYTES, _POLICY_DIRECTION, _OUT = 168, 160, 1
"""Of ``struct xfrm_userpolicy_info``."""
_TMPL_SPI = slice(16, 20)
_PAUSE_SECONDS = 0.02
_RETRY_SECONDS = 1.0


class EspWatch:
    """Posts EspRead, then anew as it changes. Where the kernel has no IPsec it says nothing."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._last: EspRead | None = None

    async def run(self) -> None:
        """Follow until cancelled; ends by itself in a kernel without IPsec."""
        while True:
            try:
                notifications = Notifications(_GROUPS, socket.NETLINK_XFRM)
            except Unavailable:
                return
            requests = NetlinkSocket(protocol=socket.NETLINK_XFRM)
            with closing(notifications), closing(requests):
                try:
                    await self._follow(notifications, requests)
                except DriverError as error:
                    _log.warning("%s; the kernel's SAs are read again in %g s", error, _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, notifications: Notifications, requests: NetlinkSocket) -> None:
        while True:
            now = await _read(requests)
            if now != self._last:
                self._last = now
                self._post(now)
            await notifications.wait()
            await asyncio.sleep(_PAUSE_SECONDS)  # a tunnel that comes up is half a dozen of them


async def _read(requests: NetlinkSocket) -> EspRead:
    """The SAs before and after the policies: what a rekey swaps between two dumps is in one of them."""
    flags = codec.NLM_F_REQUEST | codec.NLM_F_DUMP
    states = codec.message(_GETSA, flags, b"")
    before = await requests.dump(states, _States)
    policies = await requests.dump(codec.message(_GETPOLICY, flags, b""), _Policies)
    spis = before.spis | (await requests.dump(states, _States)).spis
    return EspRead(if_ids=frozenset(if_id for if_id, spi in policies.outbound if spi in spis))


class _Policies:
    """Interface id and SPI of every outbound policy that has both, filled by a dump."""

    def __init__(self) -> None:
        self.outbound: set[tuple[int, bytes]] = set()

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one XFRM_MSG_NEWPOLICY."""
        found = dict(parse.attributes(data, start + _POLICY_BYTES, end))
        if data[start + _POLICY_DIRECTION] == _OUT and _TMPL in found and _IF_ID in found:
            (if_id,) = struct.unpack("=I", found[_IF_ID])
            self.outbound.add((if_id, found[_TMPL][_TMPL_SPI]))


class _States:
    """SPIs of the SAs that have keys, filled by a dump; one without is only being negotiated."""

    def __init__(self) -> None:
        self.spis: set[bytes] = set()

    def fold(self, data: bytes, start: int, end: int) -> None:
        """Take in one XFRM_MSG_NEWSA."""
        found = dict(parse.attributes(data, start + _SA_BYTES, end))
        if _ALG_AEAD in found or _ALG_CRYPT in found:
            self.spis.add(data[start + _SA_SPI : start + _SA_SPI + 4])
