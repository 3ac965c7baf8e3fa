"""ip-masq-agent's configuration: what it means, and entries in and out of it with the rest as it was."""

import json
from ipaddress import IPv4Network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ncgd.decision.agent_share import fitted, shared
from ncgd.model import prefix as px
from ncgd.resources.agent_config import DEFAULTS, AgentConfig, ConfigInvalid, ConfigUneditable, parse

VPC = px.parse("203.0.113.0/24")
OTHER = px.parse("198.51.100.0/24")
BLOCK = """# ours since 2019
nonMasqueradeCIDRs:
  # the data centre
  - 10.0.0.0/8   # all of it
  - '192.168.7.0/24'

resyncInterval: 30s  # quick
masqLinkLocal: true
"""
TEXTS = {
    "block": BLOCK,
    "block at the end": "resyncInterval: 60s\nnonMasqueradeCIDRs:\n- 10.0.0.0/8",
    "flow": "nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\nresyncInterval: 60s\n",
    "empty flow": "nonMasqueradeCIDRs: []\n",
    "json": '{"nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqLinkLocal": true}',
    "json on lines": '{\n  "nonMasqueradeCIDRs": [\n    "10.0.0.0/8",\n    "172.16.0.0/12"\n  ]}',
    "no list": "resyncInterval: 60s\n",
    "no list in json": '{"masqLinkLocal": false}',
    "empty json": "{}",
    "nothing": "",
    "only a comment": "# to be filled in\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_ours_come_and_go_and_the_rest_is_as_it_was(text: str) -> None:
    before = parse(text)
    one = shared(text, (), {VPC})
    both = shared(one.text, one.ours, {VPC, OTHER})
    assert parse(one.text).non_masquerade == (*before.non_masquerade, "203.0.113.0/24")
    assert set(parse(both.text).non_masquerade) == {*before.non_masquerade, "203.0.113.0/24", "198.51.100.0/24"}
    for line in text.splitlines():
        if "nonMasq" not in line and "{" not in line and '"' not in line:
            assert line in both.text.splitlines(), "a line that has nothing to do with it"
    other = shared(both.text, both.ours, {OTHER})
    assert parse(other.text).non_masquerade == (*before.non_masquerade, "198.51.100.0/24")
    again = shared(other.text, other.ours, {OTHER})
    assert (again.text, again.ours) == (other.text, other.ours)
    none = shared(other.text, other.ours, set())
    assert (none.ours, parse(none.text)) == ((), before)
    assert none.text.rstrip("\n") == text.rstrip("\n")


def test_null_is_an_empty_list() -> None:
    one = shared("nonMasqueradeCIDRs:\nmasqLinkLocal: true\n", (), {VPC})
    assert yaml.safe_load(one.text) == {"nonMasqueradeCIDRs": ["203.0.113.0/24"], "masqLinkLocal": True}
    assert parse(shared(one.text, one.ours, set()).text).non_masquerade == ()


def test_what_the_user_has_written_is_the_users_also_when_it_is_learned() -> None:
    text = "nonMasqueradeCIDRs: [203.0.113.0/24]\n"
    assert shared(text, (), {VPC, px.parse("203.0.113.128/25")}) == shared(text, (), set())
    assert shared(text, (), {VPC}).text == text


def test_a_user_who_empties_the_list_meanwhile_leaves_it_empty() -> None:
    one = shared(TEXTS["flow"], (), {VPC})
    emptied = "nonMasqueradeCIDRs:\n- 203.0.113.0/24\nresyncInterval: 60s\n"
    assert shared(emptied, one.ours, set()).text == "nonMasqueradeCIDRs: []\nresyncInterval: 60s\n"


def test_who_adds_to_a_list_that_we_have_made_keeps_the_defaults_when_ours_go() -> None:
    one = shared("masqLinkLocal: true\n", (), {VPC})
    more = one.text + "- 198.18.0.0/15\n"
    both = shared(more, one.ours, {VPC})
    none = shared(both.text, both.ours, set())
    assert (none.ours, parse(none.text).non_masquerade) == ((), (*DEFAULTS, "198.18.0.0/15"))
    learned = shared("nonMasqueradeCIDRs: [198.18.0.0/15]\n", (), {px.parse(DEFAULTS[0])})
    assert parse(shared(learned.text, learned.ours, set()).text).non_masquerade == ("198.18.0.0/15",), (
        "no default there"
    )


@pytest.mark.parametrize(
    "text",
    [
        "  resyncInterval: 60s\n",
        "resyncInterval: 60s\n...\n",
        "null\n",
        "users: &them [10.0.0.0/8]\nnonMasqueradeCIDRs: *them\n",
        "one: &one 10.0.0.0/8\nnonMasqueradeCIDRs:\n- *one\n",
        "all: &all {nonMasqueradeCIDRs: [10.0.0.0/8]}\n<<: *all\n",
        "nonMasqueradeCIDRs: [10.0.0.0/8]\nnonMasqueradeCIDRs: [172.16.0.0/12]\n",
    ],
)
def test_what_cannot_be_changed_without_changing_more_is_left_as_it_is(text: str) -> None:
    parse(text)
    with pytest.raises(ConfigUneditable):
        shared(text, (), {VPC})
    assert shared(text, (), set()).text == text


def test_all_of_ours_go_also_where_one_stands_there_twice() -> None:
    text = "nonMasqueradeCIDRs: [203.0.113.0/24, 172.16.0.0/12, 203.0.113.0/24]\n"
    assert shared(text, ["203.0.113.0/24"], {VPC}).text == text
    assert shared(text, ["203.0.113.0/24"], set()).text == "nonMasqueradeCIDRs: [172.16.0.0/12]\n"


def test_ipv6_only_where_the_agent_takes_it() -> None:
    v6 = px.parse("2001:db8:128::/48")
    assert shared(BLOCK, (), {v6}).text == BLOCK
    one = shared("nonMasqueradeCIDRs: ['fd00::/8']\n", (), {v6})
    assert parse(one.text).non_masquerade == ("fd00::/8", "2001:db8:128::/48")


def test_the_limit_is_kept_by_joining_what_lies_close_together() -> None:
    users = [f"192.0.{number}.0/24" for number in range(60)]
    text = json.dumps({"nonMasqueradeCIDRs": users})
    learned = {px.parse(f"10.{second}.{third}.0/24") for second in (1, 2, 3) for third in (0, 2, 4, 8)}
    share = shared(text, (), learned)
    config = parse(share.text)
    assert len(config.non_masquerade) == 64
    assert (share.joined, share.left_out) == (len(learned), 0) or share.joined > 0
    ours = [IPv4Network(entry) for entry in share.ours]
    assert all(any(IPv4Network(px.text(each)).subnet_of(whole) for whole in ours) for each in learned)
    assert all(whole.prefixlen >= 16 for whole in ours), "never wider than it takes"


def test_public_prefixes_are_never_joined_and_some_are_left_out() -> None:
    learned = {px.parse(f"203.0.{number}.0/24") for number in range(0, 20, 2)}
    share = shared("nonMasqueradeCIDRs: []\ncidrLimit: 4\n", (), learned)
    assert (len(share.ours), share.joined, share.left_out) == (4, 0, 6)
    full = shared("nonMasqueradeCIDRs: [10.0.0.0/8]\ncidrLimit: 1\n", (), learned)
    assert (full.ours, full.left_out, full.text) == ((), 10, "nonMasqueradeCIDRs: [10.0.0.0/8]\ncidrLimit: 1\n")


def test_a_user_who_adds_to_a_full_list_has_the_room_that_ours_took() -> None:
    learned = {px.parse(f"203.0.{number}.0/24") for number in range(0, 20, 2)}
    full = shared("cidrLimit: 4\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n", (), learned)
    more = full.text + "- 172.16.0.0/12\n"
    share = shared(more, full.ours, learned)
    assert (len(parse(share.text).non_masquerade), len(share.ours), share.left_out) == (4, 2, 8)
    assert parse(shared(more, full.ours, set()).text).non_masquerade == ("10.0.0.0/8", "172.16.0.0/12")
    many = more + "".join(f"- 192.168.{number}.0/24\n" for number in range(3))
    with pytest.raises(ConfigInvalid, match="5 entries"):
        shared(many, full.ours, learned)
    assert len(parse(shared(many.replace("Limit: 4", "Limit: 5"), full.ours, set()).text).non_masquerade) == 5
    assert "203.0." not in shared(many, full.ours, set()).text, "ours can be taken out of a list that is too long"


@given(st.sets(st.tuples(st.integers(0, 2**24 - 1), st.integers(12, 32)), max_size=200), st.integers(0, 64))
def test_what_fits_holds_all_that_is_private_as_long_as_there_is_room(rows: set[tuple[int, int]], room: int) -> None:
    prefixes = {px.make(4, (10 << 24) + address, length) for address, length in rows}
    kept = fitted(prefixes, room)
    assert len(kept) <= room
    if room:
        assert all(any(px.covers(whole, prefix) for whole in kept) for prefix in prefixes)
    if len(px.collapse(prefixes)) <= room:
        assert kept == px.collapse(prefixes)


def test_what_is_absent_has_the_agents_defaults() -> None:
    assert parse("") == AgentConfig() == parse("{}")
    assert AgentConfig().non_masquerade == DEFAULTS
    assert px.texts(AgentConfig().exempt) == [
        "10.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fe80::/10",
    ]
    given = parse(
        "nonMasqueradeCIDRs: []\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true\nresyncInterval: 1m30s\nmore: 1\n"
    )
    assert (given.exempt, given.resync_seconds) == ((), 90.0)


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "a: [",
        "a: 2001-99-99",
        "nonMasqueradeCIDRs: 10.0.0.0/8",
        "nonMasqueradeCIDRs: [10.0.0.1/8]",
        "nonMasqueradeCIDRs: [10.0.0.0]",
        "nonMasqueradeCIDRs: [7]",
        "masqLinkLocal: maybe",
        "resyncInterval: 60",
        "resyncInterval: soon",
        "cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]",
    ],
)
def test_what_the_agent_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        shared(text, (), {VPC})
