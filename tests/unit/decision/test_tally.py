"""What is counted from events, and what is not counted twice."""

from functools import reduce

import pytest

from ncgd.decision.fold import fold
from ncgd.decision.world import World
from ncgd.model import event as ev
from ncgd.model.delta import Outcome
from ncgd.model.fib import RouteChange
from ncgd.model.ike import SaState, Traffic, TunnelSa
from ncgd.model.prefix import parse
from ncgd.model.tally import Negotiation, Setback, Tally, TunnelTally
from tests.scenarios.site import ha_vpn

VPC = parse("10.128.0.0/20")


def after(*events: ev.Event) -> Tally:
    return reduce(lambda world, event: fold(world, event, world.now + 1), events, World()).tally


def sa(ike: int, child: int | None, children: dict[int, int], *stale: str) -> TunnelSa:
    """SAs whose children have carried so many packets of 100 bytes in, and half as many out."""
    carried = {str(n): Traffic(100 * count, 50 * count, count, count // 2) for n, count in children.items()}
    state = SaState.INSTALLED if child else SaState.CONNECTING
    return TunnelSa(
        tunnel="t", state=state, ike_id=str(ike), child_id=str(child or ""), children=carried, stale_ike_ids=stale
    )


def read(*sas: TunnelSa, charon: str = "charon") -> ev.SasRead:
    return ev.SasRead(charon=charon, sas={each.tunnel: each for each in sas})


def tunnel_after(*readings: ev.Event) -> TunnelTally:
    return after(read(), *readings).tunnels["t"]


def test_traffic_goes_on_over_a_rekey() -> None:
    tally = tunnel_after(
        read(sa(1, 1, {1: 10})),
        read(sa(1, 2, {1: 14, 2: 3})),
        read(sa(1, 2, {2: 5})),
        read(sa(1, 2, {2: 5})),
    )
    assert tally.carried == Traffic(1900, 950, 19, 9)
    assert tally.negotiations == {Negotiation.NEW: 1, Negotiation.ESP_REKEY: 1}


def test_what_an_earlier_ncgd_has_seen_is_not_counted() -> None:
    tally = after(read(sa(4, 9, {9: 1000})), read(sa(4, 9, {9: 1002}))).tunnels["t"]
    assert tally.carried == Traffic(200, 100, 2, 1)
    assert tally.negotiations == {}


def test_a_charon_that_starts_anew_counts_from_one_again() -> None:
    tally = tunnel_after(read(sa(1, 1, {1: 10})), read(), read(sa(1, 1, {1: 2})))
    assert tally.carried.packets_in == 12
    assert tally.negotiations == {Negotiation.NEW: 2}


def test_a_child_that_one_reading_has_missed_is_not_counted_twice() -> None:
    """charon lists its SAs one by one: a child that is handed over meanwhile may be in none of them."""
    tally = tunnel_after(read(sa(1, 1, {1: 10})), read(sa(2, None, {})), read(sa(2, 1, {1: 11})))
    assert tally.carried.packets_in == 11


def test_what_is_remembered_of_children_is_bounded() -> None:
    tally = tunnel_after(*(read(sa(1, n, {n: 1})) for n in range(1, 100)))
    assert tally.carried.packets_in == 99
    assert len(tally.children) < 20


def test_a_device_that_is_lost_and_read_again_is_not_counted_twice() -> None:
    tally = tunnel_after(
        read(sa(1, 1, {1: 10})),
        ev.ProcessChanged(name="charon", is_running=False),
        read(sa(1, 1, {1: 11})),
    )
    assert tally.carried.packets_in == 11


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (sa(1, 1, {1: 1}), sa(1, 1, {1: 2}), {}),
        (sa(1, 1, {1: 1}), sa(1, 2, {1: 1, 2: 0}), {Negotiation.ESP_REKEY: 1}),
        (sa(1, 1, {1: 1}), sa(1, 2, {2: 0}), {Negotiation.ESP_REKEY: 1}),
        (sa(1, 1, {1: 1}), sa(2, 1, {1: 1}), {Negotiation.IKE_REKEY: 1}),
        (sa(1, 1, {1: 1}), sa(2, 2, {1: 1, 2: 0}), {Negotiation.IKE_REKEY: 1, Negotiation.ESP_REKEY: 1}),
        (sa(1, 1, {1: 1}), sa(2, 2, {2: 0}), {Negotiation.NEW: 1}),
        (sa(1, 1, {1: 1}), sa(2, 2, {1: 1, 2: 0}, "1"), {Negotiation.NEW: 1}),
        (sa(2, 2, {1: 1, 2: 0}, "1"), sa(2, 2, {2: 0}), {}),
        (sa(1, None, {}), sa(1, 1, {1: 0}), {Negotiation.NEW: 1}),
        (sa(1, 1, {1: 1}), sa(2, None, {}), {}),
    ],
)
def test_how_sas_became_others(before: TunnelSa, now: TunnelSa, expected: dict[Negotiation, int]) -> None:
    assert after(read(before), read(now)).tunnels["t"].negotiations == expected


def test_a_tunnel_that_is_removed_is_forgotten() -> None:
    intent = ev.IntentRead(intent=ha_vpn())
    assert after(read(), read(sa(1, 1, {1: 1})), intent, read()).tunnels == {}


def test_rows_that_fail_are_counted_by_table_and_each_time() -> None:
    rows: dict[object, object] = {"a": 1, "b": 2}
    failed = ev.TableWritten(
        table="clamps", begun=0, ended=0, set=rows, removed=frozenset(), outcome=Outcome({"a": "no nft"})
    )
    routes = ev.RoutesWritten(change=RouteChange(routes={VPC: 1}, backstops={}), outcome=Outcome({VPC: "EINVAL"}))
    assert after(failed, failed, routes).refused_rows == {"clamps": 2, "routes": 1}


def test_programs_that_are_lost_are_counted_once_each_time() -> None:
    tally = after(
        ev.CharonLost(charon="charon-a", reason="it has never answered"),
        ev.CharonUp(charon="charon-a", version="5.9.8"),
        ev.CharonLost(charon="charon-a", reason="gone"),
        ev.CharonLost(charon="charon-a", reason="still gone"),
        ev.SpeakerUp(version="5"),
        ev.SpeakerLost(reason="gone"),
        ev.ProcessChanged(name="exabgp", is_running=True, pid=7),
        ev.ProcessChanged(name="exabgp", is_running=False, reason="killed by signal 9"),
        ev.ProcessChanged(name="exabgp", is_running=False, reason="not installed"),
        ev.ProcessChanged(name="charon-b", is_running=False),
    )
    assert tally.setbacks == {
        ("charon", Setback.UNREACHABLE): 1,
        ("exabgp", Setback.UNREACHABLE): 1,
        ("exabgp", Setback.ENDED): 2,
    }
