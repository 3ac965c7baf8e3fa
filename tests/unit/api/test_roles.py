"""What a node that is not the gateway shows, and a gateway without its Lease."""

import json
from ipaddress import ip_address
from pathlib import Path

from ncgd.api import metrics
from ncgd.model import event as ev
from ncgd.model.histogram import Histogram
from ncgd.model.reason import RoleReason
from ncgd.model.role import Part, Role
from tests.scenarios.site import Site, healthy_site
from tests.unit.api.test_api import ncgctl, served

STANDBY = Role(
    part=Part.STANDBY,
    holder="node-2",
    holder_address=ip_address("10.0.0.2"),
    epoch=7,
    reason=RoleReason.OTHER_HOLDS,
    message="node-2 (10.0.0.2) holds Lease ncgd-default",
)
HELD_OVER = Role(
    part=Part.ACTIVE, may_initiate=False, reason=RoleReason.HELD_OVER, message="Lease ncgd-default has run out"
)


def playing(role: Role) -> Site:
    site = healthy_site()
    site.tell(ev.RoleChanged(role=role))
    site.after(2)
    return site


def test_a_standby_says_who_is_the_gateway_and_that_nothing_is_wrong(tmp_path: Path) -> None:
    with served(playing(STANDBY), tmp_path) as socket:
        screen = ncgctl(socket, "status")
        assert screen.exit_code == 0
        assert "Standby: node-2 (10.0.0.2) holds Lease ncgd-default" in screen.output
        answer = json.loads(ncgctl(socket, "status", "-o", "json").output)
        assert answer["status"] == "Standby"
        assert answer["role"] == {
            "part": "Standby",
            "holder": "node-2",
            "holderAddress": "10.0.0.2",
            "epoch": 7,
            "mayInitiate": True,
            "reason": "OtherHoldsLease",
            "message": "node-2 (10.0.0.2) holds Lease ncgd-default",
        }
        assert "node-2 (10.0.0.2) holds Lease" in ncgctl(socket, "explain", "tunnel-1").output
        assert "NotActive" in screen.output
        assert "1 of them remembered from before\n" in screen.output


def test_a_gateway_without_its_lease_says_what_it_does_not_do(tmp_path: Path) -> None:
    with served(playing(HELD_OVER), tmp_path) as socket:
        screen = ncgctl(socket, "status")
        assert screen.exit_code == 1
        assert "Active, held over: Lease ncgd-default has run out" in screen.output
        assert "LeaseHeldOver" in screen.output
        assert "bring the API server back" in screen.output


def test_metrics_name_the_part_and_the_epoch() -> None:
    text = metrics.render(playing(STANDBY).report(), Histogram.of(1.0)).decode()
    assert 'ncgd_role{part="Standby"} 1.0' in text
    assert 'ncgd_role{part="Active"} 0.0' in text
    assert 'ncgd_gateway_status{status="Standby"} 1.0' in text
    assert "ncgd_lease_epoch 7.0" in text
