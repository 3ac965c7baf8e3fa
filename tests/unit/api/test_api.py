"""The API and ncgctl, end to end over a real socket, on a gateway from the scenarios."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import AF_UNIX
from socket import socket as new_socket
from typing import TypeVar

import pytest
import yaml
from click.testing import CliRunner, Result

from ncgd.api.server import Api
from ncgd.cli.main import main
from ncgd.daemon.loop import State
from ncgd.decision.desired import desired_state
from ncgd.decision.timeline import Timeline
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.ike import IkeFailure, Traffic
from ncgd.model.look import Walk
from ncgd.model.probe import ProbeReport, Pulse, Vitality
from tests.scenarios.site import VPC, Site, ha_vpn, healthy_site
from tests.unit.decision.diagnosis.looking import walked

T = TypeVar("T")


async def looked(site: Site, walk: Walk[T], /) -> T:
    """What a diagnosis comes to on a healthy machine."""
    return walked(walk, site, {})


@contextmanager
def served(
    site: Site, path: Path, *, is_started: bool = True, timeline: Timeline | None = None, stalled: float = 0.0
) -> Iterator[Path]:
    """The API of a site on a socket, in a thread of its own; its last pass was ``stalled`` seconds ago."""
    state = State(site.world, timeline=timeline or Timeline())
    if is_started:
        state.desired = desired_state(site.world)
        state.report, state.ended = site.report(), time.monotonic() - stalled
    ready, loop = threading.Event(), asyncio.new_event_loop()
    socket = path / "ncgd.sock"
    task: asyncio.Task[None] | None = None

    async def serve() -> None:
        nonlocal task
        task = asyncio.ensure_future(Api(socket, lambda: state, partial(looked, site)).run())
        while not socket.exists():
            await asyncio.sleep(0.005)
        ready.set()
        with suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(5)
    try:
        yield socket
    finally:
        assert task is not None
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def ncgctl(socket: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--socket", str(socket), *arguments])


def degraded_site() -> Site:
    site = healthy_site()
    failure = IkeFailure(tunnel="tunnel-1", reason="AuthenticationFailed", message="the peer refused our key")
    site.lose_sa("tunnel-1")
    site.tell(ev.IkeFailed(failure=failure))
    site.peer_sends("peer-2", px.parse("0.0.0.0/0"))
    site.settle()
    return site


def test_status_json_keeps_its_contract(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, "status", "-o", "json")
    assert result.exit_code == 0
    status = json.loads(result.output)
    assert (status["status"], status["stalledSeconds"]) == ("Healthy", 0)
    assert set(status["dataplane"]) == {"mode", "reason"}
    assert status["routes"] == {"installed": 1, "desired": 1, "drift": 0}
    assert status["problems"] == []
    tunnel = status["tunnels"][0]
    assert {"name", "status", "interface", "ike", "child", "bytesIn", "bytesOut", "usable", "reason"} <= tunnel.keys()
    assert (tunnel["name"], tunnel["status"], tunnel["usable"]) == ("tunnel-1", "established", True)
    assert tunnel["carried"].keys() == {"bytesIn", "bytesOut", "packetsIn", "packetsOut"}
    assert tunnel["probe"] == {"pulse": "Unproven", "rttSeconds": None, "loss": 0.0}
    assert status["failovers"] == {"count": 0, "byCause": {}, "recent": []}
    peer = status["peers"][1]
    assert {
        "name", "status", "state", "tunnel", "received", "accepted", "refused", "advertised", "uptimeSeconds",
    } <= peer.keys()  # fmt: skip
    assert (peer["received"], peer["accepted"], peer["refused"]) == (1, 1, 0)
    assert peer["advertised"] == [{"prefix": "10.10.0.0/24", "med": 100}]


def test_what_the_probe_finds_is_in_the_contract_and_on_the_screen(tmp_path: Path) -> None:
    site = healthy_site()
    probes = {"tunnel-1": ProbeReport(vitality=Vitality(pulse=Pulse.ALIVE), rtt_seconds=0.0123, loss=0.25)}
    site.tell(ev.ProbesRead(probes=probes))
    with served(site, tmp_path) as socket:
        first, second = json.loads(ncgctl(socket, "status", "-o", "json").output)["tunnels"]
        text = ncgctl(socket, "status").output
    assert first["probe"] == {"pulse": "Alive", "rttSeconds": 0.0123, "loss": 0.25}
    assert second["probe"] is None
    assert "12.3 ms 25% lost" in text
    assert "no rule of others was found that would masquerade" in " ".join(text.split())


def test_a_peer_that_never_answers_an_echo_is_not_told_as_losing_all(tmp_path: Path) -> None:
    site = healthy_site()
    site.tell(ev.ProbesRead(probes={"tunnel-1": ProbeReport(loss=1.0)}))
    with served(site, tmp_path) as socket:
        text = ncgctl(socket, "status").output
    assert "no echo yet" in text
    assert "100% lost" not in text


def test_what_is_old_is_said_to_be_old_and_is_not_well(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, stalled=60.0) as socket:
        screen, answer = ncgctl(socket, "status"), json.loads(ncgctl(socket, "status", "-o", "json").output)
    assert re.match(r"Stalled   ncgd has made no pass for 6\d s; what follows is what it saw then", screen.output)
    assert screen.exit_code == 1
    assert 60 <= answer["stalledSeconds"] < 70


def test_what_a_tunnel_has_carried_does_not_begin_anew_with_its_keys(tmp_path: Path) -> None:
    site = healthy_site()
    for child, count in (("1", 5 << 20), ("2", 1 << 20)):
        sa = replace(site.sas["tunnel-1"], child_id=child, children={child: Traffic(bytes_in=count)}, bytes_in=count)
        site.tell(ev.SasRead(charon="charon", sas={**site.sas, "tunnel-1": sa}))
    with served(site, tmp_path) as socket:
        assert "6.0 MiB" in ncgctl(socket, "status").output


def test_the_screen_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    with served(degraded_site(), tmp_path) as socket:
        result = ncgctl(socket, "status")
    assert result.exit_code == 1
    assert "Degraded" in result.output
    assert "AuthenticationFailed OverlayVPNTunnel/kube-system/tunnel-1" in result.output
    assert "trailing newline" in result.output
    assert "1 received prefix is refused" in result.output
    assert all(len(line) < 140 for line in result.output.splitlines())


@pytest.mark.parametrize("kind", ["overlayvpntunnel", "OverlayBGPPeers", "NetworkConnectivityGateway", "obp", "ncg"])
def test_objects_have_the_status_that_ncg_spells(tmp_path: Path, kind: str) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, "get", kind, "-o", "yaml")
    items = yaml.safe_load(result.output)["items"]
    for item in items:
        assert item["apiVersion"] == "networking.gke.io/v1alpha1"
        wanted = "Healthy" if item["kind"] == "NetworkConnectivityGateway" else "established"
        assert item["status"]["Status"] == wanted
        assert item["status"]["conditions"][0]["status"] == "True"


def test_the_gateway_reports_node_and_heartbeat(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, "get", "networkconnectivitygateway", "default", "-o", "json")
    status = json.loads(result.output)["status"]
    assert status["CurrNode"] == "node-1"
    assert status["CreatedTime"].endswith("Z")
    assert status["LastReportTime"] >= status["CreatedTime"]


def test_received_prefixes_come_with_the_reason_of_each_refusal(tmp_path: Path) -> None:
    with served(degraded_site(), tmp_path) as socket:
        result = ncgctl(socket, "get", "overlaybgppeer", "peer-2", "-o", "json")
    received = json.loads(result.output)["status"]["received"]
    assert received[0] == {"prefix": "0.0.0.0/0", "reason": "DefaultRoute"}
    assert {"prefix": px.text(VPC), "reason": "Accepted"} in received


@pytest.mark.parametrize("output", ["table", "wide"])
def test_tables(tmp_path: Path, output: str) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, "get", "overlayvpntunnel", "-o", output)
    header, first, second = result.output.splitlines()
    assert header.split()[:3] == ["NAMESPACE", "NAME", "STATUS"]
    assert ("MESSAGE" in header) == (output == "wide")
    assert first.split()[:3] == ["kube-system", "tunnel-1", "established"]
    assert second.split()[:3] == ["kube-system", "tunnel-2", "established"]


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("10.128.0.7", ["10.128.0.7/32 is covered by 10.128.0.0/20", "preference", "forwards through peer-2"]),
        ("0.0.0.0/0", ["not routed", "DefaultRoute"]),
        ("172.16.0.0/12", ["not routed by ncgd; no accepted path covers it"]),
        (
            "tunnel-1",
            ["SaDown", "AuthenticationFailed", "data path: nothing can pass now", "session peer-1: Established"],
        ),
        ("peer-2", ["Established", "advertised with MED 50: 10.10.0.0/24", "refused 0.0.0.0/0: DefaultRoute"]),
    ],
)
def test_explain_tells_why(tmp_path: Path, what: str, lines: list[str]) -> None:
    with served(degraded_site(), tmp_path) as socket:
        result = ncgctl(socket, "explain", what)
    assert result.exit_code == 0
    assert all(line in result.output for line in lines), result.output


def test_explain_says_when_everything_is_dropped(tmp_path: Path) -> None:
    site = healthy_site()
    site.lose_sa("tunnel-1")
    site.lose_sa("tunnel-2")
    site.settle()
    with served(site, tmp_path) as socket:
        assert "a blackhole keeps it from leaking" in ncgctl(socket, "explain", px.text(VPC)).output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("explain", "nonsense"), 1, "no tunnel, no peer, and neither prefix nor address"),
        (("get", "pods"), 1, "unknown kind 'pods'; known: OverlayVPNTunnel"),
        (("get", "overlayvpntunnel", "nope"), 1, "there is no overlayvpntunnel 'nope' in force"),
        (("explain", "tunel-1"), 1, "did you mean tunnel-1?"),
        (("frobnicate",), 2, "No such command 'frobnicate'."),
        (("stats",), 2, "No such command 'stats'. Did you mean 'status'?"),
    ],
)
def test_wrong_questions_get_clear_answers(tmp_path: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, *arguments)
    assert result.exit_code == code
    assert text in result.output


def test_no_daemon_is_exit_3_and_names_the_socket(tmp_path: Path) -> None:
    result = ncgctl(tmp_path / "none.sock", "status")
    assert result.exit_code == 3
    assert str(tmp_path / "none.sock") in result.output


def test_a_daemon_that_hangs_is_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    """It was asked whether it runs."""
    with new_socket(AF_UNIX) as listening, new_socket(AF_UNIX) as waiting:
        listening.bind(str(tmp_path / "ncgd.sock"))
        listening.listen(0)
        waiting.connect(str(tmp_path / "ncgd.sock"))
        result = ncgctl(tmp_path / "ncgd.sock", "status")
    assert result.exit_code == 3
    assert "is there and does not answer" in result.output


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_is_full_ends_no_command_by_a_traceback(tmp_path: Path, unbuffered: str) -> None:
    argv = [sys.executable, "-c", "from ncgd.cli.main import main; main()", "--socket"]
    with served(healthy_site(), tmp_path) as path, Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*argv, str(path), "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, "ncgctl: cannot write the output: No space left on device\n")


def test_a_daemon_that_has_just_started_says_so(tmp_path: Path) -> None:
    with served(Site(ha_vpn()), tmp_path, is_started=False) as socket:
        result = ncgctl(socket, "status")
    assert result.exit_code == 1
    assert "has just started" in result.output


def test_the_socket_is_for_root_alone(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket:
        assert socket.stat().st_mode & 0o777 == 0o600


def test_help_teaches_by_example() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert "ncgctl explain 10.128.0.0/20" in result.output
    assert "Exit status" in result.output


def test_diagnose_tells_what_is_fine(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path) as socket:
        result = ncgctl(socket, "diagnose")
        assert result.exit_code == 0
        assert "checks are fine" in result.output
        assert ncgctl(socket, "diagnose", "--from", "10.10.0.10").exit_code == 2
        assert "did you mean tunnel-1?" in ncgctl(socket, "diagnose", "tunel-1").output
        assert "IPv4 addresses" in ncgctl(socket, "diagnose", "--to", "a-pod").output


def test_diagnose_names_the_first_thing_that_is_wrong(tmp_path: Path) -> None:
    with served(degraded_site(), tmp_path) as socket:
        result = ncgctl(socket, "diagnose", "tunnel-1")
        assert result.exit_code == 1
        assert "ok    way out" in result.output
        assert "FAIL  IKE" in result.output
        assert "First thing wrong: AuthenticationFailed." in result.output
        answer = json.loads(ncgctl(socket, "diagnose", "-o", "json").output)
        assert answer["first"]["reason"] == "AuthenticationFailed"
        assert answer["steps"][-1].keys() == {"name", "where", "verdict", "saw", "reason", "todo"}
