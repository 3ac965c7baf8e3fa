"""Whether a Docker engine answers. Standard library only: tests/run asks before it knows what it can run."""

import subprocess
import sys

_ASK = "import docker; docker.from_env().ping()"


def why_unreachable(python: str = sys.executable) -> str:
    """Empty when an engine answers where DOCKER_HOST or its default points; else why not, in a line.

    ``python`` is one that has Docker's SDK. It runs on its own: a refused connection leaves the SDK's sockets open.
    """
    argv = [python, "-P", "-W", "ignore", "-c", _ASK]
    asked = subprocess.run(argv, capture_output=True, text=True, check=False)
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else ""
