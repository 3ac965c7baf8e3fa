"""What ESP in the kernel may take differently, and a wall clock that jumps: only a guest has one of its own."""

import os

import pytest

from tests.integration.faults import causes, wires
from tests.integration.faults.snapshot import Snapshot
from tests.integration.faults.trial import Fault, Row, undergo
from tests.integration.faults.wires import ESP, path_drops
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.kernel_esp]
UP = ("--dataplane", "kernel")

FAULTS = (
    Fault(name="blackhole, only ESP", cause=path_drops(*ESP, until_dead=("tunnel-1",))),
    Fault(name="IKE delete from the peer", cause=causes.ike_deleted),
    Fault(name="NAT rebinding", cause=wires.nat_rebinds, spares=(), loses_seconds=15),
    Fault(name="tunnel interface down", cause=wires.tunnel_interface_down),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_survives(lab: Lab, start: Snapshot, rows: list[Row], fault: Fault) -> None:
    undergo(lab, start, fault, rows)


@pytest.mark.skipif("NCGD_OWN_CLOCK" not in os.environ, reason="this machine's clock is not ours to set")
def test_survives_a_jump_of_the_clock(lab: Lab, start: Snapshot, rows: list[Row]) -> None:
    both = ("cloud0", "cloud1")
    undergo(
        lab, start, Fault(name="clock jump, an hour", cause=causes.clock_jumped, spares=both, loses_seconds=0), rows
    )
