"""What somebody finds who was not there, on the real thing: the timeline, the live screen, the bundle, and no key."""

import base64
import io
import json
import os
import signal
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd.lab import gateway, install
from ncgd.lab.topology import STATE, namespace
from tests.integration.netns import until
from tests.lab.conftest import Lab
from tests.lab.site_side import SECRET, TUNNELS, edited, healthy
from tests.lab.test_liveness import CLOUD0, blackhole
from tests.unit.cli.screen_reader import Terminal

pytestmark = [pytest.mark.lab, pytest.mark.root]


def entries() -> list[dict[str, Any]]:
    """The timeline, oldest first."""
    return [json.loads(line) for line in gateway.ncgctl("events", "-n", "1000", "-o", "json").stdout.splitlines()]


def last() -> int:
    return max((each["number"] for each in entries()), default=0)


def since(number: int) -> list[tuple[str, str]]:
    """Name and reason of what has happened since an entry."""
    return [(each["object"].rpartition("/")[2], each["reason"]) for each in entries() if each["number"] > number]


def told(number: int, *wanted: tuple[str, str]) -> list[tuple[str, str]]:
    """Wait until all of this is told; everything that was told."""
    try:
        return until(lambda: found if set(wanted) <= set(found := since(number)) else [], 20)
    except AssertionError as error:
        raise AssertionError(f"{wanted} is not told:\n{gateway.ncgctl('events').stdout}") from error


def test_a_start_is_told(lab: Lab) -> None:
    assert entries()[0]["reason"] == "Started"
    assert ("default", "GatewayHealthy") in since(1) or "finds: Healthy" in entries()[0]["message"]


def test_an_outage_is_told_from_its_cause_to_its_end(lab: Lab) -> None:
    healthy()
    before = last()
    with blackhole(lab, f"ip daddr {CLOUD0}"):
        found = told(before, ("tunnel-1", "TunnelDown"), ("peer-1", "Failover"), ("default", "GatewayDegraded"))
        assert found[0] == ("tunnel-1", "TunnelDown"), "the cause comes first"
        down, failover = (
            next(each for each in entries() if each["reason"] == reason and each["number"] > before)
            for reason in ("TunnelDown", "Failover")
        )
        assert down["message"].startswith("DataPathDead: ")
        assert "peer-2" in failover["message"]
    told(before, ("tunnel-1", "TunnelUp"), ("default", "GatewayHealthy"))


@pytest.mark.parametrize(("number", "first"), [(signal.SIGTERM, "Stopped"), (signal.SIGKILL, "Started")])
def test_an_ncgd_that_ends_is_followed_by_one_that_goes_on_with_the_timeline(
    lab: Lab, number: signal.Signals, first: str
) -> None:
    healthy()
    before = entries()
    (pid,) = lab.processes("ncgd")
    os.kill(pid, number)
    told(before[-1]["number"], ("default", "Started"))
    healthy()
    after = entries()
    assert after[: len(before)] == before, "nothing is lost"
    numbers = [each["number"] for each in after]
    assert numbers == sorted(set(numbers)), "they only grow; what came again and again leaves gaps"
    assert since(before[-1]["number"])[0] == ("default", first)
    noise = {"TunnelDown", "TunnelUp", "SessionDown", "SessionUp", "Failover"}
    assert noise.isdisjoint(reason for _, reason in since(before[-1]["number"])), "tunnels and sessions stayed"
    assert "finds: Healthy" in after[-1]["message"] or after[-1]["reason"] == "GatewayHealthy"


def test_an_edit_is_told_by_its_field(lab: Lab) -> None:
    before = last()
    with edited(TUNNELS) as documents:
        documents[0]["spec"]["mtu"] = 1300
    told(before, ("tunnel-1", "Changed"))
    (entry,) = [each for each in entries() if each["reason"] == "Changed" and each["number"] > before]
    assert entry["message"] == "is in force with another spec.mtu"
    with edited(TUNNELS) as documents:
        del documents[0]["spec"]["mtu"]
    healthy()


def test_the_live_screen_shows_what_passes(lab: Lab) -> None:
    argv = [
        "ip",
        "netns",
        "exec",
        namespace("gw"),
        str(install.VENV / "bin" / "ncgctl"),
        "--socket",
        str(gateway.SOCKET),
    ]
    terminal = Terminal([*argv, "status", "--watch"], {}, columns=160)
    try:
        until(lambda: "IN/S" in terminal.text, 20, "the screen")
        lab.run("pod", "ping", "-c", "300", "-i", "0.01", "-s", "1000", "-q", "10.128.0.10")
        until(lambda: "KiB" in terminal.text, 20, "what passes")
        terminal.type(b"q")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()


def test_no_key_is_in_whatever_ncgd_says_or_writes(lab: Lab, tmp_path: Path) -> None:
    (secret,) = yaml.safe_load_all((gateway.RESOURCES / SECRET).read_text())
    encoded = secret["data"]["psk"].encode()
    key = base64.b64decode(encoded)
    canaries = (key, encoded.rstrip(b"="), key.hex().encode(), key.hex().upper().encode(), key[4:-4])
    out = tmp_path / "bundle.tar.gz"
    done = lab.run("gw", "ncgctl", "support-bundle", "-o", str(out))
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(out.read_bytes())) as archive:
        said = {each.name.partition("/")[2]: archive.extractfile(each) for each in archive}
        content = {name: file.read() for name, file in said.items() if file}
    assert {"ncgd/status.json", "ncgd/metrics.txt", "machine/nexthops.txt", "run/exabgp.conf"} <= content.keys()
    assert b"proto" in content["machine/routes.txt"], "it looks where ncgd is"
    assert b"tunnel-2" in content["ncgd/diagnose/tunnel-2.txt"]
    for words in (("status",), ("events",), ("get", "overlayvpntunnel", "-o", "yaml"), ("explain", "tunnel-1")):
        content[" ".join(words)] = gateway.ncgctl(*words).stdout.encode()
    written = [path for path in gateway.RUN.rglob("*") if path.is_file()] + list(STATE.glob("gw*/*.log"))
    for path in written:
        with suppress(FileNotFoundError):  # it was just being replaced
            content[str(path)] = path.read_bytes()
    assert len(written) > 5
    assert [(name, canary) for name, text in content.items() for canary in canaries if canary in text] == []
