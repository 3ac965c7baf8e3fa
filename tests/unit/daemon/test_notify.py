"""What systemd hears from ncgd, on a socket like its own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncgd.daemon.loop import State
from ncgd.daemon.notify import SECONDS, Notifier
from ncgd.decision.world import World
from tests.scenarios.site import healthy_site


class Systemd:
    """The manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        """What was said since one last listened."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / "notify"
    return str(path) if request.param == "path" else f"@{path}"


@pytest.fixture
def systemd(address: str) -> Iterator[Systemd]:
    it = Systemd(address.replace("@", "\0"))
    with it.socket:
        yield it


def test_it_is_ready_once_everything_is_protected(systemd: Systemd, address: str) -> None:
    notifier = Notifier(address)
    notifier.observe(State(World()))
    site = healthy_site()
    notifier.observe(State(site.world, report=site.report()))
    assert systemd.heard() == [["WATCHDOG=1"], ["WATCHDOG=1", "STATUS=Gateway is Healthy", "READY=1"]]


def test_the_same_is_said_once_a_second(systemd: Systemd, address: str) -> None:
    notifier = Notifier(address)
    site = healthy_site()
    state = State(site.world, report=site.report(), ended=100.0)
    for _ in range(50):
        notifier.observe(state)
    assert len(systemd.heard()) == 1
    state.ended += SECONDS
    notifier.observe(state)
    assert len(systemd.heard()) == 1


def test_a_systemd_that_does_not_listen_holds_up_nothing(systemd: Systemd, address: str) -> None:
    notifier = Notifier(address)
    state = State(healthy_site().world)
    for number in range(5000):  # far more than its socket holds (net.unix.max_dgram_qlen)
        state.ended = float(number)
        notifier.observe(state)
    assert systemd.heard()
    systemd.socket.close()
    state.ended += SECONDS
    notifier.observe(state)


def test_nobody_is_told_where_nobody_asked() -> None:
    Notifier("").observe(State(healthy_site().world))
