"""The tables that one charon holds for us. Each write applies a delta over VICI; rows that charon refuses are values.

A lost connection, or an answer that does not come in time, ends the write with Unavailable or TimedOut: the outcome
is unknown, and ``CharonLost`` and ``CharonUp`` follow, which make the tables unread.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from ncgd.drivers.strongswan import render
from ncgd.drivers.strongswan.transport import Section
from ncgd.errors import Rejected
from ncgd.model.delta import Delta, Outcome
from ncgd.model.ike import Connection, Credential, Repair, StaleSa
from ncgd.model.secret import Vault

K = TypeVar("K")
V = TypeVar("V")


class Caller(Protocol):
    """Sends one VICI command to the charon, over whichever connection there is now."""

    async def call(self, command: str, message: Section) -> None:
        """Raises Rejected, TimedOut, or Unavailable (also while there is no connection)."""


class CredentialTable:
    """Pre-shared keys by tunnel. A rotated key replaces the old one; SAs that are up stay up."""

    def __init__(self, charon: Caller, vault: Vault) -> None:
        self._charon = charon
        self._vault = vault

    async def write(self, delta: Delta[str, Credential]) -> Outcome[str]:
        """Load and unload keys."""

        async def load(tunnel: str) -> None:
            row = delta.set[tunnel]
            try:
                key = self._vault.get(row.secret)
            except KeyError as error:
                where = f"{row.secret.namespace}/{row.secret.name}"
                raise Rejected(f"tunnel {tunnel}: the key of Secret {where} is not in memory any more") from error
            await self._charon.call("load-shared", render.shared(row, key))

        async def unload(tunnel: str) -> None:
            await self._charon.call("unload-shared", render.unload_shared(tunnel))

        return await _apply(delta, load, unload)


class ConnectionTable:
    """Connections by tunnel. Loading an equal or a changed one touches no SA; a removed one takes its SAs along."""

    def __init__(self, charon: Caller, loaded: dict[str, str]) -> None:
        """``loaded``: digest of the configuration in charon, by tunnel; kept up to date here."""
        self._charon = charon
        self._loaded = loaded

    async def write(self, delta: Delta[str, Connection]) -> Outcome[str]:
        """Load and unload connections."""

        async def load(tunnel: str) -> None:
            row = delta.set[tunnel]
            await self._charon.call("load-conn", render.connection(row))
            self._loaded[tunnel] = row.digest

        async def unload(tunnel: str) -> None:
            await _unless_absent(self._charon.call("unload-conn", render.unload_connection(tunnel)))
            self._loaded.pop(tunnel, None)
            await _unless_absent(self._charon.call("terminate", render.terminate_tunnel(tunnel)))

        return await _apply(delta, load, unload)


class SaTable:
    """SAs. Setting a tunnel, or a Repair, initiates the connection (a new IKE SA each time) and returns at once.

    An attempt goes on by itself (``keyingtries=0``) unless the peer refuses it, so a tunnel that is CONNECTING
    must not be set again. Removing a tunnel terminates all that it has, by force; removing a StaleSa terminates
    that one IKE SA in good order: it decrypts until the peer confirms, so nothing under way is lost.
    """

    def __init__(self, charon: Caller) -> None:
        self._charon = charon

    async def write(self, delta: Delta[str | Repair | StaleSa, Connection]) -> Outcome[str | Repair | StaleSa]:
        """Initiate and terminate; that charon accepted the command is all that the outcome says."""

        async def start(key: str | Repair | StaleSa) -> None:
            await self._charon.call("initiate", render.initiate(delta.set[key]))

        async def stop(key: str | Repair | StaleSa) -> None:
            message = (
                render.terminate_ike(key.ike_id) if isinstance(key, StaleSa) else render.terminate_tunnel(str(key))
            )
            await _unless_absent(self._charon.call("terminate", message))

        return await _apply(delta, start, stop)


async def _apply(
    delta: Delta[K, V], write: Callable[[K], Awaitable[None]], remove: Callable[[K], Awaitable[None]]
) -> Outcome[K]:
    failed: dict[K, str] = {}
    for keys, change in ((delta.remove, remove), (delta.set, write)):
        for key in keys:
            try:
                await change(key)
            except Rejected as error:
                failed[key] = str(error)
    return Outcome(failed=failed)


async def _unless_absent(removal: Awaitable[None]) -> None:
    """What is not there any more has been removed."""
    try:
        await removal
    except Rejected as error:
        if "not found" not in str(error) and "no matching SAs" not in str(error):
            raise
