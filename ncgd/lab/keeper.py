"""``python -m ncgd.lab.keeper -- COMMAND``: stands in for systemd, starts a program again when it ends.

SIGTERM ends the program and then the keeper.
"""

import signal
import subprocess
import sys
import time
from types import FrameType

RESTART_SECONDS = 0.5
RESTARTED = "keeper: starting it again"
"""What the log holds once for every start after the first."""


def main(argv: list[str]) -> int:
    """Run ``argv`` for ever; 0 after SIGTERM."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        try:
            code = child.wait()
            print(f"{RESTARTED}, {argv[0]} ended with {code}", file=sys.stderr, flush=True)
            time.sleep(RESTART_SECONDS)
        finally:
            if stopping and child.poll() is None:
                child.terminate()
                try:
                    child.wait(2)
                except subprocess.TimeoutExpired:
                    child.kill()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[2:]))
