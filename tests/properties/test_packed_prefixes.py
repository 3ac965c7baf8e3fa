"""The prefixes of an UPDATE, which ExaBGP does not read one by one: we find in them what it would have found."""

from ipaddress import ip_network

from exabgp.bgp.message.action import Action
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.update.nlri.inet import INET
from exabgp.protocol.family import AFI, SAFI
from hypothesis import given
from hypothesis import strategies as st

from ncgd.drivers.exabgp import codec
from ncgd.drivers.exabgp.bridge import split
from ncgd.drivers.exabgp.repaired import Field, well_formed
from ncgd.model import prefix as px

FAMILIES: dict[codec.Family, tuple[object, int]] = {"ipv4 unicast": (AFI.ipv4, 32), "ipv6 unicast": (AFI.ipv6, 128)}


def packed(bits: int) -> st.SearchStrategy[bytes]:
    """A well-formed prefix, host bits and all."""
    lengths = st.integers(0, bits)
    return lengths.flatmap(
        lambda length: st.binary(min_size=-(-length // 8), max_size=-(-length // 8)).map(
            lambda address: bytes([length]) + address
        )
    )


def found_by_exabgp(family: codec.Family, data: bytes) -> list[px.Prefix] | None:
    """None when ExaBGP would end the session."""
    afi, _ = FAMILIES[family]
    found = []
    while data:
        try:
            nlri, data = INET.unpack_nlri(afi, SAFI.unicast, data, Action.ANNOUNCE, False)
        except Notify:
            return None
        found.append(px.of_network(ip_network(nlri.cidr.prefix(), strict=False)))
    return found


fields = st.sampled_from(list(FAMILIES)).flatmap(
    lambda family: st.tuples(
        st.just(family), st.one_of(st.binary(max_size=60), st.lists(packed(FAMILIES[family][1])).map(b"".join))
    )
)


@given(fields)
def test_we_read_what_exabgp_reads(field: tuple[codec.Family, bytes]) -> None:
    family, data = field
    clean = well_formed(data, FAMILIES[family][1])
    wanted = found_by_exabgp(family, data)
    if wanted is None:
        assert clean is None
        return
    assert clean is not None
    block = Field(None, clean, None).json().strip('"')
    assert list(codec.prefixes(family, [clean])) == wanted
    # Equal prefixes are equal bytes: the bridge, which keeps them by these, can withdraw what it learned.
    keys = split([block])
    assert len(keys) == len(wanted)
    assert len(set(keys)) == len(set(wanted))


@given(fields)
def test_garbage_is_refused_or_read_as_what_it_says(field: tuple[codec.Family, bytes]) -> None:
    family, data = field
    try:
        found = codec.prefixes(family, [data])
    except ValueError:
        assert found_by_exabgp(family, data) is None
        return
    assert list(found) == found_by_exabgp(family, data)
