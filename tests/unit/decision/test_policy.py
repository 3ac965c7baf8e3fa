"""What is refused, and why."""

import pytest

from ncgd.decision.policy import ImportCheck, Surroundings, may_export
from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.reason import REFUSAL_TEXT, Refusal
from ncgd.model.spec import Policy, PrefixRule

AROUND = Surroundings(
    own=(px.parse("10.10.0.0/16"), px.parse("192.168.0.0/24"), px.parse("fd00:10::/64")),
    endpoints=(px.parse("198.51.100.11"), px.parse("203.0.113.10")),
)
PATH = Attributes(as_path=(64512,), as_path_length=1)


def verdict(
    prefix: str, policy: Policy | None = None, path: Attributes = PATH, *, in_tunnel: bool = True
) -> Refusal | None:
    check = ImportCheck(policy or Policy(), AROUND, 65010, "169.254.1.1", in_tunnel=in_tunnel)
    return check.refusal(px.parse(prefix), path)


def rule(prefix: str, ge: int, le: int) -> PrefixRule:
    return PrefixRule(prefix=px.parse(prefix), ge=ge, le=le)


@pytest.mark.parametrize(
    ("prefix", "refusal"),
    [
        ("10.128.0.0/20", None),
        ("199.36.153.4/30", None),
        ("2600:2d00:0:2::/63", None),
        ("0.0.0.0/0", Refusal.DEFAULT_ROUTE),
        ("::/0", Refusal.DEFAULT_ROUTE),
        ("127.0.0.0/8", Refusal.MARTIAN),
        ("169.254.169.254/32", Refusal.MARTIAN),
        ("224.0.0.0/8", Refusal.MARTIAN),
        ("128.0.0.0/1", Refusal.MARTIAN),
        ("fe80::/64", Refusal.MARTIAN),
        ("10.10.0.0/16", Refusal.OWN_PREFIX),
        ("10.10.3.0/24", Refusal.OWN_PREFIX),
        ("10.0.0.0/8", Refusal.OWN_PREFIX),
        ("fd00:10::/48", Refusal.OWN_PREFIX),
        ("198.51.100.0/24", Refusal.TUNNEL_ENDPOINT),
        ("203.0.113.10/32", Refusal.TUNNEL_ENDPOINT),
        ("203.0.113.11/32", None),
    ],
)
def test_imports_are_safe_by_default(prefix: str, refusal: Refusal | None) -> None:
    assert verdict(prefix) == refusal


def test_the_own_asn_in_the_path_is_a_loop() -> None:
    looped = Attributes(as_path=(64512, 65010), as_path_length=2)
    assert verdict("10.128.0.0/20", path=looped) == Refusal.AS_LOOP


def test_a_third_party_next_hop_matters_only_outside_tunnels() -> None:
    elsewhere = Attributes(as_path=(64512,), as_path_length=1, next_hop="192.0.2.9")
    assert verdict("10.128.0.0/20", path=elsewhere, in_tunnel=False) == Refusal.NEXT_HOP
    assert verdict("10.128.0.0/20", path=elsewhere) is None


def test_a_default_route_needs_to_be_asked_for() -> None:
    policy = Policy(allow_default_route=True)
    assert verdict("0.0.0.0/0", policy) is None
    assert verdict("0.0.0.0/0", Policy(allow_default_route=True, deny=(rule("0.0.0.0/0", 0, 0),))) == Refusal.DENIED


def test_rules_match_by_prefix_and_length_and_deny_wins() -> None:
    policy = Policy(allow=(rule("10.0.0.0/8", 16, 24),), deny=(rule("10.66.0.0/16", 16, 32),))
    assert verdict("10.128.0.0/20", policy) is None
    assert verdict("10.128.0.0/25", policy) == Refusal.NOT_ALLOWED
    assert verdict("172.16.0.0/16", policy) == Refusal.NOT_ALLOWED
    assert verdict("10.66.1.0/24", policy) == Refusal.DENIED


def test_no_rule_lets_an_own_prefix_in() -> None:
    assert verdict("10.10.0.0/16", Policy(allow=(rule("10.10.0.0/16", 16, 16),))) == Refusal.OWN_PREFIX


def test_export_policy() -> None:
    pods = px.parse("10.10.0.0/24")
    assert may_export(Policy(), pods)
    assert not may_export(Policy(deny=(rule("10.10.0.0/16", 16, 32),)), pods)
    assert not may_export(Policy(allow=(rule("10.20.0.0/16", 16, 32),)), pods)


def test_every_refusal_has_a_sentence() -> None:
    assert set(REFUSAL_TEXT) == set(Refusal)
