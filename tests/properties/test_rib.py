"""Whatever the order of updates, the RIB ends where a fresh one starts."""

from hypothesis import given
from hypothesis import strategies as st

from ncgd.decision.policy import ImportCheck, Surroundings
from ncgd.decision.rib import Rib, rank
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.spec import Policy

PEERS = ("a", "b", "c")
prefixes = st.integers(0, 7).map(lambda i: px.make(4, (10 << 24) + i * 256, 24))
paths = st.builds(
    lambda length, med: Attributes(as_path=(64512,) * length, as_path_length=length, med=med),
    st.integers(1, 2),
    st.integers(0, 2),
)
edits = st.lists(st.tuples(st.sampled_from(PEERS), prefixes, st.none() | paths, st.booleans()), max_size=40)


def empty() -> Rib:
    rib = Rib()
    check = ImportCheck(Policy(), Surroundings(), 65010, "169.254.1.1", in_tunnel=True)
    rib.configure(dict.fromkeys(PEERS, (check, 5000)))
    return rib


@given(edits)
def test_incremental_equals_from_scratch(
    steps: list[tuple[str, px.Prefix, Attributes | None, bool]],
) -> None:
    rib = empty()
    final: dict[tuple[str, px.Prefix], Attributes] = {}
    for peer, prefix, path, decide_now in steps:
        if path is None:
            rib.withdraw(peer, [prefix])
            final.pop((peer, prefix), None)
        else:
            rib.learn(peer, path, [prefix])
            final[peer, prefix] = path
        if decide_now:
            rib.decide(rank)
    rib.decide(rank)
    fresh = empty()
    for (peer, prefix), path in final.items():
        fresh.learn(peer, path, [prefix])
    fresh.decide(rank)
    assert rib.best == fresh.best
