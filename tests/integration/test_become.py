"""charon and ExaBGP as programs of their own, as the pod starts them: process 1, with a /run that others share."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.integration.netns import Namespace, until

pytestmark = pytest.mark.root
MANIFEST = Path(__file__).parents[2] / "config" / "daemonset" / "daemonset.yaml"
CONTAINERS = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]["containers"]
AS_PROCESS_1 = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
IN_ITS_RUN = 'mount --bind "$1" /run; shift; exec "$@"'


@contextmanager
def becoming(program: str, run: Path, log: Path, *rights: str) -> Iterator[int]:
    """The pid of what plays the container's process 1; ``rights`` limit it."""
    run.mkdir(exist_ok=True)
    with Namespace("bc") as space, log.open("ab") as output:
        become = [*rights, sys.executable, "-m", "ncgd.daemon.become", program]
        enter = ["ip", "netns", "exec", space.name, *AS_PROCESS_1, "sh", "-ec", IN_ITS_RUN, "sh", str(run), *become]
        with subprocess.Popen(enter, stdout=output, stderr=output) as outside:
            children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
            until(lambda: children.read_text().split(), 20, "process 1 runs")
            yield int(children.read_text())
            outside.kill()


def test_charon_is_the_supervisor_s_and_is_killed_in_the_end(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    for _ in range(2):  # again over what the first, which was killed, has left behind
        with becoming("charon", run, log) as first:
            until(lambda: (run / "charon.vici").exists() and "worker threads" in log.read_text(), 20, "it serves VICI")
            (child,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            assert Path(f"/proc/{child}/comm").read_text().strip() == "charon"
            assert (run / "charon.conf").stat().st_mode & 0o777 == 0o600
            os.kill(first, signal.SIGTERM)
            until(lambda: not Path(f"/proc/{first}").exists(), 20, "it ends")
        said = log.read_text()
        assert "shutting down" not in said  # which would delete the SAs that the kernel can go on with
        log.unlink()
        (run / "charon.vici").unlink()


def test_charon_needs_both_of_its_rights_and_no_more(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    container = next(each for each in CONTAINERS if each["name"] == "charon")
    granted = container["securityContext"]["capabilities"]["add"]
    assert sorted(granted) == ["NET_ADMIN", "NET_BIND_SERVICE"]
    with becoming("charon", run, log, *limited_to(*granted)) as first:
        until(lambda: listens(first) >= {500, 4500}, 20, "it has its ports")
    for lacking in granted:
        rest = limited_to(*(each for each in granted if each != lacking))
        argv = [*rest, sys.executable, "-m", "ncgd.daemon.become", "charon"]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert f"charon cannot be started: it lacks CAP_{lacking} (" in ended.stderr


def limited_to(*capabilities: str) -> tuple[str, ...]:
    bounds = ",".join(["-all", *(f"+{each.lower()}" for each in capabilities)])
    return ("setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--no-new-privs")


def listens(pid: int) -> set[int]:
    """UDP ports that are open in the network namespace of a process (proc(5), net/udp)."""
    rows = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
    return {int(row.split()[1].rpartition(":")[2], 16) for row in rows}


def test_exabgp_keeps_the_configuration_that_it_finds(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    with becoming("exabgp", run, log):
        until((run / "ncgd" / "exabgp.sock").exists, 20, "the bridge listens")
        seed = (run / "ncgd" / "exabgp.conf").read_text()
        assert re.search(r"run .*bridge.py /run/ncgd/exabgp.sock;", seed)
    (run / "ncgd" / "exabgp.sock").unlink()
    (run / "ncgd" / "exabgp.conf").write_text(f"# kept\n{seed}")
    with becoming("exabgp", run, log):
        until((run / "ncgd" / "exabgp.sock").exists, 20, "the bridge listens")
        assert (run / "ncgd" / "exabgp.conf").read_text() == f"# kept\n{seed}"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    hidden = 'mount -t tmpfs none /usr/lib/ipsec; mount --bind "$1" /run; shift; exec "$@"'
    argv = [*AS_PROCESS_1, "sh", "-ec", hidden, "sh", str(tmp_path), sys.executable, "-m", "ncgd.daemon.become"]
    ended = subprocess.run([*argv, "charon"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "charon cannot be started: charon is not installed" in ended.stderr
