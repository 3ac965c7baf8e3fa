"""How long an answer took, whatever becomes of the wall clock meanwhile."""

import pytest

from ncgd.drivers.probe.track import round_trip

SECOND = 1_000_000_000
YEAR = 366 * 86400 * SECOND


def test_the_wall_clock_tells_since_it_is_the_kernel_s() -> None:
    sent, read_later = (5 * SECOND, YEAR), (6 * SECOND, YEAR + SECOND // 50)
    assert round_trip(sent, read_later) == 0.02


@pytest.mark.parametrize("step", [YEAR, -YEAR, -SECOND])
def test_a_clock_that_is_set_meanwhile_makes_no_year_of_an_answer(step: int) -> None:
    sent, read = (5 * SECOND, 2 * YEAR), (5 * SECOND + SECOND // 10, 2 * YEAR + step + SECOND // 50)
    assert round_trip(sent, read) == 0.1, "what the other clock says, which includes the time until it was read"
