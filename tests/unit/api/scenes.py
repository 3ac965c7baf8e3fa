"""Moments of gateways, from the scenarios, as the status page shows them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeVar

from ncgd.api.history import SLOT_SECONDS, SLOTS, History
from ncgd.daemon.loop import State
from ncgd.decision.conditions import with_conditions
from ncgd.decision.desired import desired_state
from ncgd.decision.timeline import Timeline
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.failover import Failover, Failovers
from ncgd.model.ike import IkeFailure, Traffic
from ncgd.model.look import Walk
from ncgd.model.probe import ProbeReport, Pulse, Vitality
from ncgd.model.report import Report
from ncgd.model.route_slice import RouteSlice
from ncgd.model.spec import Intent
from ncgd.model.tally import Tally, TunnelTally
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import Site, ha_vpn, healthy_site
from tests.unit.api.test_roles import STANDBY

T = TypeVar("T")
LEARNED = tuple(px.parse(f"10.{128 + n}.0.0/20") for n in range(1, 14))


class Life:
    """A site whose passes a timeline is shown; the wall clock is told with each look."""

    def __init__(self, site: Site) -> None:
        self.site, self.timeline = site, Timeline()
        self._before: Report | None = None

    def look(self, wall: str) -> Report:
        """A pass at that time of the day."""
        intent = self.site.world.intent or Intent()
        time_of_day = f"2026-11-21T{wall}Z"
        self._before = with_conditions(self.site.report(), intent, self._before, time_of_day)
        self.timeline.observe(self.site.world, self._before, lambda: time_of_day, version="0.1.0")
        return self._before


@dataclass(slots=True)
class Moment:
    """What the handlers of the page are given."""

    state: State
    history: History


def moment(life: Life) -> Moment:
    """The site as it is, five minutes into a life of changing traffic."""
    site = life.site
    for number, name in enumerate(site.sas):
        site.sas[name] = replace(
            site.sas[name],
            cipher="AES_GCM_16-256",
            established_seconds=7_312 * (number + 1),
            ike_text="ESTABLISHED AES_GCM_16-256/PRF_HMAC_SHA2_256/ECP_256",
            child_text="INSTALLED AES_GCM_16-256 0.0.0.0/0 === 0.0.0.0/0",
        )
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    answers = {
        name: ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE), rtt_seconds=0.0018 * (n + 1), loss=0.02 * (n == 1))
        for n, name in enumerate(site.sas)
    }
    site.tell(ev.ProbesRead(probes=answers))
    site.now += SLOTS * SLOT_SECONDS
    site.settle()
    state = State(site.world, timeline=life.timeline)
    state.desired = desired_state(site.world)
    history = _history(state, life.look("09:58:00.000"))
    return Moment(state, history)


def _history(state: State, final: Report) -> History:
    """As if each tunnel had carried waves of traffic; the last report is left in the state."""
    now, total = 0.0, int(SLOTS * SLOT_SECONDS)
    history = History(lambda: now)
    carried = {each.ref.name: Traffic() for each in final.tunnels}
    for second in range(total + 1):
        now = float(second)
        tunnels = []
        for number, each in enumerate(final.tunnels):
            wave = 1.5 + math.sin(second / (19 + 7 * number)) + 0.4 * math.sin(second / 3.1 + number)
            is_up = bool(each.child) or second < total - 70
            more = Traffic(int(2_700_000 * abs(wave - 1.1) * is_up), int(900_000 * wave * is_up))
            carried[each.ref.name] += more
            answer = 0.0018 * (number + 1) * (1 + 0.3 * math.sin(second / 11)) if is_up else None
            probe = replace(each.probe or ProbeReport(), rtt_seconds=answer)
            tunnels.append(replace(each, is_usable=is_up, probe=probe))
        tally = Tally(tunnels={name: TunnelTally(carried=each) for name, each in carried.items()})
        state.report = replace(final, tunnels=tuple(tunnels), tally=tally)
        history.observe(state)
    state.report = replace(final, tally=tally)
    state.ended = time.monotonic()
    return history


def healthy() -> Life:
    """Two tunnels, some prefixes."""
    site = healthy_site()
    for name in site.intent.peers:
        site.peer_sends(name, *LEARNED)
    site.settle()
    life = Life(site)
    life.look("04:11:09.000")
    return life


def degraded() -> Life:
    """One tunnel is refused by its peer, and one prefix by us."""
    life = healthy()
    site = life.site
    failure = IkeFailure(tunnel="tunnel-1", reason="AuthenticationFailed", message="the peer refused our key")
    site.lose_sa("tunnel-1")
    site.settle()
    failover = Failover(number=1, peer="peer-1", cause="SaDown", successors=("peer-2",), at=0.0, seconds=0.043)
    site.world = replace(site.world, failovers=Failovers(recent=(failover,), causes={"SaDown": 1}))
    life.look("09:40:31.000")
    site.tell(ev.IkeFailed(failure=failure))
    site.settle()
    life.look("09:40:52.000")
    site.peer_sends("peer-2", px.parse("0.0.0.0/0"), px.parse("192.0.2.0/24"), px.parse("198.51.100.0/24"))
    site.settle()
    life.look("09:51:17.000")
    return life


def down() -> Life:
    """Nothing carries."""
    life = healthy()
    for number, name in enumerate(life.site.intent.tunnels):
        life.site.lose_sa(name)
        life.site.settle()
        life.look(f"09:41:3{number}.000")
    return life


def standby() -> Life:
    """Another node is the gateway."""
    life = healthy()
    life.site.tell(ev.RoleChanged(role=STANDBY))
    life.site.slices["s"] = RouteSlice(name="s", gateway="default", node="node-2", epoch=7, prefixes=frozenset(LEARNED))
    life.site.reads_slices()
    life.site.after(2)
    life.look("09:12:44.000")
    return life


def empty() -> Life:
    """Nothing is configured."""
    site = Site(Intent())
    site.charon_answers()
    site.speaker_answers()
    site.settle()
    return Life(site)


def large() -> Life:
    """64 tunnels and 5 000 prefixes, two of the tunnels down."""
    intent = Intent(
        gateway=ha_vpn().gateway,
        tunnels={f"tunnel-{n}": tunnel(n) for n in range(1, 65)},
        peers={f"peer-{n}": peer(n) for n in range(1, 65)},
    )
    site = healthy_site(intent)
    for name in ("peer-1", "peer-2"):
        site.peer_sends(name, *(px.parse(f"10.{130 + n // 250}.{n % 250}.0/24") for n in range(4999)))
    site.lose_sa("tunnel-7")
    site.lose_sa("tunnel-9")
    site.settle(60)
    return Life(site)


def awkward() -> Life:
    """Names as long as Kubernetes lets them be, IPv6, many problems."""
    long = "a-name-that-somebody-has-thought-about-for-a-while".ljust(251, "x")
    tunnels = {}
    peers = {}
    for n in range(1, 5):
        name = f"{long}-{n}"
        ref = replace(tunnel(n).ref, name=name)
        tunnels[name] = tunnel(n, ref=ref, remote_address=ip_address(f"2001:db8:ffff:ffff:ffff:ffff:ffff:fff{n}"))
        peers[name] = peer(n, ref=replace(peer(n).ref, name=name), tunnel=name)
    site = healthy_site(Intent(gateway=ha_vpn().gateway, tunnels=tunnels, peers=peers))
    first, second, *_ = tunnels
    site.peer_sends(first, *(px.parse(f"2001:db8:{n:x}:ffff:ffff::/112") for n in range(5)))
    site.peer_sends(first, *(px.parse(f"127.{n}.0.0/16") for n in range(30)))
    for name in (first, second):
        site.lose_sa(name)
    site.settle()
    life = Life(site)
    life.look("08:00:00.000")
    return life


SCENES: dict[str, Callable[[], Life]] = {
    "healthy": healthy,
    "degraded": degraded,
    "down": down,
    "standby": standby,
    "empty": empty,
    "large": large,
    "awkward": awkward,
}


async def nobody_looks(walk: Walk[T], /) -> T:
    """For an API that nobody asks for a diagnosis."""
    raise AssertionError(walk)
