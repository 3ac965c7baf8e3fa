"""Others take away what a gateway stands on, and it stands up again; they take what it has, and it keeps it."""

from dataclasses import replace

from ncgd.model import event as ev
from ncgd.model.ike import SaState, TunnelSa
from ncgd.model.spec import DataplaneChoice
from ncgd.plan.plan import Step
from tests.scenarios.site import Site, ha_vpn, healthy_site

CHARON = "charon-tunnel-1"


def userspace_site() -> Site:
    """A site whose first tunnel is up in userspace, its charon supervised."""
    site = Site(ha_vpn(dataplane=DataplaneChoice.USERSPACE))
    site.one_pass()
    tun = replace(site.interfaces["eth0"], index=7, name="ipsec0", kind="tun", addresses=())
    site.interfaces["ipsec0"] = tun
    site.tell(
        ev.ProcessChanged(name=CHARON, is_running=True, pid=1),
        ev.InterfacesRead(interfaces=dict(site.interfaces)),
        ev.CharonUp(charon=CHARON, version="5.9.8"),
        ev.TunFound(charon=CHARON, interface="ipsec0"),
        ev.SasRead(charon=CHARON, sas={"tunnel-1": TunnelSa(tunnel="tunnel-1", state=SaState.INSTALLED)}),
    )
    site.one_pass()
    return site


def _processes(site: Site) -> list[tuple[set[object], set[object]]]:
    steps = [step for step in site.one_pass().steps if isinstance(step, Step) and step.table == "processes"]
    return [(set(step.delta.set), set(step.delta.remove)) for step in steps]


def test_a_charon_whose_tun_device_was_removed_is_started_anew_once() -> None:
    site = userspace_site()
    del site.interfaces["ipsec0"]
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    assert _processes(site) == [(set(), {CHARON})]
    reasons = {problem.reason for problem in site.report().problems}
    assert reasons & {"InterfaceMissing", "CharonDown"}
    site.tell(ev.ProcessChanged(name=CHARON, is_running=False))
    assert _processes(site) == [({CHARON}, set())]
    site.tell(ev.ProcessChanged(name=CHARON, is_running=True, pid=2), ev.CharonUp(charon=CHARON, version="5.9.8"))
    assert _processes(site) == []


def test_a_tunnel_keeps_its_address_when_somebody_else_takes_it_too() -> None:
    site = healthy_site()
    site.interfaces["eth0"] = replace(site.interfaces["eth0"], addresses=("192.168.100.2/24", "169.254.1.2/32"))
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    assert site.one_pass().steps == ()
    assert all(tunnel.is_usable for tunnel in site.report().tunnels)
