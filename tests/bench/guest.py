"""Some rows with ESP in the kernel, where that needs a QEMU guest with Debian's kernel (tests/kernel)."""

import shlex
import tempfile
from pathlib import Path

from tests.bench import page
from tests.kernel import debian, image, machine

ROWS = ("silent", "ike-delete", "link-down", "session-reset", "restart-lost", "restart-flaps", "throughput")
"""What is worth its time on a processor that QEMU plays."""
_TIME_SCALE = 3  # how much slower than hardware the guest is taken to be
_SECONDS = 3600


def run(rounds: int, rows: list[str], *, write: bool) -> int:
    """Boot, measure, power off; the exit status of the bench in there, or 1 when the guest ended without it."""
    debian.install_tools()
    root, kernel = image.root_image(), image.kernel(image.ROOT_SUITE)
    bench = ["/usr/bin/python3", "tests/bench/run", "--rounds", str(rounds), "--write", "--only", *(rows or ROWS)]
    command = (
        f"export NCGD_TIME_SCALE={_TIME_SCALE} PYTHONPATH=/tmp/checkout\n"
        f"/usr/bin/python3 -m tests.kernel.offline && {shlex.join(bench)} && cp tests/bench/RESULTS.md /tmp/results/\n"
    )
    with tempfile.TemporaryDirectory(prefix="ncgd-bench-") as results:
        outcome = machine.run(kernel, root, command, Path(results), _SECONDS)
        if outcome.status == 0 and write:
            page.RESULTS.write_text((Path(results) / page.RESULTS.name).read_text())
    return 1 if outcome.status is None else outcome.status
