"""What passes per second, from counters that only grow."""

from ncgd.model.meter import SPAN_SECONDS, Mark, Meter


def test_rates_survive_a_new_ncgd_whose_counters_begin_at_nothing() -> None:
    meter = Meter()

    def seen(now: float, count: int) -> tuple[float, float]:
        return meter.take(Mark(now, count, 2 * count))

    assert seen(0.0, 5_000_000) == (0.0, 0.0)
    assert seen(1.0, 5_000_100) == (100.0, 200.0)
    assert seen(2.0, 50) == (50.0, 100.0)
    assert seen(3.0, 50) == (25.0, 50.0)
    assert seen(4.0, 50) == (0.0, 0.0)


def test_looking_often_gives_the_same_rate_and_keeps_no_more() -> None:
    meter = Meter()
    rates = [meter.take(Mark(step / 1000, step, step)) for step in range(10_000)]
    assert {(round(each), round(other)) for each, other in rates[1:]} == {(1000, 1000)}
    assert len(meter._marks) <= 4 + SPAN_SECONDS
