"""The appliance's root file system: Debian, the package ``ncgd``, and what is under ``files``."""

import shutil
import subprocess
from pathlib import Path

from tests.kernel import debian, image

HERE = Path(__file__).parent
FILES = HERE / "files"
PACKAGES = (
    *("systemd-sysv", "systemd-timesyncd", "udev", "linux-image-cloud-amd64", "initramfs-tools", "zstd"),
    *("python3", "iproute2", "iputils-ping", "kmod", "nftables", "openssh-server", "procps", "tcpdump", "less"),
    *("strongswan-charon", "strongswan-swanctl", "libstrongswan-standard-plugins", "e2fsprogs", "dosfstools"),
    *("ca-certificates", "netbase", "apt"),
)
WITHOUT = ("doc", "man", "locale", "info")
INITRAMFS = "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n"
ENABLED = (
    *("ncgd.service", "ncgd-grow.timer", "ncgd-seed.service"),
    *("nftables.service", "ssh.service", "systemd-networkd.service"),
)
DISABLED = (
    "e2scrub_reap.service",
    "e2scrub_all.timer",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "systemd-networkd-wait-online.service",
)
MASKED = (
    *("strongswan-starter.service", "ipsec.service"),
    "getty-static.service",  # logins on tty2 to tty6
    # What a gateway does not need, and a slow machine starts for seconds.
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "systemd-binfmt.service", "modprobe@.service"),
    "proc-sys-fs-binfmt_misc.automount",
)
OF_ONE_MACHINE = ("etc/ssh/ssh_host_*", "var/lib/systemd/random-seed", "var/log/*.log", "var/lib/apt/lists/*_*")


def base() -> Path:
    """Give Debian as a tar, with all packages but ours; built when their list has changed."""
    recipe = image.digest(image.ROOT_SUITE, PACKAGES, WITHOUT, INITRAMFS)
    tar = image.cache() / f"appliance-{recipe}.tar"
    with image.built_once(tar) as (building, scratch):
        if building:
            _bootstrap(building, scratch)
    return tar


def _bootstrap(tar: Path, scratch: Path) -> None:
    print("installing Debian", flush=True)
    transport, settings = scratch / "transport", scratch / "initramfs"
    transport.write_text(debian.transport_settings())
    settings.write_text(INITRAMFS)
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=tar"]
    argv += [f"--include={','.join(PACKAGES)}", f"--aptopt={transport}"]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in WITHOUT]
    argv += ['--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"']
    argv += [f"--essential-hook=copy-in {settings} /etc/initramfs-tools/conf.d"]
    subprocess.run([*argv, image.ROOT_SUITE, str(tar), *debian.sources(image.ROOT_SUITE)], check=True)


def build(tree: Path, package: Path) -> None:
    """Fill an empty folder with the root file system."""
    subprocess.run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xf", base()], check=True)
    shutil.copy(package, tree / "root/ncgd.deb")
    _inside(tree, "dpkg", "-i", "/root/ncgd.deb")
    (tree / "root/ncgd.deb").unlink()
    subprocess.run(["cp", "-R", "--preserve=mode", "--no-dereference", f"{FILES}/.", tree], check=True)
    (tree / "efi").mkdir()
    (tree / "etc/nftables.d").mkdir()
    for verb, units in {"enable": ENABLED, "disable": DISABLED, "mask": MASKED}.items():
        subprocess.run(["systemctl", "--quiet", f"--root={tree}", verb, *units], check=True)
    for pattern in OF_ONE_MACHINE:
        for path in tree.glob(pattern):
            path.unlink()
    (tree / "etc/machine-id").write_text("")  # the first boot makes one (machine-id(5))
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)


def _inside(tree: Path, *argv: str) -> None:
    subprocess.run(["chroot", tree, *argv], check=True, stdout=subprocess.DEVNULL)
