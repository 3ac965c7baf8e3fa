"""The repairs are for a whole process, so each test has one of its own; what they are for is tested in integration."""

import subprocess
import sys
from pathlib import Path

import pytest

from ncgd.drivers.exabgp import repaired
from ncgd.drivers.exabgp.speaker import launch

PROGRAM = Path(repaired.__file__)


def run(code: str) -> str:
    """Standard output of Python code that runs after all repairs."""
    setup = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import repaired; repaired.repair()\n"
    result = subprocess.run([sys.executable, "-I", "-c", setup + code], capture_output=True, text=True, check=False)
    assert not result.returncode, result.stderr
    return result.stdout.strip()


def test_a_step_of_the_clock_ends_no_session() -> None:
    assert run("""
import time
from exabgp.environment import getenv
from exabgp.logger import log
log.init(getenv())
from exabgp.bgp.timer import ReceiveTimer, SendTimer
from exabgp.bgp.message.open.holdtime import HoldTime
receive, send = ReceiveTimer(lambda: "", 60, 4, 0), SendTimer(lambda: "", HoldTime(60))
real = time.time
for step in (-86400, 86400):
    time.time = lambda step=step: real() + step
    receive.check_ka_timer()
    print(send.need_ka())
""").split() == ["False", "False"]


def test_ages_of_sessions_know_nothing_of_the_wall_clock() -> None:
    assert (
        run("""
import time
import exabgp.reactor.peer as peer
before = peer.time.time()
real = time.time
time.time = lambda: real() + 366 * 86400
print(peer.time.time() - before < 60)
""")
        == "True"
    )


def test_the_start_waits_for_no_resolver() -> None:
    code = f"""
import socket, sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
socket.getfqdn = lambda *_: sys.exit("asked for the full name of this host")
import repaired
repaired.repair()
import exabgp.bgp.message.open.capability.hostname, exabgp.application.server
exabgp.application.server.warn()
"""
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_pause_between_attempts_does_not_grow() -> None:
    assert run("""
from exabgp.reactor.delay import Delay
delay = Delay()
print(delay.backoff())
delay.increase()
print(delay.backoff())
for _ in range(100):
    delay.increase()
print(delay.backoff(), delay._next)
delay.reset()
print(delay.backoff())
""").split() == ["False", "False", "True", "1.0", "False"]


def test_a_place_that_is_gone_stops_the_start() -> None:
    with pytest.raises(SystemExit, match=r"this exabgp has no tests\.unit\.exabgp\.test_repaired\.no_such_thing"):
        repaired._replace(sys.modules[__name__], "no_such_thing", None)


@pytest.mark.parametrize("version", ["4.2.25", "5.0.9", "5.1.0", "6.0.0"])
def test_another_line_of_exabgp_is_refused(tmp_path: Path, version: str) -> None:
    folder = tmp_path / f"exabgp-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: exabgp\nVersion: {version}\n")
    result = subprocess.run(
        [sys.executable, str(PROGRAM), "x.conf"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip() == f"exabgp {version} is not supported; install 'exabgp>=5.0.10,<5.1'"


def test_a_missing_exabgp_is_explained() -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), "x"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.strip() == "exabgp is not installed for this Python; install 'exabgp>=5.0.10,<5.1'"


def test_how_it_is_started(tmp_path: Path) -> None:
    plan = launch(tmp_path / "exabgp.conf", tmp_path / "run" / "b.sock")
    assert plan.argv == (sys.executable, "-I", str(PROGRAM), str(tmp_path / "exabgp.conf"))
    assert plan.environment == {"EXABGP_ENVFILE": str(tmp_path / "exabgp.env")}
    assert {(file.path.name, file.mode, file.is_seed) for file in plan.files} == {
        ("exabgp.env", 0o600, False),
        ("exabgp.conf", 0o640, True),
    }
    assert plan.directories == (tmp_path, tmp_path / "run")
