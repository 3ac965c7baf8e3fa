"""Bad days of an ncgd on a poor machine: charon or exabgp missing or too old, no rights. It says so, and stays calm."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import pytest

from ncgd.drivers.strongswan.charon import BINARIES
from ncgd.lab import install
from tests.integration.netns import Namespace, until

pytestmark = [pytest.mark.lab, pytest.mark.root]

EXAMPLE = install.CHECKOUT / "config" / "examples" / "ha-vpn"
CHARON = next((path for path in BINARIES if path.exists()), BINARIES[0])
SITE_PACKAGES = Path(str(metadata.distribution("exabgp").locate_file("")))
NO_NET_ADMIN = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-all")


class Gateway:
    """An ncgd of its own, on a machine that a shell script has made poor before it starts."""

    def __init__(self, space: Namespace, folder: Path) -> None:
        self.space = space
        self.folder = folder
        self.log = folder / "log"
        self.process: subprocess.Popen[str] | None = None

    def start(self, script: str, *prefix: str) -> None:
        """``script`` runs in a mount namespace of its own, which ncgd then lives in; ``prefix`` goes before ncgd."""
        ncgd = [sys.executable, "-m", "ncgd", "--supervise", "--node", "n"]
        ncgd += ["--resources", str(self.folder / "resources"), "--run-dir", str(self.folder / "run")]
        command = (
            f"set -e\nmount --make-rprivate /\n{script}\ncd {install.CHECKOUT}\nexec {shlex.join([*prefix, *ncgd])}"
        )
        self.process = self.space.start("unshare", "--mount", "sh", "-c", command, log=self.log)

    def screen(self) -> str:
        """``ncgctl status`` in one line."""
        ncgctl = [sys.executable, "-c", "from ncgd.cli.main import main; main()"]
        options = ["--socket", str(self.folder / "run" / "ncgd.sock"), "status"]
        run = subprocess.run([*ncgctl, *options], capture_output=True, text=True, check=False, cwd=install.CHECKOUT)
        return " ".join(run.stdout.split())

    def says(self, *words: str, seconds: float = 60) -> str:
        """Wait until the screen says all of this; what it says."""
        try:
            return until(lambda: said if all(word in (said := self.screen()) for word in words) else "", seconds)
        except AssertionError as error:
            raise AssertionError(f"the screen lacks one of {words}:\n{self.screen()}\n{self.text()}") from error

    def text(self) -> str:
        """What ncgd, and then what exabgp has logged."""
        return "".join(path.read_text(errors="replace") for path in (self.log, *self.folder.glob("run/exabgp.log")))

    def pauses(self, program: str) -> list[float]:
        """The pauses between the starts of a program, in seconds, as ncgd has announced them."""
        return [float(each) for each in re.findall(rf"{program}: .*; starting it again in ([\d.]+) s", self.text())]

    def assert_calm(self) -> None:
        """It runs as the process that was started, and has met no bug."""
        assert self.process is not None
        assert self.process.poll() is None, self.text()
        assert "Traceback" not in self.text()
        assert "a bug in ncgd" not in self.text()


def _kill_all(space: Namespace) -> list[str]:
    """What runs in a namespace, which is killed: what one of them was just about to start, too."""
    listed = subprocess.run(["ip", "netns", "pids", space.name], capture_output=True, text=True, check=True)
    pids = listed.stdout.split()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return pids


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp") as made, Namespace("nb-poor") as space:
        folder = Path(made)
        (folder / "resources").mkdir(mode=0o700)
        for manifest in EXAMPLE.glob("*.yaml"):
            (folder / "resources" / manifest.name).write_bytes(manifest.read_bytes())
        try:
            yield Gateway(space, folder)
        finally:
            until(lambda: not _kill_all(space), 30, "nothing runs on that machine any more")


@contextmanager
def without_exabgp(folder: Path, version: str | None) -> Iterator[str]:
    """A script that shows this Python's packages without exabgp, or with one of another version."""
    real, view = folder / "real", folder / "view"
    real.mkdir()
    view.mkdir()
    for entry in SITE_PACKAGES.iterdir():
        if not entry.name.lower().startswith("exabgp"):
            (view / entry.name).symlink_to(real / entry.name)
    if version:
        information = view / f"exabgp-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: exabgp\nVersion: {version}\n")
    yield f"mount --bind {SITE_PACKAGES} {real}\nmount --bind {view} {SITE_PACKAGES}"


def test_a_missing_charon_is_named_with_its_package_and_started_once_it_is_there(gateway: Gateway) -> None:
    gateway.start(f"mount -t tmpfs none {CHARON.parent}")
    gateway.says("ERROR", "charon is not installed", "strongswan-charon")
    gateway.assert_calm()
    assert gateway.process is not None
    subprocess.run(["nsenter", "-t", str(gateway.process.pid), "-m", "umount", str(CHARON.parent)], check=True)
    gateway.says("IKE with 198.51.100.11 is being negotiated", "with 198.51.100.12 is being negotiated")
    gateway.assert_calm()


def test_an_old_charon_is_named_with_both_versions(gateway: Gateway) -> None:
    old = gateway.folder / "charon"
    old.write_text("#!/bin/sh\necho Linux strongSwan 5.8.2\n")
    old.chmod(0o755)
    gateway.start(f"mount --bind {old} {CHARON}")
    gateway.says("ERROR ProcessDown charon", "is strongSwan 5.8.2; ncgd needs 5.9.6 or newer: upgrade")
    program = "charon-tunnel-1" if "charon-tunnel-1" in gateway.text() else "charon"
    pauses = until(lambda: found if len(found := gateway.pauses(program)) > 3 else [], 30)
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8], "ever more slowly"
    gateway.assert_calm()


@pytest.mark.parametrize(
    ("version", "words"),
    [(None, "exabgp is not installed for this Python"), ("4.2.21", "exabgp 4.2.21 is not supported")],
)
def test_a_missing_or_old_exabgp_is_named_with_what_to_install(
    gateway: Gateway, version: str | None, words: str
) -> None:
    with without_exabgp(gateway.folder, version) as script:
        gateway.start(script)
        gateway.says("ERROR ProcessDown exabgp", words, "install 'exabgp>=5.0.10,<5.1'")
        pauses = until(lambda: found if len(found := gateway.pauses("exabgp")) > 3 else [], 30)
        assert pauses[:4] == [0.1, 0.2, 0.4, 0.8], "ever more slowly"
        gateway.assert_calm()


def test_missing_rights_are_named(gateway: Gateway) -> None:
    gateway.start("", *NO_NET_ADMIN)
    gateway.says("ERROR DataplaneUnavailable", "CAP_NET_ADMIN is missing", "grant CAP_NET_ADMIN")
    gateway.assert_calm()
    assert gateway.space.ip("-o link show").count("\n") == 1, "nothing was made"


def test_a_missing_tun_device_is_named(gateway: Gateway) -> None:
    with (gateway.folder / "resources" / "gateway.yaml").open("a") as manifest:
        manifest.write("  dataplane: userspace\n")
    gateway.start("mount -t tmpfs none /dev/net")
    gateway.says("ERROR DataplaneUnavailable", "/dev/net/tun does not open", "No such file")
    gateway.assert_calm()
