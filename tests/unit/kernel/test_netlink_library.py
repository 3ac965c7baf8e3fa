"""What is imported of pyroute2."""

import subprocess
import sys

CODE = """
import sys
from ncgd.drivers.kernel import edit
print([name for name in ("pyroute2.ndb", "sqlite3") if name in sys.modules])
"""


def test_its_databases_and_servers_are_left_out() -> None:
    answer = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
