"""RESULTS.md: a section for each kind of machine, which says what machine that was."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from ncgd.lab import machine

RESULTS = Path(__file__).parent / "RESULTS.md"
_PACKAGES = ("bird2", "frr", "strongswan-charon", "iperf3")
_HEAD = """\
# ncgd beside BIRD, FRR, and strongSwan with BIRD by hand

Written by `tests/bench/run --write`. Median of all rounds, in brackets the best and the worst. In each round every
subject had its turn, so that what else the machine did hit all of them alike.

- **First route to last route**: counted by the kernel's own notifications, from the first route that the speaker
  installs. The peer is a BIRD, which is kept awake: BIRD 2.0's main loop may sleep for 3 s with part of a table unsent.
  The time from the first UPDATE to the first route is not in it.
- **Moved off a dead peer**: the clock starts when the FIN or RST of the killed peer is seen on the gateway's
  interface, and stops when the kernel sends none of 200 destinations, spread over all prefixes, to the dead one.
- **Outages**: the longest gap between answers to pings sent every 10 ms, less these 10 ms. Silent death is ncgd in the
  lab, where the outer path of one tunnel drops everything and nothing is configured on the peer, beside BIRD on plain
  links between namespaces, where only BGP, or BFD on both sides, can notice.
- **By hand**: the same lab, with charon and BIRD in the place of ncgd, the same cipher, MTU, clamp and ECMP.
- **Throughput**: one TCP stream, median of five runs of 3 s, through the same tunnel in both directions. With ESP in
  userspace charon's receive buffer overflows under any stream that is not paced: hence the quarter of it in the restart
  under load.
- **64 tunnels, 5 000 prefixes**: loop, API and status port are ncgd's, what lies below them is played; twenty events
  come in a second, each of which makes a pass.
"""


def is_emulated() -> bool:
    """True in a guest whose processor QEMU plays."""
    return "TCG" in _cpu()


def write(table: str, rounds: int, load: float) -> None:
    """Put a table into RESULTS.md, in the place of the one from the same kind of machine."""
    title = "Emulated: ESP in the kernel" if is_emulated() else "This machine"
    text = RESULTS.read_text() if RESULTS.exists() else ""
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    sections[title] = f"\n{_described(rounds, load)}\n\n{table}\n"
    parts = [_HEAD, *(f"## {name}\n{body.rstrip()}\n" for name, body in sorted(sections.items(), reverse=True))]
    RESULTS.write_text("\n".join(parts))


def _described(rounds: int, load: float) -> str:
    esp = "in the kernel" if machine.kernel_has_esp() else "in userspace, for this kernel has none"
    emulated = (
        "**QEMU plays this processor: compare ncgd with what is beside it, and nothing with another table.**\n"
        "The one per cent of a core that ncgd takes is some thirty here, and is missing where the kernel encrypts.\n"
        if is_emulated()
        else ""
    )
    return (
        f"{emulated}{rounds} rounds on {time.strftime('%Y-%m-%d', time.gmtime())}; load {load:.2f} before.\n"
        f"{os.cpu_count()} cores ({_cpu()}), Linux {platform.release()}, ESP {esp}.\n"
        f"Python {platform.python_version()}, exabgp {version('exabgp')}, {_versions()}."
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if "model name" in line), platform.machine())


def _versions() -> str:
    if not shutil.which("dpkg-query"):
        return "no dpkg to ask for versions"
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *_PACKAGES]
    return ", ".join(subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines())
