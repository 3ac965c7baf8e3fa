"""The wish turns while a write fails or is under way: nothing is held against what nobody wants any more."""

from ncgd.decision.protection import FORGET_SECONDS, SAVE_SECONDS
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.report import Health
from tests.scenarios.site import VPC, healthy_site

OTHER = px.parse("10.200.0.0/16")


def test_a_failed_file_of_what_nobody_wants_to_remember_any_more_is_no_problem() -> None:
    site = healthy_site()
    site.saved()
    site.failing["memory"] = "No space left on device"
    site.peer_sends("peer-1", OTHER)
    site.after(2 * SAVE_SECONDS)
    site.after(2 * SAVE_SECONDS)
    assert site.report().health == Health.DEGRADED
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)))
    site.after(0.1)
    site.failing.clear()
    for _ in range(10):
        site.after(20)
    assert site.report().problems == ()


def test_a_prefix_that_flaps_between_two_savings_does_not_end_them() -> None:
    site = healthy_site()
    site.saved()
    site.peer_sends("peer-1", OTHER)
    assert site.saved() == {VPC, OTHER}
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)))
    site.after(2 * SAVE_SECONDS)  # it may be forgotten in FORGET_SECONDS
    site.peer_sends("peer-1", OTHER)
    site.after(2 * FORGET_SECONDS)
    for event in (
        ev.PathsWithdrawn(peer="peer-1", prefixes=(OTHER,)),
        ev.PathsLearned(peer="peer-1", attributes=site.sent["peer-1"][OTHER], prefixes=(OTHER,)),
    ):
        site.tell(event)
        site.one_pass()
    site.after(2 * SAVE_SECONDS)
    new = px.parse("10.201.0.0/16")
    site.peer_sends("peer-1", new)
    assert site.saved() == {VPC, OTHER, new}
