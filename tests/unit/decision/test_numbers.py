"""Two names with one number: nothing of ours may be taken for something else of ours."""

from dataclasses import replace
from itertools import count

from ncgd.decision.routes import Carriers, RouteTable, distinct_numbers, group_id, stable_number
from ncgd.model import prefix as px
from ncgd.model.fib import NexthopGroup
from tests.scenarios.resources import peer
from tests.scenarios.site import ha_vpn, healthy_site


def _twins() -> tuple[str, str]:
    """Two names that have the same number."""
    seen: dict[int, str] = {}
    for turn in count():
        name = f"peer-{turn}"
        if (other := seen.setdefault(stable_number(name), name)) != name:
            return other, name
    raise AssertionError


def test_peers_whose_names_have_one_number_have_a_nexthop_each() -> None:
    first, second = _twins()
    intent = ha_vpn()
    peers = {
        name: replace(peer(number), ref=replace(peer(number).ref, name=name))
        for number, name in enumerate((first, second), 1)
    }
    site = healthy_site(replace(intent, peers=peers))
    (group,) = (row for row in site.nexthops.values() if isinstance(row, NexthopGroup))
    assert len({site.nexthops[member].interface for member in group.members}) == 2  # type: ignore[union-attr]


def test_rankings_whose_names_have_one_number_have_a_group_each() -> None:
    first, second = (((name,),) for name in _twins())
    assert group_id(first, 4) == group_id(second, 4)
    table = RouteTable()
    here, there = px.parse("10.1.0.0/16"), px.parse("10.2.0.0/16")
    table.update({first: [here], second: [there]})
    names = [*first[0], *second[0]]
    numbers = distinct_numbers(names)
    groups = table.groups(Carriers(trusted=frozenset(names)), numbers)
    members = [row.members for row in (groups[table.desired[here]], groups[table.desired[there]])]  # type: ignore[union-attr]
    assert len({*members}) == 2
    table.update({None: [here]})
    table.update({first: [here]})
    assert table.desired[here] != table.desired[there]


def test_no_ipv6_object_is_made_for_ipv4_routes() -> None:
    """A host without IPv6 would refuse it for ever."""
    site = healthy_site()
    assert {row.version for row in site.nexthops.values() if not isinstance(row, NexthopGroup)} == {4}
