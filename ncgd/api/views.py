"""Report → what is sent: the status contract, and the objects with their ``status`` as NCG spells it."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any

from ncgd.decision.desired import Desired
from ncgd.decision.diagnosis.step import Diagnosis, Step
from ncgd.decision.timeline import Timeline
from ncgd.model.failover import Failovers
from ncgd.model.happening import Entry
from ncgd.model.report import CrossingReport, PeerReport, Problem, Report, TunnelReport
from ncgd.model.role import Role
from ncgd.model.spec import ObjectRef
from ncgd.model.tally import Tally, TunnelTally
from ncgd.resources.crd import short
from ncgd.resources.object_status import (
    export_status,
    gateway_status,
    leak_status,
    masquerade_status,
    peer_status,
    tunnel_status,
)

Json = dict[str, Any]

KINDS = ("OverlayVPNTunnel", "OverlayBGPPeer", "NetworkConnectivityGateway")
KIND_OF = {name: kind for kind in KINDS for name in (kind.lower(), short(kind))}
"""By what a person may call it, in lower case."""
LISTED_PREFIXES = 5000
"""Prefixes that an object's status lists at most, per peer and direction."""
_OF_MACHINE = ("machine", "nftables", "routes", "crossing", "lease", "state")
"""What problems are about, beside resources and programs."""
API_VERSION = "networking.gke.io/v1alpha1"


def status(report: Report, stalled_seconds: float = 0.0) -> Json:
    """The contract of ``ncgctl status -o json``.

    ``stalled_seconds``: for how long there was no pass; 0 while all is well with them.
    """
    return {
        "status": report.health,
        "stalledSeconds": round(stalled_seconds),
        "gateway": str(report.gateway),
        "node": report.node,
        "role": _role(report.role),
        "mode": report.mode,
        "dataplane": {"mode": report.dataplane_mode, "reason": report.dataplane_reason},
        "tunnels": [_tunnel(tunnel, report.tally) for tunnel in report.tunnels],
        "peers": [_peer(peer) for peer in report.peers],
        "routes": {"installed": report.routes_installed, "desired": report.routes_desired, "drift": report.drift},
        "leakProtection": leak_status(report.leak),
        "export": export_status(report.exports, listed=LISTED_PREFIXES),
        "masquerade": masquerade_status(report.masquerade),
        "failovers": _failovers(report.failovers),
        "crossing": _crossing(report.crossing) if report.crossing else None,
        "published": report.published,
        "problems": [_problem(problem) for problem in report.problems],
        "held": report.held,
    }


def _crossing(crossing: CrossingReport) -> Json:
    return {
        "transport": crossing.transport,
        "reason": crossing.reason,
        "message": crossing.message,
        "prefixes": crossing.prefixes,
        "refused": crossing.refused,
    }


def _role(role: Role) -> Json:
    return {
        "part": role.part,
        "holder": role.holder,
        "holderAddress": str(role.holder_address or ""),
        "epoch": role.epoch,
        "mayInitiate": role.may_initiate,
        "reason": role.reason,
        "message": role.message,
    }


def _failovers(failovers: Failovers) -> Json:
    return {
        "count": failovers.times.count,
        "byCause": failovers.causes,
        "recent": [
            {
                "number": each.number,
                "peer": each.peer,
                "cause": each.cause,
                "successors": each.successors,
                "seconds": each.seconds,
            }
            for each in failovers.recent
        ],
    }


def _tunnel(tunnel: TunnelReport, tally: Tally) -> Json:
    carried = tally.tunnels.get(tunnel.ref.name, TunnelTally()).carried
    probe = tunnel.probe
    return {
        "name": tunnel.ref.name,
        "status": tunnel.status,
        "interface": tunnel.interface,
        "remote": tunnel.remote,
        "ike": tunnel.ike,
        "child": tunnel.child,
        "bytesIn": tunnel.bytes_in,
        "bytesOut": tunnel.bytes_out,
        "carried": {
            "bytesIn": carried.bytes_in,
            "bytesOut": carried.bytes_out,
            "packetsIn": carried.packets_in,
            "packetsOut": carried.packets_out,
        },
        "establishedSeconds": tunnel.established_seconds,
        "keySeconds": tunnel.child_seconds,
        "probe": {"pulse": probe.vitality.pulse, "rttSeconds": probe.rtt_seconds, "loss": probe.loss}
        if probe
        else None,
        "mtu": tunnel.mtu,
        "usable": tunnel.is_usable,
        "reason": tunnel.reason,
        "message": tunnel.message,
    }


def _peer(peer: PeerReport) -> Json:
    return {
        "name": peer.ref.name,
        "status": peer.status,
        "state": peer.state,
        "tunnel": peer.tunnel,
        "peerIP": peer.peer_ip,
        "peerASN": peer.peer_asn,
        "received": peer.received,
        "accepted": peer.accepted,
        "refused": sum(peer.refused.values()),
        "refusedBy": peer.refused,
        "advertised": [{"prefix": prefix, "med": med} for prefix, med in peer.advertised],
        "uptimeSeconds": peer.uptime_seconds,
        "reason": peer.reason,
        "message": peer.message,
    }


def _problem(problem: Problem) -> Json:
    return {
        "reason": problem.reason,
        "object": problem.object,
        "message": problem.message,
        "hint": problem.hint,
        "severity": "error" if problem.is_error else "warning",
    }


def diagnosis(made: Diagnosis) -> Json:
    """The contract of ``ncgctl diagnose -o json``: the steps in order, and the first thing that is wrong."""
    return {"steps": [_step(step) for step in made.steps], "first": _problem(made.first) if made.first else None}


def _step(step: Step) -> Json:
    return {
        "name": step.name,
        "where": step.where,
        "verdict": step.verdict,
        "saw": step.saw,
        "reason": step.problem.reason if step.problem else "",
        "todo": step.problem.hint if step.problem else "",
    }


def events(timeline: Timeline, limit: int, *, after: int = 0, named: str = "") -> Json:
    """The newest ``limit`` entries of the timeline with a number above ``after``, newest first.

    ``named``: only of objects that have this in their name.
    """
    entries = (each for each in timeline.newest_first() if each.number > after)
    chosen = (each for each in entries if _has(each.happening.object, named))
    return {"events": [_event(entry) for entry in islice(chosen, limit)]}


def is_name(named: str, timeline: Timeline, report: Report, desired: Desired) -> bool:
    """Whether that is in the name of an object of which the timeline tells, or could tell."""
    objects = chain(
        [str(report.gateway)],
        (str(tunnel.ref) for tunnel in report.tunnels),
        (str(peer.ref) for peer in report.peers),
        (str(refused.ref) for refused in report.refused),
        _OF_MACHINE,
        desired.tables.get("processes", ()),
        (problem.object for problem in report.problems),
        (entry.happening.object for entry in timeline.newest_first()),
    )
    return any(_has(str(each), named) for each in objects)


def _has(name: str, part: str) -> bool:
    return part.lower() in name.lower()


def _event(entry: Entry) -> Json:
    happening = entry.happening
    return {
        "number": entry.number,
        "time": entry.time,
        "lastTime": entry.last_time,
        "count": entry.count,
        "object": happening.object,
        "reason": happening.reason,
        "message": happening.message,
        "severity": "warning" if happening.is_warning else "normal",
    }


def objects(
    kind: str,
    report: Report,
    specs: Mapping[str, Mapping[str, Any]],
    received: Mapping[str, Sequence[tuple[str, str]]],
    *,
    now: str,
    started: str,
) -> list[Json]:
    """All objects of a kind with ``spec`` as written and ``status``; times in RFC 3339.

    ``specs`` is by ``str(ref)``, ``received`` (prefix and verdict) by peer name; ``started`` stands in for an
    unknown creation time.
    """
    if kind == "OverlayVPNTunnel":
        return [_object(t.ref, t.generation, specs, tunnel_status(t, now)) for t in report.tunnels]
    if kind == "OverlayBGPPeer":
        return [
            _object(
                p.ref, p.generation, specs, peer_status(p, now, received.get(p.ref.name, ()), listed=LISTED_PREFIXES)
            )
            for p in report.peers
        ]
    return [
        _object(
            report.gateway,
            report.gateway_generation,
            specs,
            gateway_status(report, now, started, listed=LISTED_PREFIXES),
        )
    ]


def _object(ref: ObjectRef, generation: int, specs: Mapping[str, Mapping[str, Any]], state: Json) -> Json:
    metadata: Json = {"name": ref.name, "namespace": ref.namespace}
    if generation:
        metadata["generation"] = generation
    spec = specs.get(str(ref))
    return {
        "apiVersion": API_VERSION,
        "kind": ref.kind,
        "metadata": metadata,
        "spec": dict(spec) if spec else None,
        "status": state,
    }
