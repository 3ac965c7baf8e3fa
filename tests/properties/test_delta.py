"""The one reconcile primitive converges."""

from hypothesis import given
from hypothesis import strategies as st

from ncgd.model.delta import diff

tables = st.dictionaries(st.integers(0, 9), st.integers(0, 3))


@given(tables, tables)
def test_applying_the_difference_gives_the_desired_table(desired: dict[int, int], observed: dict[int, int]) -> None:
    delta = diff(desired, observed)
    assert {key: row for key, row in {**observed, **delta.set}.items() if key not in delta.remove} == desired
    assert not delta.set.keys() & delta.remove
    assert not diff(desired, desired)
