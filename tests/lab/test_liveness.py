"""A tunnel whose data path dies without a word: traffic and return path move, and come back."""

import base64
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from ncgd.lab import gateway, topology
from tests.integration.netns import until
from tests.lab import cloud_side, scraped, site_side
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]
CLOUD0, CLOUD1 = "198.51.100.11", "198.51.100.12"


@contextmanager
def blackhole(lab: Lab, rule: str) -> Iterator[None]:
    """Packets that match a rule are dropped between the site and the cloud."""
    table = f"table ip fault {{\n chain c {{\n type filter hook forward priority 0;\n {rule} drop;\n }}\n}}\n"
    exec_in = ("ip", "netns", "exec", topology.namespace("internet"), "nft")
    subprocess.run([*exec_in, "-f", "-"], input=table, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*exec_in, "delete", "table", "ip", "fault"], check=True)


def reasons(lab: Lab) -> dict[str, str]:
    return {tunnel["name"]: tunnel["reason"] for tunnel in lab.status().get("tunnels", [])}


def meds(lab: Lab) -> dict[str, set[int]]:
    return {peer["name"]: {row["med"] for row in peer["advertised"]} for peer in lab.status().get("peers", [])}


def interfaces_used(lab: Lab) -> set[str]:
    shown = lab.run("gw", "ip", "nexthop", "show").stdout
    numbers = dict(re.findall(r"id (\d+) dev (\S+)", shown))
    return {
        numbers[each] for group in re.findall(r"group ([\d/]+)", shown) for each in group.split("/") if each in numbers
    }


def test_the_probe_proves_both_tunnels(lab: Lab) -> None:
    until(lambda: all("probe Alive" in t["message"] for t in lab.status()["tunnels"]), what="both probed")


def test_metrics_are_by_prometheus_rules_count_round_trips_and_hold_no_secret(lab: Lab) -> None:
    name = "ncgd_tunnel_round_trip_seconds"
    for tunnel in ("tunnel-1", "tunnel-2"):
        until(lambda tunnel=tunnel: scraped.value(f"{name}_count", tunnel=tunnel) > 10, 20, "echoes are counted")
        assert 0 < scraped.value(f"{name}_sum", tunnel=tunnel) / scraped.value(f"{name}_count", tunnel=tunnel) < 1
    text = scraped.text()
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout + check.stderr) == (0, "")
    (secret,) = yaml.safe_load_all((gateway.RESOURCES / site_side.SECRET).read_text())
    for key in secret["data"].values():
        assert key not in text
        assert base64.b64decode(key).decode() not in text


@pytest.mark.parametrize(
    "rule",
    [
        f"ip daddr {CLOUD0}",
        f"ip saddr {CLOUD0}",
        f"ip daddr {CLOUD0} udp dport 4500 @th,64,32 != 0",
    ],
    ids=["towards the cloud", "from the cloud", "only ESP, IKE passes"],
)
def test_a_silent_blackhole_moves_the_traffic_and_the_return_path(lab: Lab, rule: str) -> None:
    assert_survives(lab, rule)


def assert_survives(lab: Lab, rule: str) -> None:
    """Tunnel 1 is found dead, tunnel 2 takes over both directions, and all is as before when the fault is gone."""
    before, failovers = interfaces_used(lab), scraped.value("ncgd_failovers_total", cause="DataPathDead")
    with blackhole(lab, rule):
        until(lambda: reasons(lab).get("tunnel-1") == "DataPathDead", 20, "tunnel-1 is found dead")
        until(lambda: len(interfaces_used(lab)) == 1, what="one tunnel carries")
        until(lambda: scraped.value("ncgd_failovers_total", cause="DataPathDead") == failovers + 1)
        last = lab.status()["failovers"]["recent"][-1]
        assert (last["peer"], last["cause"], last["successors"]) == ("peer-1", "DataPathDead", ["peer-2"])
        until(lambda: meds(lab).get("peer-2") == {50}, what="the survivor is preferred for the return path")
        assert lab.status()["status"] == "Degraded"
        problem = next(p for p in lab.status()["problems"] if p["reason"] == "DataPathDead")
        assert "ESP is dropped" in problem["hint"]
        assert lab.run("pod", "ping", "-c", "3", "-i", "0.1", topology.VM).returncode == 0
    until(lambda: lab.status().get("status") == "Healthy", 40, "back to Healthy")
    until(lambda: interfaces_used(lab) == before, what="both tunnels carry again")
    until(lambda: meds(lab) == {"peer-1": {100}, "peer-2": {100}}, what="both are preferred alike")


def kill_ncgd(lab: Lab) -> None:
    """``kill -9``; the keeper starts another one."""
    (before,) = lab.processes("ncgd")
    os.kill(before, signal.SIGKILL)
    until(lambda: lab.processes("ncgd") - {before}, 30, "another ncgd runs")


def test_a_restarted_ncgd_does_not_trust_a_dead_tunnel(lab: Lab) -> None:
    with blackhole(lab, f"ip daddr {CLOUD0}"):
        until(lambda: reasons(lab).get("tunnel-1") == "DataPathDead", 20, "tunnel-1 is found dead")
        until(lambda: len(interfaces_used(lab)) == 1, what="one tunnel carries")
        until(lambda: lab.run("pod", "ping", "-c", "20", "-i", "0.05", topology.VM).returncode == 0)
        with site_side.flowing(topology.VM) as lost:
            kill_ncgd(lab)
            until(lambda: reasons(lab) == {"tunnel-1": "DataPathDead", "tunnel-2": "Usable"}, 20, "it knows")
            assert len(interfaces_used(lab)) == 1
            until(lambda: meds(lab).get("peer-2") == {50}, what="the survivor is still preferred")
        assert lost[topology.VM] == 0
    site_side.healthy()


def test_with_both_data_paths_dead_the_gateway_is_down_also_after_a_restart(lab: Lab) -> None:
    with blackhole(lab, f"ip daddr {{ {CLOUD0}, {CLOUD1} }}"):
        until(lambda: lab.status().get("status") == "Down", 20, "Down")
        site_side.says("Gateway Down", "NothingAnswers", "look for what all tunnels share")
        kill_ncgd(lab)
        until(lambda: reasons(lab) == dict.fromkeys(("tunnel-1", "tunnel-2"), "DataPathDead"), 20, "it knows")
        until(lambda: lab.status().get("status") == "Down", 20, "Down again")
    until(lambda: lab.status().get("status") == "Healthy", 40, "back to Healthy")


def test_a_peer_that_lost_its_state_without_a_word_gets_a_new_sa_before_dpd_notices(lab: Lab) -> None:
    site_side.healthy()
    before = site_side.sa_ids("tunnel-1")
    dpd = site_side.log_of_charon("tunnel-1").count("giving up after")
    cloud_side.stop_charon("cloud0", signal.SIGKILL)
    cloud_side.start_charon("cloud0", "169.254.1.1/30")
    site_side.says("DataPathDead", "repairing: ")
    until(lambda: site_side.sa_ids("tunnel-1") - before, 30, "a new IKE SA")
    assert site_side.log_of_charon("tunnel-1").count("giving up after") == dpd
    site_side.healthy()
    until(lambda: len(site_side.sa_ids("tunnel-1")) == 1, 20, "the old one is gone")
    assert not site_side.sa_ids("tunnel-1") & before


def test_a_peer_that_limits_its_answers_is_not_called_dead_and_status_says_how_much_is_lost(lab: Lab) -> None:
    site_side.healthy()
    deaths = site_side.log_text().count("probe Dead")
    limit = "icmp type echo-request limit rate over 5/second burst 1 packets"
    table = f"table ip few {{\n chain c {{\n type filter hook input priority 0;\n {limit} drop;\n }}\n}}\n"
    subprocess.run(topology.inside("cloud0", "nft", "-f", "-"), input=table, text=True, check=True)
    try:
        until(lambda: "% lost" in (told := site_side.tunnel("tunnel-1")["message"]) and " 0% lost" not in told, 20)
        assert lab.run("pod", "ping", "-c", "50", "-i", "0.1", topology.VM).returncode == 0
        assert site_side.tunnel("tunnel-1")["reason"] == "Usable"
        assert site_side.log_text().count("probe Dead") == deaths
    finally:
        subprocess.run(topology.inside("cloud0", "nft", "delete", "table", "ip", "few"), check=True)
    site_side.healthy()


def test_a_peer_that_never_answers_is_used_and_status_says_who_watches_it(lab: Lab) -> None:
    site_side.healthy()
    table = "table ip mute {\n chain c {\n type filter hook input priority 0;\n icmp type echo-request drop;\n }\n}\n"
    subprocess.run(topology.inside("cloud0", "nft", "-f", "-"), input=table, text=True, check=True)
    try:
        until(lambda: reasons(lab).get("tunnel-1") == "DataPathDead", 20, "it answered before, so it is dead")
        (gateway.RUN / "pulses.json").unlink()
        kill_ncgd(lab)
        until(
            lambda: "answered no echo yet, so only DPD and BGP" in site_side.tunnel("tunnel-1").get("message", ""), 20
        )
        site_side.healthy()
        until(lambda: len(interfaces_used(lab)) == 2, what="both tunnels carry")
    finally:
        subprocess.run(topology.inside("cloud0", "nft", "delete", "table", "ip", "mute"), check=True)
    site_side.healthy()
