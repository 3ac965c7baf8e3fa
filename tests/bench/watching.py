"""What it takes to look at a large gateway: metrics, the page, ``ncgctl status``; and what that costs its passes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from threading import Event

from ncgd.lab import install
from ncgd.lab.failure import LabFailure
from tests.bench.outage import rest
from tests.bench.watched import SOCKET

UNWATCHED = "nobody looks"
ROWS = frozenset({"scrape", "scrape-often", "passes", "status-page", "ncgctl-status"})
_SECONDS = 8.0
_A_SECOND = 100
_FEW = 20
_CLIENTS = 16

Gateway = tuple[int, Path, Callable[[], list[float]]]


def watch(name: str, wanted: frozenset[str]) -> Iterator[tuple[str, float]]:
    """Milliseconds of the rows that are wanted; for ``UNWATCHED`` those of passes."""
    with _gateway() as (port, socket, passes):
        if name == UNWATCHED:
            rest(_SECONDS)
            yield "passes", _slowest(passes()) * 1000
            return
        for row, target in {"scrape": "/metrics", "status-page": "/"}.items():
            yield row, median(_every(0.3, _FEW, partial(_get, port, target))) * 1000
        if "ncgctl-status" in wanted:
            argv = [str(install.VENV / "bin" / "ncgctl"), "--socket", str(socket), "status"]
            asked = _every(0.5, _FEW, lambda: subprocess.run(argv, capture_output=True, check=False))
            yield "ncgctl-status", median(asked) * 1000
        if wanted & {"scrape-often", "passes"}:
            passes()
            scraped = _every(1 / _A_SECOND, int(_SECONDS * _A_SECOND), lambda: _get(port, "/metrics"))
            yield "passes", _slowest(passes()) * 1000
            yield "scrape-often", _slowest(scraped) * 1000


@contextmanager
def _gateway() -> Iterator[Gateway]:
    """Its status port, its socket, and what tells how long its passes took since that was asked last."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "tests.bench.watched", folder]
        with subprocess.Popen(
            argv, cwd=install.CHECKOUT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            writer, reader = process.stdin, process.stdout
            assert writer is not None
            assert reader is not None

            def passes() -> list[float]:
                writer.write("\n")
                writer.flush()
                return [float(each) for each in json.loads(reader.readline())]

            try:
                port = reader.readline()
                if not port:
                    raise LabFailure("the gateway that is to be watched has not started", "see above")
                rest(3)
                yield int(port), Path(folder) / SOCKET, passes
            finally:
                writer.close()


def _every(seconds: float, count: int, work: Callable[[], object]) -> list[float]:
    """How long each took: begun at these intervals, whether or not the one before has ended."""

    def timed() -> float:
        began = time.monotonic()
        work()
        return time.monotonic() - began

    begun, pause = time.monotonic(), Event()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        pending = []
        for number in range(count):
            pause.wait(max(0.0, begun + number * seconds - time.monotonic()))
            pending.append(pool.submit(timed))
        return [each.result() for each in pending]


def _get(port: int, target: str) -> None:
    """As Prometheus and browsers do."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", target, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise LabFailure(f"{target} answers {answer.status}")
    finally:
        connection.close()


def _slowest(values: list[float]) -> float:
    """The slowest but one per cent."""
    return quantiles(values, n=100)[98]
