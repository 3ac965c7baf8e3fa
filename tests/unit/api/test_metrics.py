"""Metrics: by Prometheus' rules, bounded, true, and described."""

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ncgd.api import metrics, metrics_reference
from ncgd.api.metrics_families import FAMILIES
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.histogram import Histogram
from ncgd.model.ike import SaState, Traffic, TunnelSa
from ncgd.model.probe import EchoTally, ProbeReport, Pulse, Vitality
from ncgd.model.reason import Refusal
from ncgd.model.report import Problem, Report
from tests.scenarios.resources import peer, tunnel
from tests.scenarios.site import VPC, Site, attributes, ha_vpn, healthy_site

MONITORING = Path(__file__).parents[3] / "config/monitoring"
PASSES = Histogram.of(0.01, 0.1).plus(0.003).plus(0.05)
TUNNELS, PREFIXES = 64, 5000


def render(report: Report) -> str:
    return metrics.render(report, PASSES).decode()


def samples(report: Report) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    """Values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(report))
        for sample in family.samples
    }


def value(report: Report, name: str, **labels: str) -> float:
    return samples(report)[name, frozenset(labels.items())]


def busy_site() -> Site:
    """Something in every family."""
    site = healthy_site()
    site.peer_sends("peer-2", px.parse("0.0.0.0/0"))
    carried = {"7": Traffic(1000, 500, 10, 5)}
    up = {
        name: replace(sa, child_id="7", children=carried, child_text="INSTALLED", child_seconds=60)
        for name, sa in site.sas.items()
    }
    site.sas = dict(up)
    trips = EchoTally(round_trips=Histogram.of(0.01, 0.1).plus(0.02), lost=3)
    probed = ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE), tally=trips)
    site.tell(
        ev.SasRead(charon="charon", sas=up),
        ev.ProbesRead(probes=dict.fromkeys(up, probed)),
        ev.GuardCounted(packets=4),
        ev.SpeakerLost(reason="gone"),
    )
    site.lose_sa("tunnel-1")
    site.settle()
    site.tell(ev.ProbesRead(probes=dict.fromkeys(up, probed)))
    return site


def large_report() -> Report:
    """Sixty-four tunnels with a peer each, five thousand prefixes, and all that can be wrong."""
    numbers = range(1, TUNNELS + 1)
    intent = replace(
        ha_vpn(),
        tunnels={f"tunnel-{n}": tunnel(n) for n in numbers},
        peers={f"peer-{n}": peer(n) for n in numbers},
    )
    site = Site(intent)
    many = [px.make(4, (10 << 24) + (200 << 16) + i * 256, 24) for i in range(PREFIXES)]
    for name in ("peer-1", "peer-2"):
        site.sent[name] = dict.fromkeys(many, attributes())
    site.charon_answers()
    site.speaker_answers()
    site.settle(200)
    report = site.report()
    assert report.routes_installed == PREFIXES
    probe = ProbeReport(rtt_seconds=0.02)
    problems = [Problem(reason=f"Reason{n}", object="x", message="x") for n in range(70)]
    return replace(
        report,
        tunnels=tuple(replace(each, probe=probe, child="INSTALLED") for each in report.tunnels),
        peers=tuple(replace(each, refused=dict.fromkeys(map(str, Refusal), 1)) for each in report.peers),
        problems=tuple(problems),
    )


@pytest.mark.parametrize("site", [healthy_site, busy_site, lambda: Site(ha_vpn())])
def test_promtool_finds_nothing_wrong(site: object) -> None:
    assert callable(site)
    check = ["promtool", "check", "metrics"]
    done = subprocess.run(check, input=render(site().report()), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_number_of_series_is_bounded_by_the_resources() -> None:
    found = samples(large_report())
    assert len(found) <= 2000
    assert not any("10.200." in text for _, labels in found for _, text in labels), "no label holds a prefix"


def test_every_family_is_there_and_described() -> None:
    names = {family.name for family in text_string_to_metric_families(render(busy_site().report()))}
    assert {family.name.removesuffix("_total") for family in FAMILIES} <= names
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_reference_is_what_the_code_says() -> None:
    told = (MONITORING / "METRICS.md").read_text()
    assert told == metrics_reference.text(), "run: python -m ncgd.api.metrics_reference > config/monitoring/METRICS.md"


def test_what_a_tunnel_shows() -> None:
    site = busy_site()
    report = site.report()
    assert value(report, "ncgd_tunnel_usable", tunnel="tunnel-1") == 0
    assert value(report, "ncgd_tunnel_usable", tunnel="tunnel-2") == 1
    two = {"tunnel": "tunnel-2"}
    assert value(report, "ncgd_tunnel_esp_bytes_total", **two, direction="in") == 1000
    assert value(report, "ncgd_tunnel_esp_packets_total", **two, direction="out") == 5
    assert value(report, "ncgd_tunnel_negotiations_total", **two, kind="new") == 1
    assert value(report, "ncgd_tunnel_round_trip_seconds_bucket", **two, le="0.01") == 0
    assert value(report, "ncgd_tunnel_round_trip_seconds_bucket", **two, le="0.1") == 1
    assert value(report, "ncgd_tunnel_round_trip_seconds_sum", **two) == 0.02
    assert value(report, "ncgd_tunnel_echoes_lost_total", **two) == 3


def test_ages_are_told_of_sas_that_are_there() -> None:
    site = healthy_site()
    sa = TunnelSa(
        tunnel="tunnel-1",
        state=SaState.INSTALLED,
        digest=site.sas["tunnel-1"].digest,
        child_text="INSTALLED",
        established_seconds=600,
        child_seconds=60,
    )
    site.tell(ev.SasRead(charon="charon", sas={"tunnel-1": sa}))
    report = site.report()
    assert value(report, "ncgd_tunnel_ike_sa_age_seconds", tunnel="tunnel-1") == 600
    assert value(report, "ncgd_tunnel_esp_sa_age_seconds", tunnel="tunnel-1") == 60
    assert ("ncgd_tunnel_esp_sa_age_seconds", frozenset({("tunnel", "tunnel-2")})) not in samples(report)


def test_what_sessions_routes_and_the_guard_show() -> None:
    report = busy_site().report()
    assert value(report, "ncgd_bgp_session_established", peer="peer-2") == 1
    assert value(report, "ncgd_bgp_prefixes_received", peer="peer-2") == 2
    assert value(report, "ncgd_bgp_prefixes_accepted", peer="peer-2") == 1
    assert value(report, "ncgd_bgp_prefixes_refused", peer="peer-2") == 1
    assert value(report, "ncgd_bgp_prefixes_advertised", peer="peer-2") == 1
    assert value(report, "ncgd_bgp_refusals", reason="DefaultRoute") == 1
    assert value(report, "ncgd_routes_desired") == value(report, "ncgd_routes_observed") == 1
    assert value(report, "ncgd_leak_guard_dropped_packets_total") == 4
    assert value(report, "ncgd_leak_guard_prefixes") == 1


def test_what_went_wrong_shows() -> None:
    report = busy_site().report()
    assert value(report, "ncgd_gateway_status", status="Degraded") == 1
    assert value(report, "ncgd_problems", reason="SaDown", severity="error") == 1
    assert value(report, "ncgd_failovers_total", cause="SaDown") == 1
    assert value(report, "ncgd_failover_duration_seconds_count") == 1
    assert value(report, "ncgd_program_setbacks_total", program="exabgp", kind="unreachable") == 1
    assert value(report, "ncgd_driver_failures_total", table="clamps") == 0


def test_rows_that_fail_show() -> None:
    site = Site(ha_vpn())
    site.failing["clamps"] = "no nft"
    site.one_pass()
    assert value(site.report(), "ncgd_driver_failures_total", table="clamps") == 2


def test_a_withdrawn_prefix_leaves_no_series_behind() -> None:
    site = healthy_site()
    before = samples(site.report()).keys()
    site.peer_sends("peer-1", *(px.make(4, (10 << 24) + (200 << 16) + i * 256, 24) for i in range(50)))
    site.settle()
    assert samples(site.report()).keys() == before
    site.tell(ev.PathsWithdrawn(peer="peer-1", prefixes=(VPC,)))
    site.settle()
    assert samples(site.report()).keys() == before


def test_passes_are_counted_by_duration() -> None:
    report = healthy_site().report()
    assert value(report, "ncgd_pass_duration_seconds_bucket", le="0.01") == 1
    assert value(report, "ncgd_pass_duration_seconds_count") == 2
    assert value(report, "ncgd_pass_duration_seconds_sum") == pytest.approx(0.053)
