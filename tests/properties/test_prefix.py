"""Integer prefixes behave as ``ipaddress`` networks do."""

from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from ncgd.model import prefix as px

v4 = st.builds(lambda a, n: IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32))
v6 = st.builds(lambda a, n: IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128))
networks = st.one_of(v4, v6)


@given(networks)
def test_round_trip(network: IPv4Network | IPv6Network) -> None:
    prefix = px.of_network(network)
    assert px.parse(px.text(prefix)) == prefix
    assert ip_network(px.text(prefix)) == network
    assert (px.version(prefix), px.length(prefix)) == (network.version, network.prefixlen)
    assert px.packed(prefix) == network.network_address.packed


@given(networks, networks)
def test_cover(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> None:
    a, b = px.of_network(one), px.of_network(other)
    same = one.version == other.version
    assert px.covers(a, b) == (same and other.subnet_of(one))  # type: ignore[arg-type]


@given(st.text(max_size=20))
def test_anything_else_is_a_value_error(text: str) -> None:
    try:
        prefix = px.parse(text)
    except ValueError:
        return
    assert px.parse(px.text(prefix)) == prefix
