"""Asking the ncgd of this host: what it answers, or the end of the program with a clear word."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncgd.cli import client
from ncgd.cli.ending import told

QUIET_SECONDS = 1.0
"""Whoever waits for longer is told for what."""


def ask(
    path: Path, resource: str, query: Mapping[str, str] | None = None, *, seconds: float = client.TIMEOUT_SECONDS
) -> Any:
    """The JSON at ``resource``; ends the program when nobody answers, or the answer is no."""
    with told(), patience(f"{path} has not answered yet, waiting"):
        return client.get(path, resource, query, seconds=seconds)


@contextmanager
def patience(text: str) -> Iterator[None]:
    """Says on the terminal what is being waited for, after a second, and takes it away at the end."""
    said = threading.Event()

    def say() -> None:
        said.set()
        sys.stderr.write(f"{text} …")
        sys.stderr.flush()

    timer = threading.Timer(QUIET_SECONDS, say)
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if said.is_set():
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
