"""Which prefixes overlap a set of ranges, seen at a glance and one by one."""

from hypothesis import given
from hypothesis import strategies as st

from ncgd.decision.policy import Ranges
from ncgd.model import prefix as px

# Few bits, so that prefixes do meet.
v4 = st.builds(lambda bits, length: px.make(4, bits << 24, length), st.integers(0, 255), st.integers(0, 10))
v6 = st.builds(lambda bits, length: px.make(6, bits << 120, length), st.integers(0, 255), st.integers(0, 10))
prefixes = st.lists(st.one_of(v4, v6), max_size=20)


@given(prefixes, prefixes)
def test_what_is_clear_of_ranges_overlaps_none(taken: list[px.Prefix], asked: list[px.Prefix]) -> None:
    ranges = Ranges(taken)
    clear = [prefix for prefix in asked if not any(px.covers(a, prefix) or px.covers(prefix, a) for a in taken)]
    assert ranges.clear_of(asked) == clear
    assert [prefix for prefix in asked if not ranges.overlaps(*px.span(prefix))] == clear
