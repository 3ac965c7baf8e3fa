"""Other programs' chains at forward, from what nft and iptables-legacy-save print."""

import json
from typing import Any

from ncgd.drivers.nftables import forward_chains, legacy_filter
from ncgd.model import prefix as px
from ncgd.model.filter import Condition, Fate

LEGACY = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:588]
:DOCKER-USER - [0:0]
-A INPUT -j DROP
-A FORWARD -m comment --comment "first the user's" -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 10.10.0.0/24 ! -d 10.0.0.0/8 -i cali+ -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -p tcp -j LOG
-A DOCKER-USER -j RETURN
COMMIT
"""


def listing(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"nftables": [{"metainfo": {}}, *entries]}).encode()


def base(table: str, family: str = "ip", **more: Any) -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": "FORWARD", "hook": "forward", "prio": 0, **more}}


def matched(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def test_base_chains_of_others_are_found_and_ours_are_not() -> None:
    chains = listing(
        base("filter"), base("ncgd"), base("ncgd_guard"), base("bridge", "bridge"), base("x", hook="input")
    )
    assert [each["table"] for each in forward_chains.bases(chains)] == ["filter"]


def test_a_chain_of_iptables_nft() -> None:
    rules = [
        [{"jump": {"target": "DOCKER-USER"}}],
        [
            matched({"meta": {"key": "oifname"}}, "docker0"),
            matched({"ct": {"key": "state"}}, ["established", "related"], "in"),
            {"counter": {}},
            {"accept": None},
        ],
        [
            matched({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.10.0.0", "len": 24}}),
            matched({"payload": {"protocol": "ip", "field": "daddr"}}, "@known"),
            {"xt": {"type": "target", "name": "REJECT"}},
        ],
    ]
    entries = [{"rule": {"chain": "FORWARD", "expr": each}} for each in rules]
    chain = forward_chains.chain(listing(base("filter", policy="drop"), *entries), "FORWARD")
    assert (chain.table, chain.version, chain.priority, chain.drops_rest) == ("iptables-nft ip filter", 4, 0, True)
    jump, accept, reject = chain.rules
    assert (jump.fate, jump.chain) == (Fate.JUMP, "DOCKER-USER")
    assert accept.fate is Fate.ACCEPT
    assert accept.conditions == (
        Condition(field="oif", values=("docker0",)),
        Condition(field="state", values=("established", "related")),
    )
    assert not accept.is_conditional
    assert reject.fate is Fate.DROP
    assert reject.conditions == (Condition(field="source", values=(px.parse("10.10.0.0/24"),)),)
    assert reject.is_conditional, "nobody knows what is in a named set"


def test_a_chain_of_iptables_legacy() -> None:
    forward, user = legacy_filter.chains(LEGACY, 4)
    assert (forward.name, forward.drops_rest, forward.priority) == ("FORWARD", True, 0)
    assert (user.name, user.drops_rest, user.priority) == ("DOCKER-USER", False, None)
    jump, accept, reject, log = forward.rules
    assert (jump.fate, jump.chain, jump.is_conditional) == (Fate.JUMP, "DOCKER-USER", False)
    assert accept.conditions == (
        Condition(field="oif", values=("docker0",)),
        Condition(field="state", values=("related", "established")),
    )
    assert reject.fate is Fate.DROP
    assert reject.conditions == (
        Condition(field="source", values=(px.parse("10.10.0.0/24"),)),
        Condition(field="destination", values=(px.parse("10.0.0.0/8"),), is_negated=True),
        Condition(field="iif", values=("cali*",)),
    )
    assert (log.fate, log.is_conditional) == (Fate.NOTHING, True)
    assert [rule.fate for rule in user.rules] == [Fate.RETURN]
