"""The timeline of whole lives: what somebody who was not there finds, in order, with reasons and without noise."""

import re
from dataclasses import replace
from ipaddress import ip_address

from ncgd.decision.conditions import with_conditions
from ncgd.decision.timeline import MOST_KEPT, ONGOING_SECONDS, Timeline
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.happening import Entry, Happening
from ncgd.model.ike import IkeFailure
from ncgd.model.report import Report
from ncgd.model.role import Part, Role
from ncgd.model.spec import Finding, Intent, ObjectRef
from tests.scenarios.resources import tunnel
from tests.scenarios.site import Site, ha_vpn, healthy_site

TUNNEL = ObjectRef(kind="OverlayVPNTunnel", namespace="kube-system", name="tunnel-1")
GATEWAY = "NetworkConnectivityGateway/kube-system/default"


class Watched:
    """A site, and the timeline that its passes are shown to."""

    def __init__(self, site: Site) -> None:
        self.site, self.timeline = site, Timeline()
        self.before: Report | None = None
        self.look()

    def look(self) -> list[tuple[str, str]]:
        """Object and reason of what is new."""
        return [(each.happening.object.rpartition("/")[2], each.happening.reason) for each in self.entries()]

    def entries(self) -> list[Entry]:
        world = self.site.world
        report = with_conditions(self.site.report(), world.intent or Intent(), self.before, "t")
        self.before = report
        return self.timeline.observe(world, report, lambda: f"at {self.site.now:g}", version="9")


def test_a_start_is_one_entry_that_says_how_things_stand() -> None:
    watched = Watched(healthy_site())
    (entry,) = watched.timeline.newest_first()
    assert (entry.number, entry.happening.object, entry.happening.reason) == (1, GATEWAY, "Started")
    assert "ncgd 9 has started and finds: Healthy; 2 of 2 tunnels usable" in entry.happening.message
    assert watched.look() == [], "nothing has happened"


def test_nothing_is_said_of_a_start_that_has_not_read_everything() -> None:
    site = Site(ha_vpn())
    watched = Watched(site)
    assert not list(watched.timeline.newest_first()), "what seems down may only not have been read yet"
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    assert watched.look() == [("default", "Started")]


def test_a_lost_tunnel_is_told_with_its_cause_once_and_so_is_its_return() -> None:
    watched = Watched(healthy_site())
    site = watched.site
    site.lose_sa("tunnel-1")
    site.settle()
    (down, failover, degraded) = watched.entries()
    assert (down.happening.object, down.happening.reason) == (str(TUNNEL), "TunnelDown")
    assert down.happening.message.startswith("SaDown: ")
    assert "UDP 500 and 4500" in down.happening.message, "and what to do"
    assert (failover.happening.object, failover.happening.reason) == ("OverlayBGPPeer/kube-system/peer-1", "Failover")
    assert re.fullmatch(r"SaDown; \d+ ms later its traffic went through peer-2", failover.happening.message)
    assert degraded.happening.reason == "GatewayDegraded"
    assert degraded.happening.message.startswith("1 of 2 tunnels usable")
    assert "UDP" not in degraded.happening.message, "the cause is told once"
    for _ in range(3):  # each attempt has another outcome, the outage is one
        failure = IkeFailure(tunnel="tunnel-1", reason="PeerUnreachable", message="no answer")
        site.tell(ev.IkeFailed(failure=failure))
        site.after(20)
        watched.look()
    told = [each.happening.reason for each in watched.timeline.newest_first()]
    assert told.count("PeerUnreachable") == 1
    site.unreachable.clear()
    site.after(60)
    assert watched.look() == [("tunnel-1", "TunnelUp"), ("default", "GatewayHealthy")]
    site.lose_sa("tunnel-1")
    site.settle()
    assert ("tunnel-1", "TunnelDown") in watched.look(), "the next outage is told anew"


def test_a_problem_without_an_outage_is_told_when_it_comes_and_when_it_goes() -> None:
    watched = Watched(healthy_site())
    watched.site.peer_sends("peer-2", px.parse("0.0.0.0/0"))
    watched.site.settle()
    assert watched.look() == [("peer-2", "DefaultRoute")]
    watched.site.tell(ev.PathsWithdrawn(peer="peer-2", prefixes=(px.parse("0.0.0.0/0"),)))
    watched.site.settle()
    assert watched.look() == [("peer-2", "Solved")]


def test_a_problem_is_told_each_time_though_another_of_the_same_object_stays() -> None:
    watched = Watched(healthy_site())
    site = watched.site
    site.peer_sends("peer-2", px.parse("0.0.0.0/0"))
    site.settle()
    watched.look()
    for _ in range(2):
        site.peer_sends("peer-2", px.parse("198.51.100.0/24"))
        site.settle()
        assert watched.look() == [("peer-2", "TunnelEndpoint")]
        site.tell(ev.PathsWithdrawn(peer="peer-2", prefixes=(px.parse("198.51.100.0/24"),)))
        site.settle()
        (solved,) = watched.entries()
        assert solved.happening.message == "is no problem any more: TunnelEndpoint"


def test_an_edit_names_objects_and_fields_and_never_values() -> None:
    gateway = ha_vpn().gateway.ref
    before = replace(ha_vpn(), manifests={TUNNEL: {"ikeKey": {"name": "old"}, "peer": {"publicIP": "a"}}})
    watched = Watched(healthy_site(before))
    changed = replace(tunnel(1), mtu=1300, generation=2)
    after = replace(
        before,
        tunnels={"tunnel-1": changed},
        peers={"peer-1": before.peers["peer-1"]},
        manifests={TUNNEL: {"ikeKey": "plain-text", "peer": {"publicIP": "b"}, "mtu": 1300}, gateway: {"mode": "x"}},
    )
    watched.site.tell(ev.IntentRead(intent=after))
    entries = [each for each in watched.entries() if each.happening.reason in {"Added", "Changed", "Removed"}]
    told = {each.happening.object: each.happening.message for each in entries}
    assert told == {
        str(TUNNEL): "is in force with another spec.ikeKey, spec.peer.publicIP, spec.mtu",
        "OverlayVPNTunnel/kube-system/tunnel-2": "is not in force any more",
        "OverlayBGPPeer/kube-system/peer-2": "is not in force any more",
    }
    assert "plain-text" not in str(list(watched.timeline.newest_first()))


def test_a_refused_edit_is_told() -> None:
    watched = Watched(healthy_site())
    finding = Finding(reason="Wrong", where=str(TUNNEL), field="spec.mtu", message="is odd", ref=TUNNEL)
    watched.site.tell(ev.IntentRead(intent=replace(ha_vpn(), findings=(finding,))))
    watched.site.settle()
    assert ("tunnel-1", "Refused") in watched.look()


def test_who_is_the_gateway_is_told_on_every_node_and_nothing_of_tunnels_elsewhere() -> None:
    watched = Watched(healthy_site())
    site = watched.site
    second = Role(part=Part.STANDBY, holder="node-2", holder_address=ip_address("10.0.0.2"), epoch=2, message="second")
    site.tell(ev.RoleChanged(role=replace(second, part=Part.ACTIVE, holder="node-1", epoch=1)))
    watched.look()
    site.tell(ev.RoleChanged(role=second))
    site.after(2)
    assert ("default", "StoodDown") in (told := watched.look())
    assert not {"TunnelDown", "SessionDown"} & {reason for _, reason in told}, "they are another node's now"
    assert ("default", "GatewayStandby") not in told, "that is said by who stood down"
    site.tell(ev.RoleChanged(role=replace(second, holder="node-3", epoch=3)))
    site.after(2)
    assert ("default", "GatewayMoved") in watched.look()
    site.tell(ev.RoleChanged(role=replace(second, holder="", epoch=3)))
    site.after(2)
    assert ("default", "GatewayVacant") in watched.look()


def test_what_goes_on_is_one_entry_with_a_count_until_it_pauses() -> None:
    watched = Watched(healthy_site())
    site = watched.site
    for dropped in (5, 9, 20):
        site.tell(ev.GuardCounted(packets=dropped))
        site.after(1)
        watched.look()
    entry = next(watched.timeline.newest_first())
    assert (entry.happening.reason, entry.number, entry.count) == ("LeakPrevented", 2, 3)
    assert entry.time < entry.last_time
    assert "20 packets" in entry.happening.message
    site.after(ONGOING_SECONDS)
    site.tell(ev.GuardCounted(packets=21))
    watched.look()
    assert [each.count for each in watched.timeline.newest_first()][:2] == [1, 3]


def flap(watched: Watched) -> None:
    watched.site.lose_sa("tunnel-1")
    watched.site.settle()
    watched.look()
    watched.site.unreachable.clear()
    for _ in range(20):
        watched.site.after(1)
        watched.look()


def test_a_tunnel_that_flaps_does_not_fill_it_and_its_last_state_comes_last() -> None:
    watched = Watched(healthy_site())
    for _ in range(10):
        flap(watched)
    entries = list(watched.timeline.newest_first())
    assert len(entries) == 1 + 3 * 5
    assert [(each.happening.reason, each.count) for each in entries[:6]] == [
        ("GatewayHealthy", 8),
        ("TunnelUp", 8),
        ("GatewayDegraded", 8),
        ("Failover", 8),
        ("TunnelDown", 8),
        ("GatewayHealthy", 1),
    ]
    assert entries[0].number == 1 + 10 * 5, "who asks for what is new gets it"
    assert entries[4].time == "at 40.55", "of the first that is counted here"
    watched.site.after(ONGOING_SECONDS)
    flap(watched)
    assert [each.count for each in watched.timeline.newest_first()][:6] == [1, 1, 1, 1, 1, 8], "that is another story"


def test_what_says_something_else_each_time_is_told_each_time() -> None:
    timeline = Timeline()
    for field in ("mtu", "peer", "ikeKey", "mtu", "peer", "ikeKey") * 2:
        happening = Happening(object="o", reason="Changed", message=f"is in force with another spec.{field}")
        timeline.add(happening, "t", 0.0)
    kept = [each.happening.message.rpartition(".")[2] for each in timeline.newest_first()]
    assert kept[:3] == ["ikeKey", "peer", "mtu"]
    assert len(kept) == 9


def test_it_is_bounded_and_ordered_by_number_whatever_the_clock_says() -> None:
    timeline = Timeline()
    for number in range(MOST_KEPT + 50):
        text = "x" * 5000
        timeline.add(Happening(object="o", reason="R", message=text), f"{9999 - number}", ONGOING_SECONDS * number)
    numbers = [each.number for each in timeline.newest_first()]
    assert numbers == list(range(MOST_KEPT + 50, 50, -1)), "the clock ran backwards"
    assert max(len(each.happening.message) for each in timeline.newest_first()) == 1024


def test_the_next_ncgd_goes_on_with_the_numbers() -> None:
    first = Watched(healthy_site())
    first.site.lose_sa("tunnel-1")
    first.look()
    left = list(first.timeline.newest_first())[::-1]
    timeline = Timeline(left)
    goodbye = timeline.say_goodbye(first.site.world, "later")
    assert (goodbye.number, goodbye.happening.reason) == (left[-1].number + 1, "Stopped")
    crash = timeline.say_goodbye(first.site.world, "later", "exabgp")
    assert (crash.happening.reason, crash.happening.is_warning) == ("Crashed", True)
    assert "its job exabgp failed" in crash.happening.message


def test_a_restart_that_nobody_else_notices_is_one_entry_however_slowly_things_are_read() -> None:
    watched = Watched(healthy_site())
    site, told = watched.site, []
    site.start(site.intent, in_a_hurry=True)
    watched.timeline, watched.before = Timeline(), None
    for happens in (lambda: None, site.charon_answers, site.speaker_answers, *(lambda: None,) * 5):
        happens()
        told += watched.entries()
        site.one_pass()
        told += watched.entries()
    (entry,) = told
    assert entry.happening.message.startswith("ncgd 9 has started and finds: Healthy; 2 of 2 tunnels usable")
