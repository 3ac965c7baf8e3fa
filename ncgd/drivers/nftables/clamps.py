"""The MSS clamps as a table of ours."""

import json

from ncgd.drivers.nftables import clamps_json as render
from ncgd.drivers.nftables.transport import Nft
from ncgd.model.clamp import MssClamp
from ncgd.model.delta import Delta, Outcome


class MssClampTable:
    """OwnedTable of MSS clamps, by interface; the whole of table ``inet ncgd``."""

    def __init__(self, nft: Nft | None = None) -> None:
        self._nft = nft or Nft()
        self._rows: dict[str, MssClamp] | None = None
        """What the table holds; None until it is read, and after a write whose outcome is unknown."""

    async def read(self) -> dict[str, MssClamp]:
        """The clamps that are in force. Raises DriverError."""
        listing = await self._nft.listed(render.TABLE)
        return render.clamps(json.loads(listing)) if listing else {}

    async def write(self, delta: Delta[str, MssClamp]) -> Outcome[str]:
        """Replace the table with what it holds after ``delta``, in one transaction: all or nothing.

        Raises Unavailable without nft, Rejected without CAP_NET_ADMIN or when the kernel lacks nf_tables, TimedOut.
        """
        rows = await self.read() if self._rows is None else self._rows
        self._rows = None
        rows = {name: clamp for name, clamp in (rows | dict(delta.set)).items() if name not in delta.remove}
        await self._nft.run("-j", "-f", "-", text=json.dumps(render.table(rows.values())).encode())
        self._rows = rows
        return Outcome()
