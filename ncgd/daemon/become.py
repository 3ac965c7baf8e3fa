"""``python3 -m ncgd.daemon.become charon|charons|exabgp``: what ncgd could supervise, started by somebody else.

For a container or a unit beside an ncgd without ``--supervise`` that has its default paths. Files and command are the
supervisor's own, so there is nothing that could differ. ``charon`` is the one of the kernel dataplane; ``charons`` is
that one, too, where the kernel has ESP, and else one for each tunnel, with ESP in userspace.
"""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ncgd.daemon import capabilities, launch_files, log
from ncgd.daemon.follow import follow
from ncgd.daemon.settings import RUN_DIR, bridge_socket, exabgp_config
from ncgd.decision.tunnels import KERNEL_CHARON
from ncgd.drivers.exabgp import speaker
from ncgd.drivers.kernel.probe import probe
from ncgd.drivers.strongswan import charon
from ncgd.errors import DriverError, Unavailable
from ncgd.model.ike import Charon, DataplaneMode
from ncgd.model.process import Handover, Launch

KILLED_IN_THE_END = '"$@" & child=$!; trap "kill -KILL $child" TERM INT; wait $child'
"""The shell stays to make SIGKILL of SIGTERM: nothing in a container can kill its process 1."""
_CHARON_NEEDS = {
    capabilities.NET_ADMIN: "SAs, policies and devices",
    capabilities.NET_BIND_SERVICE: "UDP ports 500 and 4500",
}


def main(argv: list[str] | None = None) -> int:
    """Become the program; returns only when it cannot be started."""
    parser = argparse.ArgumentParser(prog="python3 -m ncgd.daemon.become", description=__doc__)
    parser.add_argument("program", choices=("charon", "charons", "exabgp"))
    program = parser.parse_args(argv).program
    try:
        if program != "exabgp" and (lacking := capabilities.missing(_CHARON_NEEDS, capabilities.effective())):
            raise Unavailable(f"it lacks {lacking}")
        if program == "charons" and not (capability := probe()).kernel_esp:
            if not capability.userspace_esp:
                raise Unavailable(f"neither the kernel nor userspace can do ESP ({capability.detail})")
            log.configure("text", "info")
            asyncio.run(_follow(RUN_DIR))
            return 0
        launch = _exabgp(RUN_DIR) if program == "exabgp" else asyncio.run(_charon(Path("/run")))
        launch_files.prepare(launch)
        command = _command(launch)
        os.execvpe(command[0], command, {**os.environ, **launch.environment})  # noqa: S606 - no shell is what we want
    except (OSError, DriverError) as error:
        sys.stderr.write(f"{program} cannot be started: {error}\n")
    return 2


async def _follow(run_dir: Path) -> None:
    """Userspace charons, until SIGTERM, which is their end as well."""
    work = asyncio.ensure_future(follow(run_dir))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


async def _charon(directory: Path) -> Launch:
    """The kernel dataplane's one charon."""
    (directory / "charon.pid").unlink(missing_ok=True)  # of one that was killed; the number is somebody else's now
    row = Charon(name=KERNEL_CHARON, mode=DataplaneMode.KERNEL)
    installation = await charon.find_installation()
    return charon.launch(row, installation, directory, private_run=False, log="stderr")


def _exabgp(run_dir: Path) -> Launch:
    return speaker.launch(exabgp_config(run_dir), bridge_socket(run_dir))


def _command(launch: Launch) -> tuple[str, ...]:
    """What would take down what it has set up is killed when its time has come, here as under the supervisor."""
    return ("sh", "-c", KILLED_IN_THE_END, "sh", *launch.argv) if launch.handover is Handover.KILL else launch.argv


if __name__ == "__main__":
    sys.exit(main())
