"""What an earlier ncgd has left on disk is protected before any session is up, and for as long as it should be."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from ncgd.decision.explain import explain
from ncgd.decision.protection import SAVE_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.flaw import Flaw
from ncgd.model.spec import Intent, LeakProtection, Policy, PrefixRule
from ncgd.plan.plan import RouteStep, Step
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site

OTHER = px.parse("10.200.0.0/16")


def explained(site: Site) -> str:
    """What ``ncgctl explain`` says of an address of the VPC."""
    assert site.desired is not None
    return "\n".join(explain("10.128.0.9", site.world, site.desired) or ())


def test_after_a_reboot_all_is_protected_before_any_program_answers() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(site.intent)
    site.one_pass()
    assert site.protects(VPC) == (True, True)
    assert "routes" in site.plans[-1].held, "nothing else is written yet"
    assert not site.routes
    leak = site.report().leak
    assert (leak.guarded, leak.remembered, leak.waits_for) == (1, 1, ("peer-1", "peer-2"))
    assert "waits for peer-1, peer-2" in explained(site)
    assert "guarded: until then" in explained(site)
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-1", "ncg-tunnel-2"}
    assert site.protects(VPC) == (True, True)
    assert site.report().leak.remembered == 0


def test_resources_in_files_are_there_at_once_and_are_waited_for() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(None)
    site.settle()
    assert site.protects(VPC) == (False, False)
    assert site.plans[-1].held["guard"] == "the resources have not been read yet"
    site.tell(ev.IntentRead(intent=site.intent))
    site.settle()
    assert site.protects(VPC) == (True, True)


def test_after_a_reboot_nothing_is_forwarded_before_all_is_protected() -> None:
    many = [px.make(4, (10 << 24) + (1 << 22) + (number << 8), 24) for number in range(25_000)]
    site = healthy_site()
    site.disk |= set(many)
    site.reboot(site.intent)
    while not (is_on := "net.ipv4.ip_forward" in site.world.written.get("sysctls", {})):
        site.one_pass()
    assert is_on
    assert site.guard >= site.disk
    assert site.backstops >= site.disk


def test_a_restart_touches_nothing_of_what_protects_a_full_table() -> None:
    many = [px.make(4, (10 << 24) + (1 << 22) + (number << 8), 24) for number in range(25_000)]
    private = Policy(deny=(PrefixRule(prefix=px.parse("172.16.0.0/12"), ge=12, le=32),))
    peers = {f"peer-{n}": peer(n, max_prefixes=50_000, import_policy=private) for n in (1, 2)}
    site = healthy_site(replace(ha_vpn(), peers=peers))
    for name in site.intent.peers:
        site.peer_sends(name, *many)
    site.settle()
    site.saved()
    refused = [px.make(4, (172 << 24) + (16 << 16) + (number << 4), 28) for number in range(40_000)]
    site.disk |= set(refused)
    before = set(site.backstops), set(site.guard)
    site.routes.clear()  # its tunnels' devices went while nobody looked
    first = len(site.plans)
    site.start(site.intent, in_a_hurry=True)
    site.settle()
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert (site.backstops, site.guard) == before
    steps = [step for plan in site.plans[first:] for step in plan.steps]
    assert not [step for step in steps if isinstance(step, RouteStep) and step.change.backstops]
    assert not [step for step in steps if isinstance(step, Step) and step.table == "guard"]


def test_without_nft_the_gateway_forwards_all_the_same() -> None:
    site = healthy_site()
    site.saved()
    site.failing["guard"] = "cannot run nft"
    site.reboot(site.intent)
    site.settle()
    assert "net.ipv4.ip_forward" in site.world.written["sysctls"]


def test_what_is_remembered_goes_once_every_peer_has_spoken_and_not_before() -> None:
    site = healthy_site()
    site.peer_sends("peer-2", OTHER)
    site.settle()
    site.saved()
    site.unreachable.add("tunnel-2")
    del site.sent["peer-2"][OTHER]
    site.reboot(site.intent)
    site.charon_answers()
    site.speaker_answers()
    site.after(7200)
    assert site.protects(OTHER) == (True, True)
    assert site.report().leak.waits_for == ("peer-2",)
    site.unreachable.clear()
    site.after(20)
    site.after(20)
    assert site.protects(OTHER) == (False, False)
    assert site.protects(VPC) == (True, True)
    assert site.saved() == {VPC}


def test_what_is_remembered_goes_with_the_peer_that_the_user_removes() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(replace(site.intent, peers={}))
    site.settle()
    assert (site.backstops, site.guard) == (set(), set())
    assert site.saved() == set()


def test_resources_that_cannot_be_read_let_nothing_go() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(Intent(is_complete=False))
    site.after(7200)
    assert site.protects(VPC) == (True, True)
    assert site.saved() == {VPC}


DENIED = Policy(deny=(PrefixRule(prefix=VPC, ge=20, le=32),))


@pytest.mark.parametrize(
    "refusing",
    [
        ha_vpn(advertised_prefixes=(px.parse("10.128.0.0/24"),)),
        ha_vpn(import_policy=DENIED),
        replace(ha_vpn(), tunnels={f"tunnel-{n}": tunnel(n, remote_address=IPv4Address("10.128.0.9")) for n in (1, 2)}),
    ],
    ids=["a network of ours", "denied", "holds a tunnel's public address"],
)
def test_what_would_be_refused_now_is_not_protected(refusing: Intent) -> None:
    site = healthy_site()
    site.saved()
    site.reboot(refusing)
    site.settle()
    assert site.protects(VPC) == (False, False)
    assert "not guarded: the import policy would refuse it now" in explained(site)
    assert site.disk == {VPC}, "refused perhaps by a mistake, which is mended in a minute"
    site.tell(ev.IntentRead(intent=ha_vpn()))
    site.settle()
    assert site.protects(VPC) == (True, True)


def test_a_network_that_this_machine_joins_is_protected_no_more() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(site.intent)
    site.settle()
    assert site.protects(VPC) == (True, True)
    lan = replace(site.interfaces["eth0"], name="eth1", index=3, addresses=("10.128.0.5/24",))
    site.interfaces["eth1"] = lan
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    assert site.protects(VPC) == (False, False)


def test_off_forgets_what_is_on_disk() -> None:
    site = healthy_site()
    site.saved()
    site.reboot(ha_vpn(leak_protection=LeakProtection.OFF))
    site.settle()
    assert (site.backstops, site.guard) == (set(), set())
    assert site.saved() == set()


def test_a_session_that_is_old_when_we_start_counts_only_once_its_table_has_come() -> None:
    site = healthy_site()
    site.saved()
    site.start(site.intent)
    site.charon_answers()
    site.tell(ev.SpeakerUp(version="5.0.15", neighbors=frozenset(site.neighbors)))
    for name in ("peer-1", "peer-2"):
        site.tell(ev.SessionUp(peer=name, age_seconds=3600))
    site.after(1)
    assert site.world.synced == frozenset()
    assert site.world.protection.memory == {VPC}


def test_a_flaw_of_the_file_is_told_and_the_kernel_remembers_instead() -> None:
    site = healthy_site()
    site.disk.clear()
    site.flaw = Flaw(reason="StateDamaged", message="it is damaged", hint="it is kept")
    site.start(site.intent)
    site.settle()
    assert site.protects(VPC) == (True, True)
    assert site.report().leak.remembered == 1
    problem = next(problem for problem in site.report().problems if problem.reason == "StateDamaged")
    assert (problem.object, problem.is_error) == ("state", False)
    assert site.saved() == {VPC}


def test_a_thousand_changes_a_second_are_one_write_a_second() -> None:
    site = healthy_site()
    site.saved()
    before = len(site.plans)
    began = site.now
    for number in range(300):
        site.peer_sends("peer-1", px.make(4, (10 << 24) + (64 << 16) + number * 256, 24))
        site.one_pass()
    writes = [step for plan in site.plans[before:] for step in plan.steps if getattr(step, "table", "") == "memory"]
    assert len(writes) <= 1 + (site.now - began) / SAVE_SECONDS
    site.after(2 * SAVE_SECONDS)
    assert len(site.disk) == 301


def test_a_file_that_cannot_be_written_is_told_and_tried_again() -> None:
    site = healthy_site()
    site.failing["memory"] = "cannot write /var/lib/ncgd/guarded-prefixes: No space left on device"
    site.peer_sends("peer-1", OTHER)
    site.after(2 * SAVE_SECONDS)
    site.after(20)
    problem = next(problem for problem in site.report().problems)
    assert (problem.reason, problem.is_error) == ("StateNotWritten", True)
    assert "No space left" in problem.message
    assert site.carries(OTHER) == {"ncg-tunnel-1"}
    site.failing.clear()
    site.after(20)
    assert site.disk == {VPC, OTHER}
    assert not site.report().problems
