"""The Debian package on a host that is not the appliance: installed, upgraded, removed, purged."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ncgd import __version__
from tests.appliance import bare

pytestmark = [pytest.mark.root, pytest.mark.appliance, pytest.mark.timeout(300)]
OPTIONS = Path("etc/default/ncgd")
MANIFEST = Path("etc/ncgd/resources/site.yaml")
STATE = Path("var/lib/ncgd/learned.json")
KEPT = {
    *("/etc/default/ncgd", "/etc/iproute2/rt_protos.d/ncgd.conf", "/etc/ncgd"),
    *("/var/lib/dpkg/info/ncgd.list", "/var/lib/dpkg/info/ncgd.postrm"),
    *("/run/ncgd", "/var/lib/ncgd"),  # empty
}
"""What is left when the package was removed, not purged."""


@pytest.fixture(scope="module")
def fresh(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minimal Debian, with the package lying in /root."""
    tree = tmp_path_factory.mktemp("host")
    (deb,) = built.glob("ncgd_*.deb")
    bare.unpack(tree, deb)
    shutil.copy(deb, tree / "root/ncgd.deb")
    return tree


@pytest.fixture(scope="module")
def others(fresh: Path) -> set[str]:
    """The users of a host that has not met the package."""
    return users(fresh)


@pytest.fixture(scope="module")
def host(fresh: Path, others: set[str]) -> Path:
    """The host with the package, whose dependencies came along."""
    bare.run(fresh, "apt-get", "-qq", "install", "--yes", "--no-install-recommends", "/root/ncgd.deb")
    return fresh


def users(tree: Path) -> set[str]:
    return {line.split(":")[0] for line in (tree / "etc/passwd").read_text().splitlines()}


def enabled(tree: Path, unit: str) -> str:
    argv = ["systemctl", f"--root={tree}", "is-enabled", unit]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def in_use(tree: Path) -> None:
    """Enabled, with options and resources, and with something learned."""
    bare.run(tree, "systemctl", "enable", "ncgd")
    (tree / OPTIONS).write_text("NCGD_OPTIONS=--log-level=debug\n")
    (tree / MANIFEST).write_text("# somebody's\n")
    (tree / STATE).parent.mkdir(exist_ok=True)
    (tree / STATE).write_text("{}\n")


def names(tree: Path) -> set[str]:
    """Every path that looks like ours."""
    return set(bare.run(tree, "find", "/", "-xdev", "-name", "*ncgd*", "-not", "-path", "/root/*").splitlines())


def test_its_programs_run(host: Path) -> None:
    assert bare.run(host, "ncgd", "--version") == f"ncgd {__version__}\n"
    assert "Usage: ncgctl" in bare.run(host, "ncgctl", "--help")
    assert "ExaBGP" in bare.run(host, "/opt/ncgd/bin/python3", "-m", "exabgp", "version")


def test_nothing_is_enabled_and_no_user_made(host: Path, others: set[str]) -> None:
    """charon and exabgp come along with ncgd; all three run as a root without most of its rights."""
    assert [enabled(host, unit) for unit in ("ncgd", "ncgd-charon", "ncgd-exabgp")] == ["disabled", "static", "static"]
    assert users(host) - others == {"strongswan"}  # made by strongswan-starter
    assert (host / MANIFEST).parent.stat().st_mode & 0o777 == 0o700


def test_an_upgrade_keeps_what_was_edited(host: Path) -> None:
    in_use(host)
    edited = (host / OPTIONS).read_text()
    bare.run(host, "dpkg", "-i", "/root/ncgd.deb")
    assert (host / OPTIONS).read_text() == edited
    assert (host / MANIFEST).exists()
    assert (host / STATE).exists()
    assert enabled(host, "ncgd") == "enabled"


def test_removed_it_leaves_configuration_and_purged_nothing(host: Path) -> None:
    in_use(host)
    edited = (host / OPTIONS).read_text()
    said = bare.run(host, "dpkg", "--remove", "ncgd")
    assert "nothing of ncgd is left here" in said
    assert "warning" not in said
    assert (host / OPTIONS).read_text() == edited
    assert (host / MANIFEST).exists()
    assert not (host / STATE).exists()
    assert (host / "opt").is_dir()
    assert names(host) == KEPT

    assert "warning" not in bare.run(host, "dpkg", "--purge", "ncgd")
    assert names(host) == set()
