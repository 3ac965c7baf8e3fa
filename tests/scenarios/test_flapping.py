"""Prefixes that come and go faster than the kernel takes them."""

from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.delta import Outcome
from tests.scenarios.site import VPC, Site, attributes, ha_vpn

FLAPPING = px.parse("10.200.0.0/26")


class Busy(Site):
    """Its kernel takes routes at once and says so later."""

    unsaid: list[ev.Event] | None = None

    def _tell(self, *events: ev.Event) -> None:
        if self.unsaid is not None:
            self.unsaid += [event for event in events if isinstance(event, ev.RoutesWritten)]
            events = tuple(event for event in events if not isinstance(event, ev.RoutesWritten))
        super()._tell(*events)


def busy_site() -> Busy:
    """Healthy, with the VPC's prefix through both tunnels."""
    site = Busy(ha_vpn())
    for name in site.intent.peers:
        site.sent[name] = {VPC: attributes()}
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    return site


def test_a_group_stays_while_routes_are_being_led_to_it() -> None:
    """The kernel removes the routes of a group that goes, without a word: packets were dropped until they were read."""
    site = busy_site()
    before = dict(site.nexthops)
    site.unsaid = []
    site.peer_sends("peer-1", FLAPPING)
    site.one_pass()
    group = site.routes[FLAPPING]
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(FLAPPING,)))
    site.one_pass()
    site.one_pass()
    assert group in site.nexthops
    said, site.unsaid = site.unsaid, None
    site.tell(*said)
    site.settle()
    assert FLAPPING not in site.routes
    assert site.nexthops == before


def test_nothing_protects_what_was_withdrawn_before_it_failed_to_be_installed() -> None:
    site = busy_site()
    site.unsaid = []
    site.peer_sends("peer-1", FLAPPING)
    site.one_pass()
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(FLAPPING,)))
    site.one_pass()
    assert site.protects(FLAPPING) == (True, True), "its route may be there already"
    (said,), site.unsaid = site.unsaid, None
    assert isinstance(said, ev.RoutesWritten)
    del site.routes[FLAPPING]
    site.backstops.remove(FLAPPING)
    site.tell(ev.RoutesWritten(change=said.change, outcome=Outcome(failed={FLAPPING: "no room"})))
    site.settle()
    assert site.protects(FLAPPING) == (False, False)
