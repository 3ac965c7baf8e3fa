from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ncgd.drivers.exabgp import codec, render
from ncgd.errors import Rejected
from ncgd.model import prefix
from ncgd.model.bgp import Advertisement, Neighbor

BRIDGE = ("/usr/bin/python3", "-I", "-S", "/opt/ncgd/bridge.py", "/run/ncgd/exabgp.sock")
ONE = Neighbor(
    peer="peer-1",
    local_address=ip_address("169.254.1.2"),
    peer_address=ip_address("169.254.1.1"),
    local_asn=4_200_000_001,
    peer_asn=64512,
    router_id="169.254.1.2",
    hold_seconds=60,
    interface="ncg1",
    advertisements=(
        Advertisement(prefix=prefix.parse("10.9.0.0/16"), med=100),
        Advertisement(prefix=prefix.parse("10.8.0.0/16"), med=200),
    ),
)
SIX = replace(
    ONE,
    peer="peer-6",
    local_address=ip_address("fd00::2"),
    peer_address=ip_address("fd00::1"),
    families=(4, 6),
    interface=None,
)


def test_a_neighbour_in_exabgps_words() -> None:
    text = render.configuration([ONE], BRIDGE)
    for line in (
        "  run /usr/bin/python3 -I -S /opt/ncgd/bridge.py /run/ncgd/exabgp.sock;",
        "neighbor 169.254.1.1 {",
        "  local-address 169.254.1.2;",
        "  source-interface ncg1;",
        "  local-as 4200000001;",
        "  peer-as 64512;",
        "  hold-time 60;",
        "  adj-rib-in false;",
        "  capability { graceful-restart 120; route-refresh enable; }",
        "      unicast 10.8.0.0/16 next-hop 169.254.1.2 med 200;",
        "      unicast 10.9.0.0/16 next-hop 169.254.1.2 med 100;",
    ):
        assert line in text.splitlines()
    assert "ipv6" not in text


def test_no_neighbour_is_a_configuration() -> None:
    assert render.configuration([], BRIDGE).startswith("# Written by ncgd")


def test_order_makes_no_difference() -> None:
    turned = replace(ONE, advertisements=ONE.advertisements[::-1])
    assert render.configuration([ONE, SIX], BRIDGE) == render.configuration([SIX, turned], BRIDGE)


def test_an_ipv6_session_carries_both_families() -> None:
    both = replace(
        SIX, advertisements=(*ONE.advertisements, Advertisement(prefix=prefix.parse("2001:db8::/32"), med=5))
    )
    text = render.configuration([both], BRIDGE)
    assert "unicast 2001:db8::/32 next-hop fd00::2 med 5;" in text
    assert "unicast 10.9.0.0/16 next-hop 169.254.1.2 med 100;" in text
    assert render.unspeakable(both) == []


def test_an_ipv4_session_has_no_ipv6_next_hop_to_offer() -> None:
    odd = replace(ONE, families=(4, 6), advertisements=(Advertisement(prefix=prefix.parse("2001:db8::/32"), med=5),))
    assert "2001:db8" not in render.configuration([odd], BRIDGE)
    assert prefix.texts(render.unspeakable(odd)) == ["2001:db8::/32"]


def test_the_description_changes_with_what_is_configured() -> None:
    same, other_med = render.description(replace(ONE)), replace(ONE, advertisements=ONE.advertisements[:1])
    assert same == render.description(ONE)
    assert render.description(other_med) != same
    assert same.startswith("peer-1 ")


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a;b", "a{b", "päer", "a\nb", "#a"])
def test_what_would_break_the_language_is_refused(name: str) -> None:
    with pytest.raises(Rejected):
        render.block(replace(ONE, peer=name))
    with pytest.raises(Rejected):
        render.configuration([], ("/usr/bin/python3", name))


def test_a_running_speaker_tells_what_it_was_configured_with() -> None:
    lines = """\
neighbor 169.254.1.1 {
  description "peer-1 02aeec030d61";
  router-id 169.254.1.2;
  host-name None;
  local-address 169.254.1.2;
  source-interface ncg1;
  md5-ip "169.254.1.2";
  capability {
    graceful-restart 120;
  }
  api {
    processes [ ncgd ];
  }
}
neighbor fd00::1 {
  description "";
  local-address fd00::2;
  source-interface None;
}""".splitlines()
    assert codec.loaded(lines) == {
        "169.254.1.1 169.254.1.2": codec.Loaded(peer="peer-1", description="peer-1 02aeec030d61", interface="ncg1"),
        "fd00::1 fd00::2": codec.Loaded(peer="", description="", interface=None),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"hold_seconds": 2},
        {"restart_seconds": 4096},
        {"local_asn": 0},
        {"peer_asn": 1 << 32},
        {"peer_address": ip_address("fd00::1")},
        {"families": ()},
        {"interface": "sixteen-letters-"},
        {"router_id": "gateway"},
        {"advertisements": (Advertisement(prefix=prefix.parse("10.0.0.0/8"), med=-1),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_exabgp_would_refuse_is_refused_alone(change: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="peer-1 cannot be configured"):
        render.block(replace(ONE, **change))
