"""The lab that faults happen in, and the table of what they came to."""

import pytest

from ncgd.lab.install import CHECKOUT
from tests.integration.faults.snapshot import Snapshot
from tests.integration.faults.trial import HEADING, Row, settled
from tests.lab.conftest import Lab, environment_without_network, lab

__all__ = ["environment_without_network", "lab"]

TABLE = CHECKOUT / "build" / "faults.txt"
_rows = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="module")
def start(lab: Lab) -> Snapshot:
    """The state that every fault has to end in."""
    return settled(lab)


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """What every fault of this run came to, in order."""
    return pytestconfig.stash.setdefault(_rows, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not (rows := config.stash.get(_rows, [])):
        return
    lines = [HEADING, *map(str, rows)]
    terminalreporter.section(f"faults (also in {TABLE.relative_to(CHECKOUT)})")
    terminalreporter.write_line("\n".join(lines))
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(lines) + "\n")
