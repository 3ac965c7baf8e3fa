"""Network namespaces for tests: made, used and removed by the test that asks for them."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")
Condition = Callable[..., T | Literal[False] | None]
"""What is waited for. The dots: a lambda in a loop takes the loop's variable as a default."""
_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def until(condition: Condition[T], seconds: float = 30.0, what: str = "") -> T:
    """Poll until ``condition()`` is true and return its value; AssertionError after the deadline."""
    deadline = time.monotonic() + seconds * float(os.environ.get("NCGD_TIME_SCALE", "1"))
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)


def enter(path: Path) -> None:
    """Move the calling thread into the network namespace that a file names; raises OSError."""
    with path.open() as handle:
        if _libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def in_namespace(path: Path, function: Callable[[], T]) -> T:
    """Run a function in a thread that has entered the network namespace that a file names."""
    results: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            enter(path)
            results.append(function())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class Namespace:
    """One named network namespace and the processes started in it; a context manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Namespace":
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def ip(self, arguments: str) -> str:
        """``ip -n NAME ARGUMENTS``; raises CalledProcessError when it fails."""
        return self._check(["ip", "-n", self.name, *arguments.split()])

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command inside and return its standard output."""
        return self._check(["ip", "netns", "exec", self.name, *argv], stdin)

    def succeeds(self, *argv: str) -> bool:
        """True when the command exits 0."""
        command = ["ip", "netns", "exec", self.name, *argv]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def start(self, *argv: str, log: Path | None = None, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a process in its own process group; it is ended with the namespace."""
        with (log or Path(os.devnull)).open("ab") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
                env={**os.environ, **(env or {})},
            )
        self._processes.append(process)
        return process

    def call(self, function: Callable[[], T]) -> T:
        """Run a Python function in a thread that has entered the namespace (own event loops welcome)."""
        return in_namespace(Path("/run/netns", self.name), function)

    def _check(self, argv: list[str], stdin: str | None = None) -> str:
        result = subprocess.run(argv, capture_output=True, text=True, check=False, input=stdin)
        if result.returncode:
            raise AssertionError(f"{' '.join(argv)}: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout


@contextmanager
def veth(
    one: Namespace, one_name: str, one_address: str, other: Namespace, other_name: str, other_address: str
) -> Iterator[None]:
    """A veth pair between two namespaces, addressed and up; removed with them."""
    one.ip(f"link add {one_name} type veth peer name {other_name} netns {other.name}")
    for space, name, address in ((one, one_name, one_address), (other, other_name, other_address)):
        space.ip(f"addr add {address} dev {name}")
        space.ip(f"link set {name} up")
    yield
