"""The Debian package: ncgd and what it imports in a virtual environment of its own, and its units."""

import shutil
import subprocess
from pathlib import Path

from tests.kernel import image

REQUIREMENTS = image.CHECKOUT / "containers/requirements.txt"
"""The images' own: pinned, by hash."""
SCRIPT = """\
#!/opt/ncgd/bin/python3
import sys
from {module} import main
sys.exit(main())
"""
PROGRAMS = {"ncgd": "ncgd.daemon.main", "ncgctl": "ncgd.cli.main"}
PYVENV = "home = /usr/bin\ninclude-system-site-packages = false\n"
DEPENDS = (
    f"python3 (>= {image.PYTHON})",
    f"python3 (<< 3.{int(image.PYTHON.split('.')[1]) + 1})",  # some wheels are of one version of Python
    *("iproute2", "nftables", "strongswan-charon", "strongswan-swanctl", "libstrongswan-standard-plugins"),
)
CONTROL = """\
Package: ncgd
Version: {version}
Architecture: amd64
Maintainer: The ncgd authors <ncgd@localhost>
Section: net
Priority: optional
Depends: {depends}
Description: open Network Connectivity Gateway
 IPsec tunnels and BGP between a site or a cluster and a cloud VPC. Nothing is
 started by the installation: put resources into /etc/ncgd/resources, then
 systemctl enable --now ncgd.
"""
OPTIONS = "# More options of ncgd, as in: ncgd --help\nNCGD_OPTIONS=\n"
POSTINST = """\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
/opt/ncgd/bin/python3 -m compileall -q /opt/ncgd/lib
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart ncgd.service # no tunnel and no session notices; charon and exabgp are not ours to restart
"""
PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    if command -v systemctl >/dev/null; then
        systemctl --quiet disable ncgd.service # also where systemd does not run, as in a chroot
    fi
    if [ -d /run/systemd/system ]; then
        systemctl stop ncgd.service
        systemctl stop ncgd-exabgp.service ncgd-charon.service
    fi
    /opt/ncgd/bin/ncgd --clean || true
fi
find /opt/ncgd/lib -name __pycache__ -prune -exec rm -rf {} +
"""
POSTRM = """\
#!/bin/sh
set -e
mkdir -p /opt # which belongs to no package: dpkg takes it along when nothing else is in it
[ "$1" != purge ] || rm -rf /etc/ncgd /run/ncgd /run/ncgd-charon /var/lib/ncgd
[ ! -d /run/systemd/system ] || systemctl daemon-reload
"""


def build(folder: Path, scratch: Path) -> Path:
    """Make ``ncgd_VERSION_amd64.deb`` in a folder; returns its path."""
    source, tree = scratch / "source", scratch / "deb"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "ncgd", "config"):
        (shutil.copytree if (image.CHECKOUT / name).is_dir() else shutil.copy)(image.CHECKOUT / name, source / name)
    _python(tree / "opt/ncgd", source, scratch / "wheel")
    _files(tree, source)
    metadata = next(tree.glob("opt/ncgd/lib/*/site-packages/ncgd-*.dist-info/METADATA")).read_text()
    version = next(line.split()[1] for line in metadata.splitlines() if line.startswith("Version:"))
    _control(tree / "DEBIAN", version)
    package = folder / f"ncgd_{version}_amd64.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", str(tree), str(package)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return package


def _python(home: Path, source: Path, wheels: Path) -> None:
    """A virtual environment, made by hand: its Python is the target's, not ours."""
    subprocess.run(["pip3", "wheel", "-qq", "--no-deps", "-w", wheels, source], check=True)
    packages = home / f"lib/python{image.PYTHON}/site-packages"
    image.install_wheels(packages, ["--require-hashes", "--requirement", str(REQUIREMENTS)])
    image.install_wheels(packages, ["--no-deps", *map(str, wheels.glob("*.whl"))])
    shutil.rmtree(packages / "bin")
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"/usr/bin/python{image.PYTHON}")
    (home / "pyvenv.cfg").write_text(PYVENV)
    for name, module in PROGRAMS.items():
        (home / "bin" / name).write_text(SCRIPT.format(module=module))
        (home / "bin" / name).chmod(0o755)


def _files(tree: Path, source: Path) -> None:
    units = source / "config/systemd"
    placed = {
        **{unit: f"usr/lib/systemd/system/{unit.name}" for unit in units.glob("*.service")},
        units / "networkd.conf.d/ncgd.conf": "usr/lib/systemd/networkd.conf.d/ncgd.conf",
        source / "config/iproute2/ncgd.conf": "etc/iproute2/rt_protos.d/ncgd.conf",
        source / "LICENSE": "usr/share/doc/ncgd/copyright",
    }
    for file, place in placed.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tree / place)
    shutil.copytree(source / "config/examples", tree / "usr/share/doc/ncgd/examples")
    (tree / "etc/ncgd/resources").mkdir(parents=True, mode=0o700)
    (tree / "etc/default").mkdir()
    (tree / "etc/default/ncgd").write_text(OPTIONS)
    (tree / "usr/bin").mkdir()
    for name in PROGRAMS:
        (tree / "usr/bin" / name).symlink_to(f"/opt/ncgd/bin/{name}")


def _control(folder: Path, version: str) -> None:
    folder.mkdir(mode=0o755)
    (folder / "control").write_text(CONTROL.format(version=version, depends=", ".join(DEPENDS)))
    (folder / "conffiles").write_text("/etc/default/ncgd\n/etc/iproute2/rt_protos.d/ncgd.conf\n")
    for name, text in {"postinst": POSTINST, "prerm": PRERM, "postrm": POSTRM}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
