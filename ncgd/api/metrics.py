"""Report → Prometheus metrics. Bounded: labels are tunnel and peer names, never prefixes."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ncgd import __version__
from ncgd.model.report import Health, Report
from ncgd.model.role import Part


class _Families:
    """One scrape's families; a prometheus_client collector."""

    def __init__(self, report: Report, passes: int, pass_seconds: float) -> None:
        self._report = report
        self._passes = passes
        self._pass_seconds = pass_seconds

    def collect(self) -> Iterator[Metric]:
        """All families."""
        report = self._report
        build = GaugeMetricFamily("ncgd_build_info", "Version of ncgd; always 1.", labels=["version", "dataplane"])
        build.add_metric([__version__, report.dataplane_mode], 1)
        yield build
        health = GaugeMetricFamily("ncgd_gateway_status", "1 for the status that holds now.", labels=["status"])
        for status in Health:
            health.add_metric([str(status)], float(report.health == status))
        yield health
        role = GaugeMetricFamily("ncgd_role", "1 for the part that this ncgd plays now.", labels=["part"])
        for part in Part:
            role.add_metric([str(part)], float(report.role.part == part))
        yield role
        epoch = "How often the Lease has changed hands, as far as this ncgd knows."
        yield GaugeMetricFamily("ncgd_lease_epoch", epoch, value=report.role.epoch)
        usable = GaugeMetricFamily("ncgd_tunnel_usable", "1 while the tunnel carries traffic.", labels=["tunnel"])
        carried = CounterMetricFamily(
            "ncgd_tunnel_esp_bytes", "Bytes through the tunnel's SAs.", labels=["tunnel", "direction"]
        )
        for tunnel in report.tunnels:
            usable.add_metric([tunnel.ref.name], float(tunnel.is_usable))
            carried.add_metric([tunnel.ref.name, "in"], tunnel.bytes_in)
            carried.add_metric([tunnel.ref.name, "out"], tunnel.bytes_out)
        yield usable
        yield carried
        up = GaugeMetricFamily("ncgd_bgp_session_established", "1 while the session is established.", labels=["peer"])
        uptime = GaugeMetricFamily("ncgd_bgp_session_uptime_seconds", "Age of the session.", labels=["peer"])
        prefixes = GaugeMetricFamily("ncgd_bgp_prefixes", "Prefixes by verdict.", labels=["peer", "verdict"])
        for peer in report.peers:
            name = peer.ref.name
            up.add_metric([name], float(peer.status == "established"))
            uptime.add_metric([name], peer.uptime_seconds)
            for verdict, count in (
                ("received", peer.received),
                ("accepted", peer.accepted),
                ("refused", sum(peer.refused.values())),
                ("advertised", len(peer.advertised)),
            ):
                prefixes.add_metric([name, verdict], count)
        yield up
        yield uptime
        yield prefixes
        routes = GaugeMetricFamily("ncgd_routes", "Routes desired, and observed in the kernel.", labels=["table"])
        routes.add_metric(["desired"], report.routes_desired)
        routes.add_metric(["observed"], report.routes_installed)
        yield routes
        yield CounterMetricFamily("ncgd_drift_rows", "Rows of ours that others changed.", value=report.drift)
        problems = GaugeMetricFamily("ncgd_problems", "Problems shown by ncgctl status.", labels=["reason"])
        for reason in sorted({problem.reason for problem in report.problems}):
            problems.add_metric([reason], sum(problem.reason == reason for problem in report.problems))
        yield problems
        yield CounterMetricFamily("ncgd_passes", "Passes of the loop.", value=self._passes)
        yield GaugeMetricFamily("ncgd_pass_seconds", "Duration of the last pass.", value=self._pass_seconds)


def render(report: Report, passes: int, pass_seconds: float) -> bytes:
    """The text exposition format of one moment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(report, passes, pass_seconds))
    return generate_latest(registry)
