"""An ncgd whose loop stands still ends, also as process 1 of a container, and says where it hung."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root
PROGRAM = """
import asyncio, threading
from ncgd.daemon import main
main.HANG_SECONDS = 2
async def hang_for_ever():
    watch = asyncio.ensure_future(main._end_when_hung())
    await asyncio.sleep(0.1)
    threading.Event().wait()
asyncio.run(hang_for_ever())
"""


def test_as_process_1() -> None:
    argv = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", PROGRAM]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "in hang_for_ever" in ended.stderr
