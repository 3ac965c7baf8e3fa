"""Other programs' chains, from what nft and iptables-legacy-save print."""

import json
from typing import Any

from ncgd.drivers.nftables import others_json, others_text
from ncgd.model import prefix as px
from ncgd.model.chains import FORWARD, POSTROUTING, Condition, Fate

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


LEGACY_NAT = """\
*nat
:POSTROUTING ACCEPT [7:588]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -g KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -s 10.0.0.1/255.0.0.255 -j NETMAP --to 10.9.0.0/24
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING ! -d 10.1.0.0/16 -j MASQUERADE --random-fully
COMMIT
"""


def listing(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"nftables": [{"metainfo": {}}, *entries]}).encode()


def base(table: str, family: str = "ip", **more: Any) -> dict[str, Any]:
    return {
        "chain": {
            "family": family,
            "table": table,
            "name": "FORWARD",
            "type": "filter",
            "hook": "forward",
            "prio": 0,
            **more,
        }
    }


def matched(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def test_base_chains_of_others_are_found_and_ours_are_not() -> None:
    chains = listing(
        base("filter"), base("ncgd"), base("ncgd_guard"), base("bridge", "bridge"), base("x", hook="input")
    )
    assert [each["table"] for each in others_json.bases(chains, FORWARD)] == ["filter"]


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
    chain = others_json.chain(listing(base("filter", policy="drop"), *entries), "FORWARD")
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
    forward, user = others_text.chains(LEGACY, 4, FORWARD)
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


MARKED = Condition(field="mark", values=("0x4000",), is_negated=True)
ELSEWHERE = Condition(field="destination", values=(px.parse("10.1.0.0/16"),), is_negated=True)


def test_a_nat_chain_of_nftables() -> None:
    daddr = {"payload": {"protocol": "ip", "field": "daddr"}}
    rules = [
        [matched({"&": [{"meta": {"key": "mark"}}, 0x4000]}, 0x4000, "!="), {"return": None}],
        [{"xt": {"type": "match", "name": "addrtype"}}, {"xt": {"type": "target", "name": "MASQUERADE"}}],
        [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 0x4000}}],
        [matched(daddr, {"prefix": {"addr": "10.1.0.0", "len": 16}}, "!="), {"masquerade": None}],
        [{"snat": {"addr": "192.0.2.1"}}],
    ]
    shown = {"family": "inet", "table": "cni", "name": "post", "type": "nat", "hook": "postrouting", "prio": 100}
    entries = [{"rule": {"chain": "post", "expr": each}} for each in rules]
    assert [each["table"] for each in others_json.bases(listing({"chain": shown}), POSTROUTING)] == ["cni"]
    assert others_json.bases(listing({"chain": shown}), FORWARD) == []
    chain = others_json.chain(listing({"chain": shown}, *entries), "post")
    assert (chain.table, chain.version, chain.priority) == ("nftables inet cni", None, 100)
    assert [rule.fate for rule in chain.rules] == [
        Fate.RETURN,
        Fate.TRANSLATE,
        Fate.NOTHING,
        Fate.TRANSLATE,
        Fate.TRANSLATE,
    ]
    assert [rule.conditions for rule in chain.rules] == [(MARKED,), (), (), (ELSEWHERE,), ()]
    assert [rule.is_conditional for rule in chain.rules] == [False, True, False, False, False]
    assert chain.rules[3].text == "ip daddr != 10.1.0.0/16 masquerade"


def test_the_nat_table_of_iptables_legacy() -> None:
    post, kube = others_text.chains(LEGACY_NAT, 4, POSTROUTING)
    assert (post.table, post.name, post.priority) == ("iptables-legacy nat", "POSTROUTING", 100)
    assert [(rule.fate, rule.chain) for rule in post.rules] == [(Fate.GOTO, "KUBE-POSTROUTING")]
    assert [rule.fate for rule in kube.rules] == [Fate.RETURN, Fate.TRANSLATE, Fate.NOTHING, Fate.TRANSLATE]
    assert [rule.conditions for rule in kube.rules] == [(MARKED,), (), (), (ELSEWHERE,)]
    assert [rule.is_conditional for rule in kube.rules] == [False, True, False, False], "a mask that is no prefix's"
