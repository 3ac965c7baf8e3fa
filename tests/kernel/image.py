"""What a guest boots from, built once and kept: a root file system, and Debian's kernels beside it."""

import fcntl
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kernel import debian

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
ROOT_SUITE = "bookworm"
PYTHON = "3.11"  # of ROOT_SUITE
PACKAGES = (
    *("bird2", "conntrack", "ethtool", "iperf3", "iproute2", "iptables", "iputils-ping", "kmod"),
    *("nftables", "openssl", "procps", "python3", "tcpdump", "strongswan-charon", "strongswan-swanctl"),
    *("libcharon-extra-plugins", "libstrongswan-extra-plugins", "libstrongswan-standard-plugins"),
)
NOT_FOR_TESTS = re.compile(r"(grafana-|helm-|mypy|playwright|ruff|import-linter|types-)")
UNUSED_AFTER = 30 * 86400  # seconds until a cached image that nobody booted is removed
SUITE_CURRENT_FOR = 7 * 86400  # seconds until a suite is asked again which kernel is its newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A bootable kernel: its version, and the folder with `vmlinuz`, `initrd` and `modules.img` (ext4)."""

    version: str
    folder: Path


def cache() -> Path:
    """Give the folder that keeps images between runs."""
    folder = Path(os.environ.get("NCGD_CACHE") or Path.home() / ".cache" / "ncgd")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def root_image() -> Path:
    """Give the ext4 image of the guest's root file system; built when packages or dependencies changed."""
    requirements = python_requirements()
    image = cache() / f"root-{digest(ROOT_SUITE, PACKAGES, requirements, Path(__file__).read_text())}.img"
    with built_once(image) as (building, scratch):
        if building:
            _build_root(building, scratch, requirements)
    return image


def python_requirements() -> list[str]:
    """Give the project's dependencies and those of its tests, from pyproject.toml."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    tests = [name for name in project["dependency-groups"]["dev"] if not NOT_FOR_TESTS.match(name)]
    return sorted(project["project"]["dependencies"] + tests)


def kernel(wanted: str) -> Kernel:
    """Give Debian's cloud kernel of a suite ("trixie") or of a version or its start ("6.1.0-40", "6.12")."""
    newest = cache() / f"newest-kernel-{wanted}"
    if newest.exists() and time.time() - newest.stat().st_mtime < SUITE_CURRENT_FOR:
        known = Kernel(version=newest.read_text(), folder=_kernel_folder(newest.read_text()))
        if known.folder.exists():
            os.utime(known.folder)
            return known
    by_version = wanted[0].isdigit()
    with debian.Archive(*(debian.KERNEL_SUITES if by_version else (wanted,))) as archive:
        version = archive.newest_kernel(wanted if by_version else "")
        with built_once(_kernel_folder(version)) as (building, scratch):
            if building:
                building.mkdir()
                _build_kernel(building, scratch, archive, version)
    newest.write_text(version)
    return Kernel(version=version, folder=_kernel_folder(version))


def _kernel_folder(version: str) -> Path:
    recipe = digest((HERE / "inside/init").read_text(), Path(__file__).read_text())
    return cache() / f"kernel-{version}-{recipe}"


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@contextmanager
def built_once(result: Path) -> Iterator[tuple[Path | None, Path]]:
    """Give (path to build at, scratch folder), or (None, ...) when `result` is there; one builder at a time."""
    with (cache() / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="ncgd-image-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if result.exists():
            os.utime(result)
            yield None, Path(scratch)
            return
        building = result.with_name(f"building-{result.name}")
        _remove(building)
        yield building, Path(scratch)
        building.rename(result)
        for old in cache().glob("*-*"):
            if time.time() - old.stat().st_mtime > UNUSED_AFTER:
                _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _build_root(image: Path, scratch: Path, requirements: list[str]) -> None:
    print("building the root file system", flush=True)
    root = scratch / "root"
    transport = scratch / "transport"
    transport.write_text(debian.transport_settings())
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    argv += [f"--aptopt={transport}", ROOT_SUITE, str(root), *debian.sources(ROOT_SUITE)]
    subprocess.run(argv, check=True)
    (root / "lib/modules").mkdir(exist_ok=True)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    _install_wheels(root, requirements)
    _ext4(image, root, "2G")


def _install_wheels(root: Path, requirements: list[str]) -> None:
    target = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    install_wheels(target, requirements)
    for program in (target / "bin").iterdir():
        code = program.read_text().split("\n", 1)[1]  # the first line names the host's Python
        installed = root / "usr/local/bin" / program.name
        installed.write_text(f"#!/usr/bin/python3\n{code}")
        installed.chmod(0o755)
    inside = target.relative_to(root)
    subprocess.run(["chroot", root, "python3", "-m", "compileall", "-q", "-j2", f"/{inside}"], check=True)


def install_wheels(target: Path, requirements: list[str]) -> None:
    """Install wheels for the guest's Python, whatever the host's is."""
    argv = ["pip3", "install", "-qq", "--no-compile", "--only-binary=:all:", f"--target={target}"]
    argv += [f"--python-version={PYTHON}", "--implementation=cp"]
    argv += [f"--platform={name}_x86_64" for name in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    subprocess.run([*argv, *requirements], check=True)


def _build_kernel(folder: Path, scratch: Path, archive: debian.Archive, version: str) -> None:
    print(f"fetching kernel {version}", flush=True)
    tree = scratch / "kernel"
    archive.extract(f"linux-image-{version}-cloud-amd64", tree)
    archive.extract("busybox-static", scratch / "busybox")
    if not (tree / "lib").exists():
        (tree / "lib").symlink_to("usr/lib")
    release = f"{version}-cloud-amd64"
    subprocess.run(["depmod", "-b", tree, release], check=True)
    shutil.copy(tree / f"boot/vmlinuz-{release}", folder / "vmlinuz")
    _ext4(folder / "modules.img", (tree / "lib/modules").resolve(), "400M")
    initrd = scratch / "initrd"
    for empty in ("bin", "dev", "proc", "sys", "root", "modules"):
        (initrd / empty).mkdir(parents=True)
    shutil.copy(next(scratch.glob("busybox/**/bin/busybox")), initrd / "bin/busybox")
    shutil.copy(HERE / "inside/init", initrd / "init")
    (initrd / "init").chmod(0o755)
    for number, module in enumerate(_modules_to_boot(tree, release)):
        code = lzma.decompress(module.read_bytes()) if module.suffix == ".xz" else module.read_bytes()
        (initrd / f"modules/{number:02}-{module.name.removesuffix('.xz')}").write_bytes(code)
    names = "\n".join(str(path.relative_to(initrd)) for path in sorted(initrd.rglob("*")))
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"],
        input=names.encode(),
        stdout=subprocess.PIPE,
        cwd=initrd,
        check=True,
    )
    (folder / "initrd").write_bytes(gzip.compress(packed.stdout, 1))


def _modules_to_boot(tree: Path, release: str) -> list[Path]:
    """Give the module files that reach a virtio disk with ext4, in the order of insertion."""
    files: dict[Path, None] = {}
    for module in ("virtio_pci", "virtio_blk", "ext4"):
        argv = ["modprobe", "-d", str(tree), "-S", release, "--show-depends", module]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        files |= {Path(line.split()[1]): None for line in lines if line.startswith("insmod")}
    return list(files)


def _ext4(image: Path, tree: Path, size: str) -> None:
    """Make a sparse ext4 image of a tree, without mounting anything."""
    argv = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(tree), str(image), size]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
