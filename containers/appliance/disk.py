"""A disk that boots by BIOS and by UEFI, made without mounting anything.

GPT with two partitions: an ESP, from which Syslinux (BIOS) and systemd-boot (UEFI) read the same kernel and initramfs,
and the root file system.
"""

import shutil
import subprocess
from pathlib import Path

SECTOR = 512
MIB = 1 << 20
ESP_MIB = 256
ROOT_MIB = 3072
FIRST_MIB = 1
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # x86-64 (Discoverable Partitions Specification)
COMMAND_LINE = "root=PARTLABEL=ncgd-root ro quiet panic=10 console=tty0 console=ttyS0,115200"
SYSLINUX = f"""\
SERIAL 0 115200
PROMPT 0
DEFAULT ncgd
LABEL ncgd
    LINUX /vmlinuz
    INITRD /initrd.img
    APPEND {COMMAND_LINE}
"""
LOADER = "timeout 0\ndefault ncgd.conf\neditor no\n"
ENTRY = f"""\
title ncgd
linux /vmlinuz
initrd /initrd.img
options {COMMAND_LINE}
"""
TOOLS = {
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "qemu-img": "qemu-utils",
}
MBR = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
"""Of the package syslinux-common, which syslinux needs."""


def build(raw: Path, tree: Path, uefi_loader: Path, scratch: Path) -> None:
    """Make the disk of a root file system; its kernel is copied to the ESP."""
    esp, root = scratch / "esp.img", scratch / "root.img"
    _esp(esp, tree, uefi_loader, scratch)
    argv = ["mke2fs", "-q", "-t", "ext4", "-L", "ncgd-root", "-d", str(tree), str(root), f"{ROOT_MIB}M"]
    subprocess.run(argv, check=True)
    raw.unlink(missing_ok=True)
    with raw.open("wb") as file:
        file.truncate((FIRST_MIB + ESP_MIB + ROOT_MIB + 1) * MIB)
    partitions = (
        "label: gpt\n"
        f"start={FIRST_MIB}MiB, size={ESP_MIB}MiB, type={ESP_TYPE}, name=ncgd-esp, attrs=LegacyBIOSBootable\n"
        f"start={FIRST_MIB + ESP_MIB}MiB, size={ROOT_MIB}MiB, type={ROOT_TYPE}, name=ncgd-root\n"
    )
    subprocess.run(["sfdisk", "--quiet", str(raw)], input=partitions, text=True, check=True)
    with raw.open("r+b") as file:
        file.write(MBR.read_bytes())
    for image, at in ((esp, FIRST_MIB), (root, FIRST_MIB + ESP_MIB)):
        copy = ["dd", f"if={image}", f"of={raw}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none"]
        subprocess.run(copy, check=True)
        image.unlink()


def _esp(esp: Path, tree: Path, uefi_loader: Path, scratch: Path) -> None:
    content = scratch / "esp"
    (content / "EFI/BOOT").mkdir(parents=True)
    (content / "loader/entries").mkdir(parents=True)
    shutil.copy(uefi_loader, content / "EFI/BOOT/BOOTX64.EFI")
    (content / "loader/loader.conf").write_text(LOADER)
    (content / "loader/entries/ncgd.conf").write_text(ENTRY)
    (content / "syslinux.cfg").write_text(SYSLINUX)
    for name, pattern in {"vmlinuz": "vmlinuz-*", "initrd.img": "initrd.img-*"}.items():
        (kernel,) = (tree / "boot").glob(pattern)
        shutil.copy(kernel, content / name)
    make = ["mkfs.vfat", "-F", "32", "-n", "NCGD-ESP", "-h", str(FIRST_MIB * MIB // SECTOR), "-C", str(esp)]
    subprocess.run([*make, str(ESP_MIB * 1024)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mcopy", "-s", "-i", esp, *sorted(content.iterdir()), "::"], check=True)
    subprocess.run(["syslinux", "--install", str(esp)], check=True)
