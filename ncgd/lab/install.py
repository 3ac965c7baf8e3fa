"""What the lab and the tests need on this machine, fetched when missing: packages by apt, Python ones by pip.

Nothing that runs is stopped, and services that the packages bring are not started: the lab runs its own.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ncgd.lab.failure import LabFailure, run, succeeds

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / ".venv"
Say = Callable[[str], None]

# Package (the same name on Debian 12, 13 and Ubuntu 24.04): a file that shows it is there where dpkg is not.
PACKAGES = {
    "strongswan-charon": "/usr/lib/ipsec/charon",
    "strongswan-swanctl": "swanctl",
    "libstrongswan-standard-plugins": "/usr/lib/ipsec/plugins/libstrongswan-openssl.so",
    "libcharon-extra-plugins": "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so",
    "bird2": "bird",
    "nftables": "nft",
    "iptables": "iptables-nft",
    "iproute2": "ip",
    "iputils-ping": "ping",
    "procps": "sysctl",
    "tcpdump": "tcpdump",
}
TEST_PACKAGES = {"prometheus": "promtool", "systemd": "systemd-analyze"}
"""What the tests need beyond."""
_UNITS = {
    "bird2": "bird.service",
    "strongswan-charon": "strongswan-starter.service",
    "frr": "frr.service",
    "prometheus": "prometheus.service",
}
_STAMP = VENV / ".installed-by-ncgd-lab"
_POLICY = Path("/usr/sbin/policy-rc.d")


def ensure(say: Say, *, dev: bool = False) -> None:
    """Make everything present; ``dev`` adds the test tools. Takes milliseconds when nothing is missing.

    Raises LabFailure: not root, no checkout, unknown distribution, no network.
    """
    if os.geteuid():
        raise LabFailure("this needs root: it makes network namespaces", "run it with sudo")
    if not (CHECKOUT / "pyproject.toml").is_file():
        raise LabFailure(f"{CHECKOUT} is no checkout of ncgd", "run it from a checkout: git clone, cd, try again")
    missing = missing_packages(dev=dev)
    if missing:
        install_packages(missing, say)
    _ensure_venv(say, dev=dev)


def missing_packages(*, dev: bool = False) -> list[str]:
    """Names of the packages that are not installed; ``dev`` adds what the tests need."""
    shown_by = PACKAGES | TEST_PACKAGES if dev else PACKAGES
    wanted = list(shown_by)
    if not _installed() and importlib.util.find_spec("ensurepip") is None:  # Debian splits it off
        wanted.append("python3-venv")
    if not shutil.which("dpkg-query"):
        return [name for name in wanted if not _present(shown_by.get(name, "ensurepip"))]
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return [name for name in wanted if f"{name} installed" not in listed]


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def install_packages(missing: list[str], say: Say) -> None:
    """Install Debian packages by name; services that they bring stay off. Raises LabFailure."""
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        hint = "install the programs that these Debian packages hold, then run this again"
        raise LabFailure(f"missing: {names}, and there is no apt-get here", hint)
    say(f"installing packages: {names}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"]
    hint = f"is there a network, and a package mirror in /etc/apt? By hand: apt-get install {names}"
    try:
        run(*apt, "update", env=env)
        with _services_stay_off():
            run(*apt, "install", "-y", "--no-install-recommends", *missing, env=env)
    except LabFailure as error:
        raise LabFailure(f"apt-get could not install {names}", hint, error.details) from error
    if Path("/run/systemd/system").is_dir():  # only services that we have brought in ourselves just now
        for unit in (_UNITS[name] for name in missing if name in _UNITS):
            subprocess.run(["systemctl", "disable", "--quiet", unit], capture_output=True, check=False)
    importlib.invalidate_caches()


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """While packages are installed, policy-rc.d (Debian policy 9.3.3) says no to starting services."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()


def _ensure_venv(say: Say, *, dev: bool) -> None:
    wanted = "dev" if dev else "run"
    have = _installed()
    if wanted in have:
        return
    pip = [str(VENV / "bin" / "python"), "-m", "pip"]
    if not have and not succeeds(*pip, "--version"):
        say("making the virtual environment .venv")
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text()).get("dependency-groups", {})
    say(f"installing Python packages{' and test tools' if dev else ''} into .venv")
    try:
        run(
            *pip,
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--editable",
            f"{CHECKOUT}[kubernetes]",
            *(groups["dev"] if dev else ()),
        )
    except LabFailure as error:
        hint = "is there a network, and a Python package index that pip can reach?"
        raise LabFailure("pip could not install what pyproject.toml lists", hint, error.details) from error
    declare(*have, "run", wanted)


def declare(*parts: str) -> None:
    """Record that .venv holds what ncgd needs (``run``) and the test tools (``dev``)."""
    _STAMP.write_text("\n".join([_key(), *sorted(set(parts))]))


def _installed() -> set[str]:
    """What a finished installation into .venv left behind: ``run``, ``dev`` or both; empty when it no longer fits."""
    key, *parts = _STAMP.read_text().splitlines() if _STAMP.exists() else [""]
    return set(parts) if key == _key() else set()


def _key() -> str:
    """Changes when pip must run again: other dependencies, another place, an upgraded Python under it."""
    place = f"{CHECKOUT} {(VENV / 'bin' / 'python').resolve()}"
    return hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes() + place.encode()).hexdigest()[:16]
