"""The entry point of ``ncgd``."""

import asyncio
import faulthandler
import logging
import signal
import sys
from contextlib import suppress

from ncgd import __version__
from ncgd.daemon import cleaning, log, settings, wiring
from ncgd.daemon.settings import Settings
from ncgd.errors import DriverError, UserError

EXIT_BUG = 70
"""EX_SOFTWARE (sysexits.h): ncgd itself is at fault; be restarted."""

HANG_SECONDS = 15
"""A loop that stands still for so long never goes on. Far more than a pass over the largest tables takes."""


def main(argv: list[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit status."""
    given = settings.parse(argv)
    log.configure(given.log_format, given.log_level)
    logger = logging.getLogger("ncgd")
    if given.is_cleaning:
        return _clean(given)
    origin = given.resources if given.source == "files" else f"namespace {given.namespace} of the Kubernetes API"
    logger.info("ncgd %s starts, resources in %s", __version__, origin, extra={"event": "start"})
    try:
        asyncio.run(_until_signalled(given))
    except (OSError, UserError) as error:
        logger.error("cannot run: %s", error, extra={"event": "stop"})
        return 2
    except Exception:
        logger.exception("a bug in ncgd; tunnels, sessions and routes stay as they are", extra={"event": "bug"})
        return EXIT_BUG
    logger.info("ended; tunnels, sessions and routes stay as they are", extra={"event": "stop"})
    return 0


def _clean(given: Settings) -> int:
    async def tell() -> None:
        async for removed in cleaning.clean(given.run_dir, given.state_dir):
            sys.stdout.write(f"removed {removed}\n")

    try:
        asyncio.run(tell())
    except UserError as error:
        sys.stderr.write(f"ncgd: {error}\n")
        return 2
    except (OSError, DriverError) as error:
        sys.stderr.write(f"ncgd: not clean: {error}\n")
        return 1
    sys.stdout.write("nothing of ncgd is left here\n")
    return 0


async def _until_signalled(given: Settings) -> None:
    watch = asyncio.ensure_future(_end_when_hung())
    leaving = asyncio.Event()
    work = asyncio.ensure_future(wiring.run(given, leaving))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, work.cancel)
    loop.add_signal_handler(signal.SIGTERM, leaving.set if given.hands_over else work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return
    finally:
        watch.cancel()


async def _end_when_hung() -> None:
    """We are ended unless the loop goes round, and started anew by whoever keeps us running.

    By a thread, which says where we hang; and by the kernel's SIGALRM, which takes no memory, but does nothing to
    process 1 of a container (pid_namespaces(7)). Python waits for ever for a thread that found no memory to start with.
    """
    while True:
        signal.alarm(HANG_SECONDS)
        with suppress(RuntimeError):
            faulthandler.dump_traceback_later(HANG_SECONDS - 1, exit=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
