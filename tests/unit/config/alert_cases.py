"""For every alert: series that make it fire, what it then says, and series that leave it silent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]
"""Values, one a minute, in promtool's notation (``0+5x30``: 0, then 5 more each time), by series."""

GATEWAY = {'ncgd_role{part="Standalone"}': "1x60"}
STANDBY = {'ncgd_role{part="Active"}': "0x60", 'ncgd_role{part="Standby"}': "1x60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert, looked at after 40 minutes."""

    alert: str
    fires: Series
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Beside alertname, severity, job and instance."""
    silent: tuple[Series, ...]
    is_of_job: bool = False
    """The alert is of all instances together."""


CASES = (
    Case(
        alert="NcgdGatewayDown",
        fires={'ncgd_gateway_status{status="Down"}': "1x60"},
        labels={"status": "Down"},
        summary="gw: nothing reaches the VPC",
        silent=({'ncgd_gateway_status{status="Down"}': "0x60"}, {'ncgd_gateway_status{status="Degraded"}': "1x60"}),
    ),
    Case(
        alert="NcgdGatewayDegraded",
        fires={'ncgd_gateway_status{status="Degraded"}': "1x60"},
        labels={"status": "Degraded"},
        summary="gw: traffic passes, but something that should work does not",
        silent=({'ncgd_gateway_status{status="Degraded"}': "0x30 1x12"},),
    ),
    Case(
        alert="NcgdUnreachable",
        fires={"up": "0x60"},
        summary="gw: ncgd does not answer Prometheus",
        silent=({"up": "1x60"}, {"up": "0x39 1x20"}),
    ),
    Case(
        alert="NcgdNoGateway",
        fires=STANDBY,
        summary="ncgd: no node is the gateway",
        silent=(GATEWAY, {'ncgd_role{part="Active"}': "1x60"}),
        is_of_job=True,
    ),
    Case(
        alert="NcgdTwoGateways",
        fires={'ncgd_role{part="Active"}': "1x60", 'ncgd_role{part="Active",pod="other"}': "1x60"},
        summary="ncgd: 2 nodes hold themselves for the gateway",
        silent=({'ncgd_role{part="Active"}': "1x60", 'ncgd_role{part="Active",pod="other"}': "0x60"},),
        is_of_job=True,
    ),
    Case(
        alert="NcgdLeaseHeldOver",
        fires={'ncgd_problems{reason="LeaseHeldOver",severity="error"}': "1x60"},
        labels={"reason": "LeaseHeldOver", "severity": "critical"},
        summary="gw: the gateway has lost its Lease, and begins nothing new",
        silent=({'ncgd_problems{reason="SaDown",severity="error"}': "1x60"},),
    ),
    Case(
        alert="NcgdTunnelDown",
        fires={'ncgd_tunnel_usable{tunnel="t"}': "0x60"} | GATEWAY,
        labels={"tunnel": "t"},
        summary="gw: tunnel t carries nothing",
        silent=(
            {'ncgd_tunnel_usable{tunnel="t"}': "1x60"} | GATEWAY,
            {'ncgd_tunnel_usable{tunnel="t"}': "0x60"} | STANDBY,
            {'ncgd_tunnel_usable{tunnel="t"}': "1x37 0x20"} | GATEWAY,
        ),
    ),
    Case(
        alert="NcgdLastTunnel",
        fires={'ncgd_tunnel_usable{tunnel="t"}': "1x60", 'ncgd_tunnel_usable{tunnel="u"}': "0x60"},
        summary="gw: one tunnel is left",
        silent=(
            {'ncgd_tunnel_usable{tunnel="t"}': "1x60"},
            {'ncgd_tunnel_usable{tunnel="t"}': "1x60", 'ncgd_tunnel_usable{tunnel="u"}': "1x60"},
        ),
    ),
    Case(
        alert="NcgdTunnelFlaps",
        fires={'ncgd_tunnel_negotiations_total{tunnel="t",kind="new"}': "0+1x60"},
        labels={"tunnel": "t", "kind": "new"},
        summary="gw: tunnel t was negotiated 30 times in 30 min",
        silent=(
            {'ncgd_tunnel_negotiations_total{tunnel="t",kind="new"}': "0x20 1x20 2x20"},
            {'ncgd_tunnel_negotiations_total{tunnel="t",kind="esp_rekey"}': "0+1x60"},
        ),
    ),
    Case(
        alert="NcgdKeysOld",
        fires={'ncgd_tunnel_esp_sa_age_seconds{tunnel="t"}': "90000x60"},
        labels={"tunnel": "t"},
        summary="gw: tunnel t has used the same keys for 1d 1h 0m 0s",
        silent=({'ncgd_tunnel_esp_sa_age_seconds{tunnel="t"}': "9000x60"},),
    ),
    Case(
        alert="NcgdEchoesLost",
        fires={
            'ncgd_tunnel_echoes_lost_total{tunnel="t"}': "0+30x60",
            'ncgd_tunnel_round_trip_seconds_count{tunnel="t"}': "0+270x60",
            'ncgd_tunnel_usable{tunnel="t"}': "1x60",
        },
        labels={"tunnel": "t"},
        summary="gw: tunnel t loses 10% of its echoes",
        silent=(
            {
                'ncgd_tunnel_echoes_lost_total{tunnel="t"}': "0+3x60",
                'ncgd_tunnel_round_trip_seconds_count{tunnel="t"}': "0+297x60",
                'ncgd_tunnel_usable{tunnel="t"}': "1x60",
            },
            {
                'ncgd_tunnel_echoes_lost_total{tunnel="t"}': "0+300x60",
                'ncgd_tunnel_round_trip_seconds_count{tunnel="t"}': "0x60",
                'ncgd_tunnel_usable{tunnel="t"}': "0x60",
            },
        ),
    ),
    Case(
        alert="NcgdSessionDown",
        fires={'ncgd_bgp_session_established{peer="p"}': "0x60"} | GATEWAY,
        labels={"peer": "p"},
        summary="gw: the BGP session with p is down",
        silent=(
            {'ncgd_bgp_session_established{peer="p"}': "1x60"} | GATEWAY,
            {'ncgd_bgp_session_established{peer="p"}': "0x60"} | STANDBY,
        ),
    ),
    Case(
        alert="NcgdSessionFlaps",
        fires={'ncgd_bgp_session_uptime_seconds{peer="p"}': "60+60x14 0 60 120 0 60 120 0 60 0+60x40"},
        labels={"peer": "p"},
        summary="gw: the session with p has ended 4 times in 30 min",
        silent=({'ncgd_bgp_session_uptime_seconds{peer="p"}': "0+60x20 0+60x30"},),
    ),
    Case(
        alert="NcgdNothingReceived",
        fires={'ncgd_bgp_session_established{peer="p"}': "1x60", 'ncgd_bgp_prefixes_received{peer="p"}': "0x60"},
        labels={"peer": "p"},
        summary="gw: p advertises nothing",
        silent=(
            {'ncgd_bgp_session_established{peer="p"}': "1x60", 'ncgd_bgp_prefixes_received{peer="p"}': "1x60"},
            {'ncgd_bgp_session_established{peer="p"}': "0x60", 'ncgd_bgp_prefixes_received{peer="p"}': "0x60"},
        ),
    ),
    Case(
        alert="NcgdPrefixesGone",
        fires={
            'ncgd_bgp_prefixes_accepted{peer="p"}': "100x20 40x40",
            'ncgd_bgp_session_established{peer="p"}': "1x60",
        },
        labels={"peer": "p"},
        summary="gw: p has fewer than half of the prefixes of an hour ago",
        silent=(
            {
                'ncgd_bgp_prefixes_accepted{peer="p"}': "100x20 60x40",
                'ncgd_bgp_session_established{peer="p"}': "1x60",
            },
            {
                'ncgd_bgp_prefixes_accepted{peer="p"}': "100x20 0x40",
                'ncgd_bgp_session_established{peer="p"}': "1x20 0x40",
            },
        ),
    ),
    Case(
        alert="NcgdPrefixLimit",
        fires={'ncgd_bgp_refusals{reason="PrefixLimit"}': "7x60"},
        labels={"reason": "PrefixLimit"},
        summary="gw: 7 prefixes beyond maxPrefixes are refused",
        silent=({'ncgd_bgp_refusals{reason="DefaultRoute"}': "1x60"},),
    ),
    Case(
        alert="NcgdFailoversOften",
        fires={
            'ncgd_failovers_total{cause="SaDown"}': "0+1x5 5x60",
            'ncgd_failovers_total{cause="DataPathDead"}': "0+1x60",
        },
        summary="gw: 45 failovers within an hour",
        silent=({'ncgd_failovers_total{cause="SaDown"}': "0x30 1x30"},),
    ),
    Case(
        alert="NcgdFailoverSlow",
        fires={
            "ncgd_failover_duration_seconds_count": "3x35 4x20",
            'ncgd_failover_duration_seconds_bucket{le="1.0"}': "3x60",
        },
        summary="gw: a failover took more than a second",
        silent=(
            {
                "ncgd_failover_duration_seconds_count": "3x35 9x20",
                'ncgd_failover_duration_seconds_bucket{le="1.0"}': "3x35 9x20",
            },
            {
                "ncgd_failover_duration_seconds_count": "3x20 4x40",
                'ncgd_failover_duration_seconds_bucket{le="1.0"}': "3x60",
            },
        ),
    ),
    Case(
        alert="NcgdRoutesMissing",
        fires={"ncgd_routes_desired": "10x60", "ncgd_routes_observed": "9x60"},
        summary="gw: routes are missing in the kernel",
        silent=(
            {"ncgd_routes_desired": "10x60", "ncgd_routes_observed": "10x60"},
            {"ncgd_routes_desired": "10x60", "ncgd_routes_observed": "10x38 9x20"},
        ),
    ),
    Case(
        alert="NcgdMeddling",
        fires={"ncgd_drift_rows_total": "0+10x60"},
        summary="gw: another program has changed 150 rows of ncgd in 15 min",
        silent=({"ncgd_drift_rows_total": "0x35 8x20"},),
    ),
    Case(
        alert="NcgdUnguarded",
        fires={'ncgd_problems{reason="GuardNotApplied",severity="error"}': "1x60"},
        labels={"reason": "GuardNotApplied"},
        summary="gw: nothing but routes keeps traffic from leaving in cleartext",
        silent=({'ncgd_problems{reason="SaDown",severity="error"}': "1x60"},),
    ),
    Case(
        alert="NcgdLeaksPrevented",
        fires={
            "ncgd_leak_guard_dropped_packets_total": "0+5x60",
            'ncgd_gateway_status{status="Healthy"}': "1x60",
        },
        summary="gw: the guard drops packets although all tunnels are well",
        silent=(
            {"ncgd_leak_guard_dropped_packets_total": "0+5x60", 'ncgd_gateway_status{status="Healthy"}': "0x60"},
            {"ncgd_leak_guard_dropped_packets_total": "5x60", 'ncgd_gateway_status{status="Healthy"}': "1x60"},
        ),
    ),
    Case(
        alert="NcgdConfigRefused",
        fires={'ncgd_config_findings{severity="error"}': "2x60", "ncgd_config_refused_objects": "1x60"},
        summary="gw: resources with mistakes are not in force",
        silent=({'ncgd_config_findings{severity="warning"}': "1x60", "ncgd_config_refused_objects": "0x60"},),
    ),
    Case(
        alert="NcgdProblem",
        fires={'ncgd_problems{reason="SessionDown",severity="error"}': "1x60"},
        labels={"reason": "SessionDown"},
        summary="gw: SessionDown",
        silent=({'ncgd_problems{reason="RouteShadowed",severity="warning"}': "1x60"},),
    ),
    Case(
        alert="NcgdRowsRefused",
        fires={'ncgd_driver_failures_total{table="clamps"}': "0+1x60"},
        labels={"table": "clamps"},
        summary="gw: rows of table clamps cannot be written",
        silent=({'ncgd_driver_failures_total{table="clamps"}': "0x30 2x30"},),
    ),
    Case(
        alert="NcgdProgramUnstable",
        fires={
            'ncgd_program_setbacks_total{program="charon",kind="ended"}': "0x20 2x40",
            'ncgd_program_setbacks_total{program="charon",kind="unreachable"}': "0x20 2x40",
        },
        labels={"program": "charon"},
        summary="gw: charon keeps ending, or does not answer",
        silent=({'ncgd_program_setbacks_total{program="charon",kind="ended"}': "0x20 1x40"},),
    ),
    Case(
        alert="NcgdStalled",
        fires={"ncgd_pass_duration_seconds_count": "0+60x30 1800x30"},
        summary="gw: ncgd answers and does nothing",
        silent=({"ncgd_pass_duration_seconds_count": "0+60x60"},),
    ),
    Case(
        alert="NcgdPassesSlow",
        fires={
            'ncgd_pass_duration_seconds_bucket{le="0.25"}': "0x60",
            'ncgd_pass_duration_seconds_bucket{le="1.0"}': "0+60x60",
            'ncgd_pass_duration_seconds_bucket{le="+Inf"}': "0+60x60",
        },
        summary="gw: passes take 925ms",
        silent=(
            {
                'ncgd_pass_duration_seconds_bucket{le="0.25"}': "0+60x60",
                'ncgd_pass_duration_seconds_bucket{le="1.0"}': "0+60x60",
                'ncgd_pass_duration_seconds_bucket{le="+Inf"}': "0+60x60",
            },
        ),
    ),
)
