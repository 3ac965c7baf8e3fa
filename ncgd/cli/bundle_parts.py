"""What a support bundle holds: answers of ncgd, what the machine says, ends of logs. No manifests, no environment."""

import platform
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from ncgd import __version__

PART_BYTES = 2 << 20
"""A part is no longer than that: of a log its end is kept, of anything else its start."""
COMMAND_SECONDS = 10.0

_COMMANDS: dict[str, tuple[str, ...]] = {
    "kernel": ("uname", "-a"),
    "system": ("cat", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo"),
    "time": ("date", "-u", "--iso-8601=seconds"),
    "clock": ("timedatectl", "show"),
    "room": ("df", "-h"),
    "links": ("ip", "-s", "-d", "link"),
    "addresses": ("ip", "addr"),
    "rules": ("ip", "rule"),
    "rules-6": ("ip", "-6", "rule"),
    "routes": ("ip", "-d", "route", "show", "table", "all"),
    "nexthops": ("ip", "-d", "nexthop"),
    "neighbours": ("ip", "neigh"),
    "sockets": ("ss", "-Hlnptu"),
    "xfrm-states": ("ip", "-s", "xfrm", "state", "list", "nokeys"),
    "xfrm-policies": ("ip", "-s", "xfrm", "policy"),
    "xfrm-errors": ("cat", "/proc/net/xfrm_stat"),
    "sysctls": ("sysctl", "net.ipv4", "net.ipv6.conf.all", "net.netfilter.nf_conntrack_count", "net.core.rmem_max"),
    "modules": ("cat", "/proc/modules"),
    "nftables": ("nft", "-s", "list", "ruleset"),
    "iptables": ("iptables-save", "-c"),
    "nft-version": ("nft", "--version"),
    "ip-version": ("ip", "-V"),
    "charon-version": ("swanctl", "--version"),
    "kernel-log": ("dmesg", "--ctime", "--level", "emerg,alert,crit,err,warn"),
    "journal": (
        "journalctl",
        "--no-pager",
        "-o",
        "short-iso",
        "-n",
        "5000",
        "-u",
        "ncgd*",
        "-u",
        "strongswan*",
        "-u",
        "exabgp*",
    ),
}
"""Name to command; what is not installed here is told in the index."""
_WRITTEN = tuple(f"{folder}*{end}" for folder in ("", "*/") for end in (".log", ".log.1", ".conf", ".json", ".jsonl"))
"""In the run directory, and in a folder for each charon below it."""
_LAST = frozenset({"kernel-log", "journal"})
"""Of these the end counts."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the bundle. ``read`` raises OSError or subprocess.SubprocessError."""

    name: str
    origin: str
    """For the index."""
    read: Callable[[], bytes]


def of_machine() -> Iterator[Part]:
    """What the kernel and the usual tools say."""
    yield Part("versions.txt", "this installation", _versions)
    for name, command in _COMMANDS.items():
        read = partial(_run, command, is_log=name in _LAST)
        yield Part(f"machine/{name}.txt", " ".join(command), read)


def of_run_directory(run_dir: Path) -> Iterator[Part]:
    """Logs, and what ncgd has written for others and for itself. It never writes a key.

    Nothing of a folder that is no run directory: ``--socket`` may be anywhere.
    """
    if not _there(run_dir, "ncgd.lock"):
        return
    for path in _there(run_dir, *_WRITTEN):
        if path.is_file() and not path.is_symlink():
            relative = path.relative_to(run_dir)
            yield Part(f"run/{relative}", str(path), partial(_end_of, path))


def of_charons(run_dir: Path, vici_socket: Path | None) -> Iterator[Part]:
    """What each IKE daemon itself says, if swanctl is here: those that ncgd has started, or the one that it was given.

    Neither lists a key.
    """
    sockets = _there(run_dir, "*/charon.vici") or [vici_socket or Path("/run/charon.vici")]
    for path in sockets:
        for what in ("--list-sas", "--list-conns", "--stats"):
            command = ("swanctl", what, "--uri", f"unix://{path}")
            name = f"charon/{path.parent.name}{what[1:]}.txt"
            yield Part(name, " ".join(command), partial(_run, command, is_log=False))


def _there(folder: Path, *patterns: str) -> list[Path]:
    """What there is, as far as we may know; ncgd's own part says it when we may not."""
    try:
        return sorted(path for pattern in patterns for path in folder.glob(pattern))
    except PermissionError:
        return []


def _run(command: tuple[str, ...], *, is_log: bool) -> bytes:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    output = done.stdout[-PART_BYTES:] if is_log else done.stdout[:PART_BYTES]
    if len(done.stdout) > PART_BYTES:
        output += f"\n[{len(done.stdout)} bytes, cut]\n".encode()
    if done.returncode:
        output += f"\n[exit status {done.returncode}: ".encode() + done.stderr[:PART_BYTES].strip() + b"]\n"
    return output


def _end_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - PART_BYTES))
        text = stream.read(PART_BYTES)
    return text if size <= PART_BYTES else f"[the end of {size} bytes]\n".encode() + text.partition(b"\n")[2]


def _versions() -> bytes:
    lines = [f"ncgd {__version__}", f"Python {platform.python_version()} on {platform.platform()}"]
    lines += sorted(f"{each.name} {each.version}" for each in distributions())
    return "\n".join([*lines, ""]).encode()
