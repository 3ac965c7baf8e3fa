"""Requests that are repeated while a server is away or busy, and waiting for a state of affairs, with progress."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from ncgd.cli.asking import QUIET_SECONDS
from ncgd.errors import DriverError, Rejected, TimedOut
from ncgd.sources.kubernetes.client import ApiRejected

T = TypeVar("T")
Say = Callable[[str], None]
"""Shows one line of progress."""

AWAY_SECONDS = 30.0
"""How long a server may be away, or busy, in the middle of something."""
PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
TOO_MANY, CONFLICT, NOT_FOUND = 429, 409, 404


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What the server answers in the end. Raises DriverError: its refusal, or why it did not answer in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + AWAY_SECONDS
    word = loop.call_later(QUIET_SECONDS, _say_that_we_wait)
    try:
        while True:
            try:
                return await ask()
            except DriverError as error:
                if not _passes(error) or loop.time() > end:
                    raise
                asked = error.retry_after if isinstance(error, ApiRejected) else 0.0
                await asyncio.sleep(min(max(asked, PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
    finally:
        word.cancel()


def _say_that_we_wait() -> None:
    if sys.stderr.isatty():
        click.echo("the API server has not answered yet; waiting", err=True)


def _passes(error: DriverError) -> bool:
    if isinstance(error, ApiRejected):
        return error.code >= 500 or error.code in {TOO_MANY, CONFLICT}
    return not isinstance(error, Rejected)


async def if_there(ask: Callable[[], Awaitable[T]]) -> T | None:
    """The answer, patiently; None when there is no such object."""
    try:
        return await patiently(ask)
    except ApiRejected as error:
        if error.code == NOT_FOUND:
            return None
        raise


async def until(state: Callable[[], Awaitable[str]], seconds: float, say: Say) -> None:
    """Wait until ``state`` is empty; it says what is still missing, and is shown whenever that changes.

    Raises TimedOut with the last of it.
    """
    clock = asyncio.get_running_loop().time
    end, last = clock() + seconds, ""
    while True:
        missing = await state()
        if not missing:
            return
        if missing != last:
            say(missing)
            last = missing
        if clock() > end:
            raise TimedOut(f"after {seconds:g} s still: {missing}")
        await asyncio.sleep(PAUSE_SECONDS)
