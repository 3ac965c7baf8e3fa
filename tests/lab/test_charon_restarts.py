"""An IKE daemon is replaced by a newer one, or dies: the other tunnel carries meanwhile. ESP in userspace."""

import json
import os
import signal

import pytest

from ncgd.lab import gateway
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.steadily import undisturbed

pytestmark = [pytest.mark.lab, pytest.mark.root]

UP = ("--dataplane", "userspace")


def test_charons_that_would_be_launched_differently_are_replaced_one_by_one_without_a_loss(lab: Lab) -> None:
    """As after an upgrade of strongSwan, or of an ncgd that writes another charon.conf."""
    before = lab.processes("charon")
    (daemon,) = lab.processes("ncgd")
    with undisturbed(sessions=False):
        for record in gateway.RUN.glob("charon-*.process.json"):
            record.write_text(json.dumps({**json.loads(record.read_text()), "launch": "of an earlier ncgd"}))
        os.kill(daemon, signal.SIGKILL)
        until(lambda: len(now := lab.processes("charon")) == 2 and not now & before, 40, "both are new")
        site_side.healthy()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_charon_that_ends_moves_its_traffic_to_the_other_tunnel_which_notices_nothing(
    lab: Lab, number: signal.Signals
) -> None:
    pid = int(json.loads((gateway.RUN / "charon-tunnel-1.process.json").read_text())["pid"])
    age = site_side.peer("peer-2")["uptimeSeconds"]
    with site_side.vm_with_many_addresses():
        site_side.healthy()
        other = site_side.address_through("tunnel-2")
        with site_side.flowing(other) as lost:
            os.kill(pid, number)
            until(lambda: pid not in (now := lab.processes("charon")) and len(now) == 2, 30, "it is back")
            site_side.healthy()
        assert lost == {other: 0}
    assert site_side.peer("peer-2")["uptimeSeconds"] >= age
    with undisturbed():
        pass
