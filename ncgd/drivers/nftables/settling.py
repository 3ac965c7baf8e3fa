"""Listings that can be trusted: while the kernel makes a set's hash table larger, a listing leaves elements out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_REHASH_SECONDS = 2.0
"""So long after a write two listings must agree."""


class Settling:
    """Knows when the table was written last."""

    def __init__(self) -> None:
        self._written = -_REHASH_SECONDS

    def wrote(self) -> None:
        """A write has just been done."""
        self._written = asyncio.get_running_loop().time()

    async def read(self, once: Callable[[], Awaitable[T]]) -> T:
        """What ``once`` reads, again where it may not be whole."""
        read = await once()
        while asyncio.get_running_loop().time() < self._written + _REHASH_SECONDS:
            before, read = read, await once()
            if read == before:
                break
        return read
