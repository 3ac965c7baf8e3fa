"""Report → what is sent: the status contract, and the objects with their ``status`` as NCG spells it."""

from collections.abc import Mapping
from typing import Any

from ncgd.model.report import Health, LeakReport, PeerReport, Problem, Report, TunnelReport
from ncgd.model.spec import ObjectRef

Json = dict[str, Any]

KINDS = {
    "overlayvpntunnel": "OverlayVPNTunnel",
    "overlaybgppeer": "OverlayBGPPeer",
    "networkconnectivitygateway": "NetworkConnectivityGateway",
}
API_VERSION = "networking.gke.io/v1alpha1"


def status(report: Report) -> Json:
    """The contract of ``ncgctl status -o json``."""
    return {
        "status": report.health,
        "gateway": str(report.gateway),
        "node": report.node,
        "mode": report.mode,
        "dataplane": {"mode": report.dataplane_mode, "reason": report.dataplane_reason},
        "tunnels": [_tunnel(tunnel) for tunnel in report.tunnels],
        "peers": [_peer(peer) for peer in report.peers],
        "routes": {"installed": report.routes_installed, "desired": report.routes_desired, "drift": report.drift},
        "leakProtection": _leak(report.leak),
        "problems": [_problem(problem) for problem in report.problems],
        "held": report.held,
    }


def _leak(leak: LeakReport) -> Json:
    return {
        "mode": leak.mode,
        "guarded": leak.guarded,
        "dropped": leak.dropped,
        "remembered": leak.remembered,
        "waitsFor": list(leak.waits_for),
    }


def _tunnel(tunnel: TunnelReport) -> Json:
    return {
        "name": tunnel.ref.name,
        "status": tunnel.status,
        "interface": tunnel.interface,
        "remote": tunnel.remote,
        "ike": tunnel.ike,
        "child": tunnel.child,
        "bytesIn": tunnel.bytes_in,
        "bytesOut": tunnel.bytes_out,
        "establishedSeconds": tunnel.established_seconds,
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


def objects(
    kind: str,
    report: Report,
    specs: Mapping[str, Mapping[str, Any]],
    received: Mapping[str, Json],
    *,
    now: str,
    started: str,
) -> list[Json]:
    """All objects of a kind with ``spec`` as written and ``status``; times in RFC 3339.

    ``specs`` is by ``str(ref)``, ``received`` by peer name; ``started`` stands in for an unknown creation time.
    """
    if kind == "OverlayVPNTunnel":
        return [_object(t.ref, t.generation, specs, tunnel_status(t, now)) for t in report.tunnels]
    if kind == "OverlayBGPPeer":
        return [
            _object(p.ref, p.generation, specs, peer_status(p, now) | received.get(p.ref.name, {}))
            for p in report.peers
        ]
    gateway_status = {
        "CurrNode": report.node,
        "CreatedTime": report.created or started,
        "LastReportTime": now,
        "Status": str(report.health),
        "dataplane": {"mode": report.dataplane_mode, "reason": report.dataplane_reason},
        "routes": {"installed": report.routes_installed, "desired": report.routes_desired},
        "leakProtection": _leak(report.leak),
        "conditions": [
            _condition(
                "Ready", is_true=report.health == Health.HEALTHY, reason=str(report.health), message=_summary(report)
            )
        ],
    }
    return [_object(report.gateway, report.gateway_generation, specs, gateway_status)]


def tunnel_status(tunnel: TunnelReport, now: str) -> Json:
    """``status`` of an OverlayVPNTunnel."""
    return {
        "Status": tunnel.status,
        "LastReportTime": now,
        "interface": tunnel.interface,
        "ike": tunnel.ike,
        "child": tunnel.child,
        "bytesIn": tunnel.bytes_in,
        "bytesOut": tunnel.bytes_out,
        "conditions": [
            _condition("Ready", is_true=tunnel.is_usable, reason=tunnel.reason, message=tunnel.message),
        ],
    }


def peer_status(peer: PeerReport, now: str) -> Json:
    """``status`` of an OverlayBGPPeer, without the received prefixes."""
    is_up = peer.status == "established"
    return {
        "Status": peer.status,
        "LastReportTime": now,
        "state": peer.state,
        "uptimeSeconds": peer.uptime_seconds,
        "advertised": [{"prefix": prefix, "med": med} for prefix, med in peer.advertised],
        "receivedCount": peer.received,
        "acceptedCount": peer.accepted,
        "refusedCounts": peer.refused,
        "conditions": [
            _condition("Ready", is_true=is_up, reason=peer.reason, message=peer.message),
            _condition(
                "PrefixesWithinLimit",
                is_true=not peer.is_over_limit,
                reason="PrefixLimit" if peer.is_over_limit else "WithinLimit",
                message="prefixes beyond maxPrefixes are refused" if peer.is_over_limit else "all prefixes fit",
            ),
        ],
    }


def _object(ref: ObjectRef, generation: int, specs: Mapping[str, Mapping[str, Any]], state: Json) -> Json:
    metadata: Json = {"name": ref.name, "namespace": ref.namespace}
    if generation:
        metadata["generation"] = generation
        state = {**state, "observedGeneration": generation}
    spec = specs.get(str(ref))
    return {
        "apiVersion": API_VERSION,
        "kind": ref.kind,
        "metadata": metadata,
        "spec": dict(spec) if spec else None,
        "status": state,
    }


def _condition(name: str, *, is_true: bool, reason: str, message: str) -> Json:
    return {"type": name, "status": "True" if is_true else "False", "reason": reason, "message": message}


def _summary(report: Report) -> str:
    tunnels = sum(tunnel.is_usable for tunnel in report.tunnels)
    sessions = sum(peer.status == "established" for peer in report.peers)
    return (
        f"{tunnels} of {len(report.tunnels)} tunnels usable, {sessions} of {len(report.peers)} sessions established, "
        f"{report.routes_installed} of {report.routes_desired} routes installed"
    )
