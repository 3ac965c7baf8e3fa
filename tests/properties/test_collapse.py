"""Joined prefixes cover what they are made of, and nothing else."""

from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from hypothesis import given
from hypothesis import strategies as st

from ncgd.model import prefix as px

CLOSE = st.builds(lambda at, bits: px.make(4, 10 << 24 | at << 4, bits), st.integers(0, 255), st.integers(18, 32))
CLOSE_V6 = st.builds(
    lambda at, bits: px.make(6, 0xFD << 120 | at << 60, bits), st.integers(0, 255), st.integers(56, 70)
)


@given(st.lists(st.one_of(CLOSE, CLOSE_V6), max_size=40))
def test_it_is_what_the_standard_library_finds(prefixes: list[px.Prefix]) -> None:
    v4 = collapse_addresses(IPv4Network(px.text(each)) for each in prefixes if px.version(each) == 4)
    v6 = collapse_addresses(IPv6Network(px.text(each)) for each in prefixes if px.version(each) == 6)
    assert [px.text(each) for each in px.collapse(prefixes)] == [str(each) for each in (*v4, *v6)]


@given(CLOSE)
def test_a_prefix_is_covered_by_itself_and_every_shorter_one(prefix: px.Prefix) -> None:
    found = list(px.covering(prefix))
    assert [px.length(each) for each in found] == list(range(px.length(prefix), -1, -1))
    assert all(px.covers(each, prefix) for each in found)
