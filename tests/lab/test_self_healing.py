"""Kill a program of the gateway: everything is back by itself within 10 seconds, and the proofs hold again."""

import pytest

from tests.lab.conftest import PROGRAMS, Lab, assert_comes_back

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_programs_come_back(lab: Lab, program: str) -> None:
    assert_comes_back(lab, program)
