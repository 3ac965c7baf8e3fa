"""What follows from what the probe finds: who carries, what is said, and what a restarted ncgd may believe."""

from dataclasses import replace

from ncgd.model import event as ev
from ncgd.model.probe import Pulse
from ncgd.model.spec import Liveness, OwnLiveness
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site, tunnel

BOTH = {"ncg-tunnel-1", "ncg-tunnel-2"}


def message(site: Site, name: str) -> str:
    return next(row.message for row in site.report().tunnels if row.ref.name == name)


def test_a_tunnel_is_probed_with_its_own_settings() -> None:
    own = tunnel(1, liveness=OwnLiveness(misses=10))
    intent = ha_vpn(liveness=Liveness(interval_seconds=0.5))
    site = healthy_site(replace(intent, tunnels={**intent.tunnels, "tunnel-1": own}))
    assert site.probes["tunnel-1"].settings == Liveness(interval_seconds=0.5, misses=10)
    assert site.probes["tunnel-2"].settings == Liveness(interval_seconds=0.5)


def test_a_probe_that_is_switched_off_says_nothing_any_more() -> None:
    site = healthy_site()
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.ALIVE)
    site.settle()
    assert site.carries(VPC) == {"ncg-tunnel-2"}
    off = tunnel(1, liveness=OwnLiveness(is_enabled=False))
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={**site.intent.tunnels, "tunnel-1": off})))
    site.settle()
    assert site.probes.keys() == {"tunnel-2"}
    assert site.carries(VPC) == BOTH
    assert "liveness.enabled is false" in message(site, "tunnel-1")
