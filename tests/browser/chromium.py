"""Whether there is a Chromium as Debian packages it: tests/run asks before it knows what it can run."""

import shutil
from collections.abc import Callable

from ncgd.lab import install
from ncgd.lab.failure import LabFailure


def why_missing(say: Callable[[str], None]) -> str:
    """Empty when it is there, or could be installed; else why not, in a line. Ubuntu has it as a snap only."""
    if shutil.which("chromium"):
        return ""
    try:
        install.install_packages(["chromium", "fonts-dejavu-core"], say)
    except LabFailure as failure:
        return str(failure)
    return ""
