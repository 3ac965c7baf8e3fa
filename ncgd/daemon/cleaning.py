"""Takes everything of ncgd off this machine, found by its marks: ``ncgd --clean``."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ncgd.daemon.lock import only_one
from ncgd.daemon.supervise import Supervisor
from ncgd.drivers.kernel import esp_remains
from ncgd.drivers.kernel.edit import editing
from ncgd.drivers.kernel.interfaces import read_links
from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import Rejected, Unavailable
from ncgd.model.delta import Delta
from ncgd.model.fib import LINK_PREFIX, LinkKind, RouteChange
from ncgd.model.process import Launch

TABLE = "ncgd"
"""nftables tables of this name, and those whose names go on with ``_``, are ncgd's."""


async def clean(run_dir: Path, state_dir: Path) -> AsyncIterator[str]:
    """Remove, and say line by line what there was; nothing is said of what was not there.

    From what forwards to what holds back: the guard goes last. Raises UserError while an ncgd runs here, and
    DriverError when something would not go.
    """
    await asyncio.to_thread(run_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    with only_one(run_dir):
        with closing(Kernel(lambda _: None)) as kernel:
            for remove in (partial(_programs, run_dir), partial(_routes, kernel), _links, _esp, _filters):
                removed = await remove()
                if removed:
                    yield removed
        if await asyncio.to_thread(_empty, state_dir):
            yield f"what {state_dir} held"
        await asyncio.to_thread(_empty, run_dir)


async def _programs(run_dir: Path) -> str:
    """charon and exabgp, if an ncgd has started them here."""

    async def start_nothing(name: str, _: object) -> Launch:
        raise Rejected(f"{name} is not started any more")

    supervisor = Supervisor(run_dir, start_nothing, lambda _: None)
    names = supervisor.recorded()
    _insist((await supervisor.write(Delta(remove=frozenset[object](names)))).failed)
    return f"programs {', '.join(sorted(names))}" if names else ""


async def _routes(kernel: Kernel) -> str:
    seen, nexthops = await kernel.read_routes(), (await kernel.read_nexthops()).nexthops
    change = RouteChange(routes=dict.fromkeys(seen.routes), backstops=dict.fromkeys(seen.backstops, False))
    if change:
        _insist((await kernel.program(change)).failed)
    if nexthops:
        _insist((await kernel.nexthops.write(Delta(remove=frozenset(nexthops)))).failed)
    count = len(seen.routes) + len(seen.backstops)
    return f"{count} routes and {len(nexthops)} nexthops" if count or nexthops else ""


async def _links() -> str:
    with closing(NetlinkSocket()) as reads:
        present = await read_links(reads)
    ours = [row for row in present.values() if row.name.startswith(LINK_PREFIX) and row.kind in set(LinkKind)]
    async with editing() as edits:
        for row in ours:
            why = await edits.link("del", index=row.index)
            if why:
                raise Rejected(f"cannot remove interface {row.name}: {why}")
    return f"interfaces {', '.join(sorted(row.name for row in ours))}" if ours else ""


async def _esp() -> str:
    count = await esp_remains.remove()
    return f"{count} SAs and policies" if count else ""


async def _filters() -> str:
    nft, removed = Nft(), []
    try:
        listed = json.loads(await nft.run("-j", "list", "tables"))["nftables"]
    except Unavailable:  # without nft there were none
        return ""
    for each in (row["table"] for row in listed if "table" in row):
        if each["name"] == TABLE or each["name"].startswith(f"{TABLE}_"):
            await nft.run("delete", "table", each["family"], each["name"])
            removed.append(f"{each['family']} {each['name']}")
    return f"nftables tables {', '.join(removed)}" if removed else ""


def _insist(failed: Mapping[Any, str]) -> None:
    for why in failed.values():
        raise Rejected(why)


def _empty(folder: Path) -> bool:
    """Whether there was anything. The folder itself may be a mount."""
    if not folder.is_dir():
        return False
    found = list(folder.iterdir())
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)
