"""Keys that cannot be renewed are told while the tunnel still goes on; what has no bearing on them is not."""

import pytest

from ncgd.model import event as ev
from ncgd.model.ike import IkeFailure
from tests.scenarios.site import Site, healthy_site


def refused(reason: str) -> Site:
    site = healthy_site()
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason=reason, message="so it is")))
    return site


@pytest.mark.parametrize(
    ("reason", "told"),
    [("NoProposalChosen", {"PfsMismatch"}), ("AuthenticationFailed", {"AuthenticationFailed"})],
)
def test_a_refused_renewal_is_told_of_a_tunnel_that_is_up(reason: str, told: set[str]) -> None:
    site = refused(reason)
    assert {problem.reason for problem in site.report().problems} == told


def test_an_attempt_beside_the_tunnel_that_nobody_answered_is_no_problem_of_its_keys() -> None:
    """Both sides authenticate anew, one attempt is too many and given up: the tunnel was Degraded for hours."""
    site = refused("PeerUnreachable")
    assert site.report().problems == ()
