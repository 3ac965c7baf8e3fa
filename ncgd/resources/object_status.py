"""Report → ``status`` of each kind on the wire, as NCG spells it (capital letters first), with conditions beside.

Times are RFC 3339 in UTC. The same for ``kubectl get -o yaml`` and ``ncgctl get -o yaml``.
"""

from collections.abc import Sequence
from typing import Any

from ncgd.model.report import (
    Condition,
    ExportReport,
    LeakReport,
    MasqueradeReport,
    PeerReport,
    RefusedReport,
    Report,
    TunnelReport,
)

Json = dict[str, Any]

REFUSED = "refused"
"""``Status`` of an object that is not in force."""


def tunnel_status(tunnel: TunnelReport, now: str) -> Json:
    """``status`` of an OverlayVPNTunnel; counters in bytes."""
    return {
        "Status": tunnel.status,
        "LastReportTime": now,
        "interface": tunnel.interface,
        "ike": tunnel.ike,
        "child": tunnel.child,
        "bytesIn": tunnel.bytes_in,
        "bytesOut": tunnel.bytes_out,
        **_told(tunnel.conditions, tunnel.generation),
    }


def peer_status(peer: PeerReport, now: str, received: Sequence[tuple[str, str]], *, listed: int) -> Json:
    """``status`` of an OverlayBGPPeer. ``received``: prefix and verdict; lists end after ``listed`` entries."""
    return {
        "Status": peer.status,
        "LastReportTime": now,
        "state": peer.state,
        "uptimeSeconds": peer.uptime_seconds,
        "advertisedCount": len(peer.advertised),
        "advertised": [{"prefix": prefix, "med": med} for prefix, med in peer.advertised[:listed]],
        "receivedCount": peer.received,
        "acceptedCount": peer.accepted,
        "refusedCounts": peer.refused,
        "received": [{"prefix": prefix, "reason": reason} for prefix, reason in received[:listed]],
        **_told(peer.conditions, peer.generation),
    }


def gateway_status(report: Report, now: str, started: str, *, listed: int) -> Json:
    """``status`` of the NetworkConnectivityGateway; ``started`` stands in for an unknown creation time.

    The list of exports ends after ``listed`` entries, those that are not advertised first.
    """
    return {
        "CurrNode": report.node,
        "CreatedTime": report.created or started,
        "LastReportTime": now,
        "Status": str(report.health),
        "dataplane": {"mode": report.dataplane_mode, "reason": report.dataplane_reason},
        "routes": {"installed": report.routes_installed, "desired": report.routes_desired},
        "leakProtection": leak_status(report.leak),
        "export": export_status(report.exports, listed=listed),
        "masquerade": masquerade_status(report.masquerade),
        **_told(report.conditions, report.gateway_generation),
    }


def export_status(exports: Sequence[ExportReport], *, listed: int) -> Json:
    """Our networks: counts, and each with its reason."""
    told = sum(row.is_told for row in exports)
    rows = sorted(exports, key=lambda row: row.is_told)[:listed]
    return {
        "advertised": told,
        "notAdvertised": len(exports) - told,
        "prefixes": [
            {"prefix": row.prefix, "advertised": row.is_told, "reason": row.reason, "message": row.message}
            for row in rows
        ],
    }


def leak_status(leak: LeakReport) -> Json:
    """Leak protection, as part of a status; counts of prefixes and packets."""
    return {
        "mode": leak.mode,
        "guarded": leak.guarded,
        "dropped": leak.dropped,
        "remembered": leak.remembered,
        "waitsFor": list(leak.waits_for),
    }


def masquerade_status(masquerade: MasqueradeReport) -> Json:
    """Who keeps their source address, as part of a status; counts of prefixes."""
    return {
        "mode": masquerade.mode,
        "exempt": masquerade.exempt,
        "table": masquerade.table,
        "rules": list(masquerade.rules),
        "unread": masquerade.unread,
    }


def refused_status(refused: RefusedReport, now: str) -> Json:
    """``status`` of an object of any kind that is not in force."""
    return {"Status": REFUSED, "LastReportTime": now, **_told(refused.conditions, refused.generation)}


def _told(conditions: Sequence[Condition], generation: int) -> Json:
    observed: Json = {"observedGeneration": generation} if generation else {}
    return {
        **observed,
        "conditions": [
            {
                "type": each.type,
                "status": "True" if each.is_true else "False",
                "reason": each.reason,
                "message": each.message,
                "lastTransitionTime": each.since,
                **observed,
            }
            for each in conditions
        ],
    }
