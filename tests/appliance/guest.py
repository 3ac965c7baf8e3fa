"""A virtual machine that boots the appliance's disk: its seed, its console, and a way in by ssh."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from ncgd.lab import processes
from ncgd.lab.topology import inside
from tests.appliance.site import ADDRESSES, CARDS, tap
from tests.kernel import debian

NETWORK = "[Match]\nMACAddress={mac}\n\n[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
FIRMWARE = "/usr/share/OVMF/OVMF_CODE.fd"
TOOLS = {
    FIRMWARE: "ovmf",
    "qemu-system-x86_64": "qemu-system-x86",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "ssh": "openssh-client",
}
# In threads, unlike tests/kernel: that QEMU 7.2 breaks kernel 6.12 there is not known of the appliance's 6.1.
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max,-cx16")
BOARD = ("-machine", "q35", "-smp", "2", "-m", "1G", "-nodefaults", "-no-user-config", "-display", "none")
CONSOLE = ("-monitor", "none", "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console")


def install_tools() -> None:
    """Install what a guest and its seed need and this machine lacks."""
    debian.install_tools(TOOLS)


class Guest:
    """One machine, whose disk keeps what it writes until it is switched off."""

    def __init__(self, disk: Path, folder: Path, *, is_uefi: bool) -> None:
        self._disk, self._folder, self._is_uefi = disk, folder, is_uefi
        self._seed, self._key = folder / "seed.img", folder / "key"

    def seed(self, resources: Path, *, has_key: bool) -> None:
        """Make the disk labelled "cidata" as a person would."""
        content = self._folder / "seed"
        shutil.copytree(resources, content / "resources")
        (content / "network").mkdir()
        for card, mac in CARDS.items():
            address, router = ADDRESSES[card]
            text = NETWORK.format(mac=mac, address=address) + (f"Gateway={router}\n" if router else "")
            (content / "network" / f"10-{card}.network").write_text(text)
        (content / "hostname").write_text("gateway-1\n")
        if has_key:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key], check=True)
            shutil.copy(self._key.with_suffix(".pub"), content / "authorized_keys")
        make = ["mkfs.vfat", "-n", "CIDATA", "-C", str(self._seed), "4096"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-s", "-i", self._seed, *content.iterdir(), "::"], check=True)

    def switch_on(self) -> None:
        options = [*EMULATED, *BOARD, *CONSOLE]
        if self._is_uefi:
            options += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}"]
        for name, file, form in (("disk", self._disk, self._disk.suffix[1:]), ("seed", self._seed, "raw")):
            options += ["-drive", f"if=none,id={name},file={file},format={form},snapshot=on"]
            options += ["-device", f"virtio-blk-pci,drive={name}"]
        for card, mac in CARDS.items():
            options += ["-netdev", f"tap,id={card},ifname={tap(card)},script=no,downscript=no"]
            options += ["-device", f"virtio-net-pci,netdev={card},mac={mac},romfile="]
        processes.spawn("gw", "qemu", ["qemu-system-x86_64", *options])

    def switch_off(self) -> None:
        """As by its power button, held down; until all of QEMU's threads are gone, and its files closed."""
        if pid := processes.recorded()["gw", "qemu"]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def console(self) -> str:
        """What the serial console has shown so far."""
        return processes.log_of("gw", "qemu").read_text(errors="replace")

    def ssh(self, *command: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command in it, from the pod."""
        options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", "-i", str(self._key)]
        argv = inside("pod", "ssh", *options, "root@10.10.0.1", *command)
        try:
            return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as late:  # as if it did not answer: whoever waits asks again
            return subprocess.CompletedProcess(argv, 255, "", str(late))

    def status(self) -> dict[str, Any]:
        """``ncgctl status -o json``; empty while there is no answer."""
        answer = self.ssh("ncgctl", "status", "-o", "json").stdout
        try:
            parsed = json.loads(answer)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}
