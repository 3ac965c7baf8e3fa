"""The program ``nft``: one run per transaction."""

import asyncio
import os
from collections import deque

from ncgd.errors import Rejected, TimedOut, Unavailable

_TIMEOUT_SECONDS = 10.0
_REMEMBERED_RUNS = 64


class Nft:
    """Runs ``nft``, one at a time, and knows which process ids were its own."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._pids: deque[int] = deque(maxlen=_REMEMBERED_RUNS)
        self.unknown = 0
        """Runs that took too long: they may have done what they were asked for, or not."""

    def is_own(self, pid: int) -> bool:
        """True for the process id of a recent run."""
        return pid in self._pids

    async def run(self, *arguments: str, text: bytes | None = None) -> bytes:
        """Run ``nft ARGUMENTS`` with a text on its standard input and return what it prints.

        Raises Unavailable when nft is not installed, Rejected with nft's own words, TimedOut after 10 s.
        """
        async with self._lock:
            return await self._run(arguments, text)

    async def _run(self, arguments: tuple[str, ...], text: bytes | None) -> bytes:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                "nft", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, "LC_ALL": "C"}
            )
        except OSError as error:
            raise Unavailable(f"cannot run nft: {error.strerror}; install the package nftables") from error
        self._pids.append(process.pid)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                output, complaint = await process.communicate(text)
        except TimeoutError as error:
            self.unknown += 1
            raise TimedOut(f"nft {' '.join(arguments)}: no answer within {_TIMEOUT_SECONDS:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = complaint.decode(errors="replace").strip().partition("\n")[0]
            raise Rejected(f"nft {' '.join(arguments)}: {words or f'exit status {process.returncode}'}")
        return output

    async def listed(self, table: str) -> bytes | None:
        """``nft -j list table inet TABLE``; None when there is no such table. Raises as ``run`` does."""
        try:
            return await self.run("-j", "list", "table", "inet", table)
        except Rejected as error:
            if "No such file" not in str(error):
                raise
            return None
