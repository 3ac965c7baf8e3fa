"""Everything that may go wrong, with ESP in userspace."""

from collections.abc import Iterator

import pytest

from tests.integration.faults import causes, wires
from tests.integration.faults.snapshot import Snapshot
from tests.integration.faults.traffic import LARGE
from tests.integration.faults.trial import Fault, Row, sessions, undergo
from tests.integration.faults.wires import ESP, FROM, FROM_OTHER, TO, TO_OTHER, path_drops
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import PEERS, edited

pytestmark = [pytest.mark.lab, pytest.mark.root]
UP = ("--dataplane", "userspace")

FAULTS = (
    Fault(name="blackhole, both directions", cause=path_drops(TO, FROM, until_dead=("tunnel-1",))),
    Fault(name="blackhole, busy tunnel", cause=path_drops(TO, FROM, until_dead=("tunnel-1",)), packets=LARGE),
    Fault(name="blackhole, towards the cloud", cause=path_drops(TO, until_dead=("tunnel-1",))),
    Fault(name="blackhole, from the cloud", cause=path_drops(FROM, until_dead=("tunnel-1",))),
    Fault(name="blackhole, only ESP", cause=path_drops(*ESP, until_dead=("tunnel-1",))),
    Fault(
        name="blackhole, only large packets",
        cause=path_drops(f"{TO} meta length > 1000", f"{FROM} meta length > 1000", seconds=3),
        is_survived=False,
        packets=LARGE,
    ),
    Fault(
        name="30 % loss",
        cause=path_drops(*(f"{way} numgen random mod 100 < 30" for way in (TO, FROM)), seconds=3),
        is_survived=False,
    ),
    Fault(name="peer reset", cause=causes.peer_reset),
    Fault(name="IKE delete from the peer", cause=causes.ike_deleted),
    Fault(name="Cloud Router restart", cause=causes.router_restarted, loses_seconds=0),
    Fault(name="route flap storm", cause=causes.routes_flapping, spares=("cloud0", "cloud1"), loses_seconds=0),
    Fault(name="NAT forgets its connections", cause=wires.nat_forgets),
    Fault(name="NAT rebinding", cause=wires.nat_rebinds, spares=(), loses_seconds=15),
    Fault(name="uplink without carrier", cause=wires.cable_pulled, is_survived=False, spares=(), loses_seconds=15),
    Fault(name="uplink down and up", cause=wires.uplink_down, is_survived=False, spares=(), loses_seconds=15),
    Fault(name="tunnel interface down", cause=wires.tunnel_interface_down),
    Fault(name="disk full, and a restart", cause=causes.disk_full, spares=("cloud0", "cloud1"), loses_seconds=0),
    Fault(
        name="disk read-only, and a restart", cause=causes.disk_read_only, spares=("cloud0", "cloud1"), loses_seconds=0
    ),
    Fault(name="memory exhausted", cause=causes.memory_exhausted, spares=("cloud0", "cloud1"), loses_seconds=0),
    Fault(
        name="both tunnels dead, then back",
        cause=path_drops(TO, FROM, TO_OTHER, FROM_OTHER, until_dead=("tunnel-1", "tunnel-2")),
        is_survived=False,
        spares=(),
        loses_seconds=15,
    ),
    Fault(name="WAN address change", cause=wires.address_changes, spares=(), loses_seconds=15),
)


@pytest.fixture
def short_hold_time(lab: Lab) -> Iterator[None]:
    """The first peer's session takes 6 s of silence for its end."""
    before = lab.processes("ncgd")
    _set_hold_time(6)
    yield
    _set_hold_time(None)
    assert lab.processes("ncgd") == before


def _set_hold_time(seconds: int | None) -> None:
    """Edit the first peer, and wait until its session has been made anew with that."""
    last = sessions()["cloud0"]
    with edited(PEERS) as documents:
        documents[0]["spec"].pop("holdTime", None)
        documents[0]["spec"] |= {} if seconds is None else {"holdTime": seconds}
    until(lambda: (now := sessions()["cloud0"]) and now != last, 30, "another session")
    site_side.healthy()


@pytest.mark.usefixtures("short_hold_time")
def test_survives_that_the_hold_time_expires(lab: Lab, start: Snapshot, rows: list[Row]) -> None:
    undergo(lab, start, Fault(name="BGP hold time expires", cause=causes.router_frozen), rows)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_survives(lab: Lab, start: Snapshot, rows: list[Row], fault: Fault) -> None:
    undergo(lab, start, fault, rows)
