"""Every metric of ncgd: its name, what it means, its labels, and where its values come from.

Prometheus' rules for names: base units, ``_total`` for what only grows, and never a name with a meaningless sum over
its labels. Labels are names of tunnels and peers, and words of fixed lists; never a prefix or an address, so that the
number of series is bounded by the resources (27 for a tunnel with its peer, and some 200).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from ncgd import __version__
from ncgd.api.metrics_family import (
    Family,
    Kind,
    Labels,
    Scrape,
    counted,
    of_peers,
    of_sas,
    of_tallies,
    of_tunnels,
    one,
    one_of,
)
from ncgd.decision.desired import SPEAKER
from ncgd.decision.tally import CHARON
from ncgd.model.failover import CAUSES
from ncgd.model.report import Health, Report
from ncgd.model.role import Part
from ncgd.model.tally import Negotiation, Setback
from ncgd.plan.order import BOTTOM_UP

_TUNNEL = {"tunnel": "name of the OverlayVPNTunnel"}
_PEER = {"peer": "name of the OverlayBGPPeer"}
_DIRECTION = {"direction": "`in`: from the far side; `out`: to it"}


def _refused(report: Report) -> Mapping[str, int]:
    return sum((Counter(peer.refused) for peer in report.peers), Counter())


def _problems(scrape: Scrape) -> Iterable[tuple[Labels, float]]:
    found = Counter((problem.reason, "error" if problem.is_error else "warning") for problem in scrape.report.problems)
    return sorted(found.items())


_GATEWAY = (
    Family(
        name="ncgd_build_info",
        kind=Kind.GAUGE,
        help="Version of ncgd; always 1.",
        labels={"version": "of ncgd"},
        values=lambda _: [((__version__,), 1)],
    ),
    Family(
        name="ncgd_dataplane_info",
        kind=Kind.GAUGE,
        help="Which dataplane carries ESP here; always 1.",
        labels={"dataplane": "`kernel`, `userspace`, or `none` while neither can"},
        values=lambda scrape: [((scrape.report.dataplane_mode,), 1)],
    ),
    Family(
        name="ncgd_gateway_status",
        kind=Kind.GAUGE,
        help="1 for the status that holds now.",
        labels={"status": ", ".join(f"`{status}`" for status in Health)},
        values=one_of(Health, lambda report: str(report.health)),
    ),
    Family(
        name="ncgd_role",
        kind=Kind.GAUGE,
        help="1 for the part that this ncgd plays now.",
        labels={"part": ", ".join(f"`{part}`" for part in Part)},
        values=one_of(Part, lambda report: str(report.role.part)),
    ),
    Family(
        name="ncgd_lease_epoch",
        kind=Kind.GAUGE,
        help="How often the Lease has changed hands, as far as this ncgd knows.",
        values=one(lambda report: report.role.epoch),
    ),
    Family(
        name="ncgd_problems",
        kind=Kind.GAUGE,
        help="Problems that ncgctl status shows now; none, no series.",
        labels={"reason": "the problem's code", "severity": "`error`, or `warning`: nothing is broken by it"},
        values=_problems,
    ),
    Family(
        name="ncgd_config_findings",
        kind=Kind.GAUGE,
        help="What is wrong (error) or odd (warning) in the resources as they were read last.",
        labels={"severity": "`error`: not in force, `warning`: in force"},
        values=counted(("error", "warning"), lambda report: report.findings),
    ),
    Family(
        name="ncgd_config_refused_objects",
        kind=Kind.GAUGE,
        help="Objects that are not in force, not even in an earlier form.",
        values=one(lambda report: len(report.refused)),
    ),
)

_TUNNELS = (
    Family(
        name="ncgd_tunnel_usable",
        kind=Kind.GAUGE,
        help="1 while the tunnel may carry traffic: SA, session and data path are well.",
        labels=_TUNNEL,
        values=of_tunnels(lambda tunnel: float(tunnel.is_usable)),
    ),
    Family(
        name="ncgd_tunnel_ike_sa_age_seconds",
        kind=Kind.GAUGE,
        help="Age of the tunnel's IKE SA; no series without one.",
        labels=_TUNNEL,
        values=of_sas(lambda tunnel: tunnel.established_seconds),
    ),
    Family(
        name="ncgd_tunnel_esp_sa_age_seconds",
        kind=Kind.GAUGE,
        help="Age of the tunnel's ESP keys, which every rekey renews; no series without them.",
        labels=_TUNNEL,
        values=of_sas(lambda tunnel: tunnel.child_seconds),
    ),
    Family(
        name="ncgd_tunnel_negotiations_total",
        kind=Kind.COUNTER,
        help="Rekeys of the tunnel's SAs, and new IKE SAs.",
        labels=_TUNNEL | {"kind": "`esp_rekey`, `ike_rekey`; `new`: a new IKE SA, with its child"},
        values=of_tallies(lambda tally: [(str(kind), tally.negotiations.get(kind, 0)) for kind in Negotiation]),
    ),
    Family(
        name="ncgd_tunnel_esp_bytes_total",
        kind=Kind.COUNTER,
        help="Bytes of IP packets through the tunnel's SAs, over all their lives.",
        labels=_TUNNEL | _DIRECTION,
        values=of_tallies(lambda tally: [("in", tally.carried.bytes_in), ("out", tally.carried.bytes_out)]),
    ),
    Family(
        name="ncgd_tunnel_esp_packets_total",
        kind=Kind.COUNTER,
        help="Packets through the tunnel's SAs, over all their lives.",
        labels=_TUNNEL | _DIRECTION,
        values=of_tallies(lambda tally: [("in", tally.carried.packets_in), ("out", tally.carried.packets_out)]),
    ),
    Family(
        name="ncgd_tunnel_round_trip_seconds",
        kind=Kind.HISTOGRAM,
        help="Round trips of the echoes that probe the tunnel; no series while it is not probed.",
        labels=_TUNNEL,
        histograms=lambda scrape: [
            ((each.ref.name,), each.probe.tally.round_trips) for each in scrape.report.tunnels if each.probe
        ],
    ),
    Family(
        name="ncgd_tunnel_echoes_lost_total",
        kind=Kind.COUNTER,
        help="Echoes that were not answered within a second, by a peer that has answered some.",
        labels=_TUNNEL,
        values=lambda scrape: [
            ((each.ref.name,), each.probe.tally.lost) for each in scrape.report.tunnels if each.probe
        ],
    ),
)

_SESSIONS = (
    Family(
        name="ncgd_bgp_session_established",
        kind=Kind.GAUGE,
        help="1 while the session is established.",
        labels=_PEER,
        values=of_peers(lambda peer: float(peer.status == "established")),
    ),
    Family(
        name="ncgd_bgp_session_uptime_seconds",
        kind=Kind.GAUGE,
        help="Age of the session; 0 while it is down.",
        labels=_PEER,
        values=of_peers(lambda peer: peer.uptime_seconds),
    ),
    Family(
        name="ncgd_bgp_prefixes_received",
        kind=Kind.GAUGE,
        help="Prefixes that the peer advertises.",
        labels=_PEER,
        values=of_peers(lambda peer: peer.received),
    ),
    Family(
        name="ncgd_bgp_prefixes_accepted",
        kind=Kind.GAUGE,
        help="Of those received, the ones that the import policy lets in.",
        labels=_PEER,
        values=of_peers(lambda peer: peer.accepted),
    ),
    Family(
        name="ncgd_bgp_prefixes_refused",
        kind=Kind.GAUGE,
        help="Of those received, the ones that are not used.",
        labels=_PEER,
        values=of_peers(lambda peer: sum(peer.refused.values())),
    ),
    Family(
        name="ncgd_bgp_prefixes_advertised",
        kind=Kind.GAUGE,
        help="Prefixes that the peer is told.",
        labels=_PEER,
        values=of_peers(lambda peer: len(peer.advertised)),
    ),
    Family(
        name="ncgd_bgp_refusals",
        kind=Kind.GAUGE,
        help="Refused prefixes of all peers by reason; none, no series.",
        labels={"reason": "why they are not used"},
        values=lambda scrape: [((reason,), count) for reason, count in sorted(_refused(scrape.report).items())],
    ),
)

_FORWARDING = (
    Family(
        name="ncgd_routes_desired",
        kind=Kind.GAUGE,
        help="Routes that should be in the kernel.",
        values=one(lambda report: report.routes_desired),
    ),
    Family(
        name="ncgd_routes_observed",
        kind=Kind.GAUGE,
        help="Routes of ours that are in the kernel.",
        values=one(lambda report: report.routes_installed),
    ),
    Family(
        name="ncgd_drift_rows_total",
        kind=Kind.COUNTER,
        help="Rows of ours that others have changed or removed.",
        values=one(lambda report: report.drift),
    ),
    Family(
        name="ncgd_failovers_total",
        kind=Kind.COUNTER,
        help="Peers whose traffic others have taken over, because they could not carry it any more.",
        labels={"cause": ", ".join(f"`{cause}`" for cause in CAUSES)},
        values=counted(CAUSES, lambda report: report.failovers.causes),
    ),
    Family(
        name="ncgd_failover_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="From what made a peer unable to carry (as it was told) until the kernel led its traffic to others.",
        histograms=lambda scrape: [((), scrape.report.failovers.times)],
    ),
    Family(
        name="ncgd_takeover_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="From holding the Lease in another node's place until the kernel led the first traffic into a tunnel.",
        histograms=lambda scrape: [((), scrape.report.failovers.takeovers)],
    ),
    Family(
        name="ncgd_leak_guard_dropped_packets_total",
        kind=Kind.COUNTER,
        help="Packets that the guard has kept from leaving in cleartext.",
        values=one(lambda report: report.leak.dropped),
    ),
    Family(
        name="ncgd_leak_guard_prefixes",
        kind=Kind.GAUGE,
        help="Prefixes that leave by a tunnel or not at all.",
        values=one(lambda report: report.leak.guarded),
    ),
    Family(
        name="ncgd_leak_guard_remembered_prefixes",
        kind=Kind.GAUGE,
        help="Prefixes protected since an earlier run, that no peer has spoken of yet.",
        values=one(lambda report: report.leak.remembered),
    ),
    Family(
        name="ncgd_masquerade_exempt_prefixes",
        kind=Kind.GAUGE,
        help="Prefixes towards which source addresses are kept.",
        values=one(lambda report: report.masquerade.exempt),
    ),
    Family(
        name="ncgd_published_prefixes",
        kind=Kind.GAUGE,
        help="Prefixes that the other nodes are told of by this one.",
        values=one(lambda report: report.published),
    ),
    Family(
        name="ncgd_crossing_prefixes",
        kind=Kind.GAUGE,
        help="Prefixes that this node was told of by the gateway's; 0 on the gateway itself.",
        values=one(lambda report: report.crossing.prefixes if report.crossing else 0),
    ),
)

_DAEMON = (
    Family(
        name="ncgd_pass_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Durations of the loop's passes; there is one every second at least.",
        histograms=lambda scrape: [((), scrape.pass_times)],
    ),
    Family(
        name="ncgd_driver_failures_total",
        kind=Kind.COUNTER,
        help="Rows that could not be written; a row that is tried again counts again.",
        labels={"table": "where they belong"},
        values=counted(BOTTOM_UP, lambda report: report.tally.refused_rows),
    ),
    Family(
        name="ncgd_tables_held",
        kind=Kind.GAUGE,
        help="Tables that are not written yet, because something has not been read.",
        values=one(lambda report: len(report.held)),
    ),
    Family(
        name="ncgd_program_setbacks_total",
        kind=Kind.COUNTER,
        help="Programs that ended, could not be started, or ceased to answer.",
        labels={
            "program": "`charon` (all IKE daemons together) or `exabgp`",
            "kind": "`ended`: also not started, told of those that ncgd supervises; `unreachable`",
        },
        values=lambda scrape: [
            ((program, str(kind)), scrape.report.tally.setbacks.get((program, kind), 0))
            for program in (CHARON, SPEAKER)
            for kind in Setback
        ],
    ),
)

SECTIONS = {
    "The gateway": _GATEWAY,
    "Tunnels": _TUNNELS,
    "Sessions": _SESSIONS,
    "Forwarding": _FORWARDING,
    "The daemon": _DAEMON,
}
"""All families, as the reference groups them."""
FAMILIES = tuple(family for section in SECTIONS.values() for family in section)
