"""What ESP in the kernel may take differently, and a wall clock that jumps: only a guest has one of its own."""

import json
import os
from functools import partial
from typing import Any

import pytest

from ncgd.lab import gateway
from tests.integration.faults import causes, wires
from tests.integration.faults.snapshot import Snapshot
from tests.integration.faults.trial import Fault, Row, undergo
from tests.integration.faults.wires import ESP, path_drops
from tests.lab import scraped
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.kernel_esp]
UP = ("--dataplane", "kernel")
A_DAY = 86_400

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
@pytest.mark.parametrize(("there", "back"), [("+1 year", "-1 year"), ("-1 year", "+1 year")], ids=["ahead", "behind"])
def test_survives_a_clock_that_is_wrong_by_a_year(
    lab: Lab, start: Snapshot, rows: list[Row], there: str, back: str
) -> None:
    number = _last_event()
    cause = partial(causes.clock_set, there=there, back=back)
    both = ("cloud0", "cloud1")
    undergo(lab, start, Fault(name=f"clock set, {there}", cause=cause, spares=both, loses_seconds=0), rows)
    status = gateway.status()
    ages = [each[age] for each in status["tunnels"] for age in ("establishedSeconds", "keySeconds")]
    assert max([*ages, *(each["uptimeSeconds"] for each in status["peers"])]) < A_DAY
    tunnels = [each["name"] for each in status["tunnels"]]
    trips = [scraped.value("ncgd_tunnel_round_trip_seconds_sum", tunnel=each) for each in tunnels]
    assert max(trips) < A_DAY, "no answer took a year"
    since = [each["reason"] for each in _events() if each["number"] > number]
    assert {"TunnelDown", "SessionDown", "Failover"}.isdisjoint(since)


def _events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.ncgctl("events", "-n", "1000", "-o", "json").stdout.splitlines()]


def _last_event() -> int:
    return max(int(each["number"]) for each in _events())
