"""A QEMU machine that runs one command on the checkout and hands back its output, status and files."""

import io
import os
import re
import select
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.image import CHECKOUT, HERE, Kernel

RESULTS_SIZE = 256 << 20  # bytes, sparse
POWER_OFF_SECONDS = 30
BOARD = (  # q35: microvm, though no faster, hangs at boot now and then
    "-machine q35 -smp 2 -m 2G -nodefaults -no-user-config -display none -monitor none -no-reboot "
    "-chardev stdio,id=console,signal=off -serial chardev:console"
)
APPEND = (
    "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off "
    "random.trust_cpu=on tsc=reliable no_timer_check net.ifnames=0"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """How QEMU runs the guest, and the seconds within which its first line must appear."""

    name: str
    options: tuple[str, ...]
    first_line: float


KVM = Accelerator(name="kvm", options=("-accel", "kvm", "-cpu", "host"), first_line=10)
# QEMU 7.2 breaks kernel 6.12: vCPUs in threads run code that another one has just patched ("Oops: int3"),
# and cmpxchg16b leaves garbage in EFLAGS (double faults in the slab allocator).
TCG = Accelerator(name="tcg", options=("-accel", "tcg,thread=single", "-cpu", "max,-cx16"), first_line=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The command's exit status (None: the guest ended without one), and seconds to boot and to run."""

    status: int | None
    boot: float
    run: float


def accelerators() -> list[Accelerator]:
    """Give what to try, in order: a /dev/kvm may exist and hang every guest, so its first boot is a trial."""
    vendor = any(Path(f"/sys/module/{name}").exists() for name in ("kvm_intel", "kvm_amd"))
    return [*([KVM] if vendor and Path("/dev/kvm").exists() else []), TCG, TCG]


def run(kernel: Kernel, root: Path, command: str, results: Path, seconds: float) -> Outcome:
    """Boot, run the shell `command` in the checkout's folder with its output on ours, fill `results`."""
    with tempfile.TemporaryDirectory(prefix="ncgd-guest-") as folder:
        payload, returned = Path(folder) / "payload.tar", Path(folder) / "results.tar"
        _pack(payload, command)
        disks = {
            "root": root,
            "modules": kernel.folder / "modules.img",
            "payload": payload,
            "results": returned,
        }
        for accelerator in accelerators():
            with returned.open("wb") as file:
                file.truncate(RESULTS_SIZE)
            outcome = _boot(accelerator, kernel, disks, seconds)
            if outcome is not None:
                if outcome.status is not None:
                    subprocess.run(["tar", "-C", results, "--no-same-owner", "-xf", returned], check=True)
                return outcome
            print(
                f"{accelerator.name}: the guest died, or said nothing for {accelerator.first_line} s",
                flush=True,
            )
    raise SystemExit("the guest does not boot")


def _pack(payload: Path, command: str) -> None:
    """Pack the checkout (what git knows or would add), the session and the command."""
    listing = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z", "-co", "--exclude-standard"]
    names = subprocess.run(listing, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    with tarfile.open(payload, "w") as tar:
        for name in filter(None, names.split("\0")):
            if (CHECKOUT / name).exists():
                tar.add(CHECKOUT / name, f"checkout/{name}")
        tar.add(HERE / "inside/session", "session")
        member = tarfile.TarInfo("command")
        member.size = len(command.encode())
        tar.addfile(member, io.BytesIO(command.encode()))


def _boot(accelerator: Accelerator, kernel: Kernel, disks: dict[str, Path], seconds: float) -> Outcome | None:
    """Boot once; None when the first line stays away."""
    begun = time.monotonic()
    started: float | None = None
    text = b""
    with _qemu(accelerator, kernel, disks) as qemu:
        assert qemu.stdout
        limit = begun + accelerator.first_line
        while True:
            readable, _, _ = select.select([qemu.stdout], [], [], max(0.0, limit - time.monotonic()))
            if not readable:
                break
            chunk = os.read(qemu.stdout.fileno(), 65536)
            if not chunk:
                break
            sys.stdout.buffer.write(chunk.replace(b"\r\n", b"\n"))
            sys.stdout.flush()
            text = text[-4096:] + chunk
            if started is None and b"NCGD-GUEST up=" in text:
                started = time.monotonic()
                limit = started + seconds + POWER_OFF_SECONDS
    if started is None:
        return None
    status = re.search(rb"NCGD-GUEST exit=(\d+)", text)
    return Outcome(status=int(status[1]) if status else None, boot=started - begun, run=time.monotonic() - started)


@contextmanager
def _qemu(accelerator: Accelerator, kernel: Kernel, disks: dict[str, Path]) -> "Iterator[subprocess.Popen[bytes]]":
    """Give a running QEMU whose standard output is the guest's console; gone afterwards."""
    options = [*accelerator.options, *shlex.split(BOARD), "-append", APPEND]
    options += ["-kernel", str(kernel.folder / "vmlinuz"), "-initrd", str(kernel.folder / "initrd")]
    for name, file in disks.items():
        # Only the results are kept: a snapshot lets guests share an image that each may write to.
        mode = "cache=unsafe" if name == "results" else "snapshot=on"
        options += ["-drive", f"if=none,id={name},file={file},format=raw,{mode}"]
        options += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    argv = ["qemu-system-x86_64", *options]
    qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield qemu
    finally:
        qemu.kill()
        qemu.wait()
