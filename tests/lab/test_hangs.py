"""What hangs without ending: charon, exabgp, its bridge, nft, a client of the API. The rest goes on, and says so."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ncgd.lab import gateway, topology
from ncgd.lab.topology import SUBNET, inside
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import GATEWAY, TUNNELS, edited, says

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[Lab]:
    """Nobody mends anything but ncgd: afterwards all is as it was before."""
    site_side.healthy()
    routes, nexthops, advertised = site_side.ours(), site_side.nexthops(), learned()
    yield lab
    until(lambda: gateway.status().get("status") == "Healthy", 60)
    site_side.untroubled()
    until(lambda: (site_side.ours(), site_side.nexthops(), learned()) == (routes, nexthops, advertised), 30)
    assert "Traceback" not in site_side.log_text()


def learned() -> list[set[str]]:
    return [cloud_side.learned(node) for node in ("cloud0", "cloud1")]


@contextmanager
def stopped(pids: set[int]) -> Iterator[None]:
    """Processes that do nothing meanwhile, unless they are killed."""
    assert pids
    with ExitStack() as continued:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            continued.callback(_continue, pid)
        yield


def _continue(pid: int) -> None:
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, signal.SIGCONT)


def _advertised_anew(prefix: str) -> None:
    """An edit of the manifests gets through to the Cloud Router, and back."""
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["advertisedPrefixes"].append(prefix)
    until(lambda: prefix in cloud_side.learned("cloud1"), 30, "the loop goes on")
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["advertisedPrefixes"].remove(prefix)
    until(lambda: prefix not in cloud_side.learned("cloud1"), 30)


def test_a_charon_that_hangs_is_named_and_holds_up_nothing(lab: Lab) -> None:
    """In userspace it carries the packets too: its tunnel is found dead, traffic moves, all while VICI hangs."""
    charons = {
        record.name: json.loads(record.read_text())["pid"] for record in gateway.RUN.glob("charon*.process.json")
    }
    first = min(charons)
    with stopped({charons[first]}):
        if len(charons) > 1:
            assert "tunnel-1" in first
            until(lambda: not site_side.tunnel("tunnel-1").get("usable", True), 30, "its tunnel is found dead")
            assert site_side.tunnel("tunnel-2")["usable"], gateway.screen()
            assert lab.run("pod", "ping", "-c", "20", "-i", "0.05", topology.VM).returncode == 0
        _advertised_anew("10.10.7.0/24")
        says("ERROR CharonUnreachable charon", "the IKE daemon does not answer over VICI", "no answer within 5 s")
        _advertised_anew("10.10.8.0/24")


def test_an_exabgp_that_hangs_is_replaced_before_its_peers_give_up(lab: Lab) -> None:
    """When it ends, the peers keep our routes for the restart time; when it hung for the hold time, they would not."""
    before = lab.processes("exabgp")
    with site_side.vm_with_many_addresses():
        addresses = [site_side.address_through(name) for name in ("tunnel-1", "tunnel-2")]
        with site_side.flowing(*addresses) as lost, site_side.flowing(*addresses, is_back=True) as lost_back:
            with stopped(before):
                says("ERROR SpeakerUnreachable exabgp", "the BGP speaker does not answer", seconds=30)
                assert [row["usable"] for row in gateway.status()["tunnels"]] == [True, True]
                until(lambda: lab.processes("exabgp") - before, 45, "another exabgp")
            until(lambda: site_side.ours().keys() == {SUBNET} and all(learned()), 30)
            site_side.healthy()
        assert lost == dict.fromkeys(addresses, 0)
        assert lost_back == dict.fromkeys(addresses, 0)


def test_a_bridge_that_hangs_is_replaced_with_its_exabgp(lab: Lab) -> None:
    before = lab.processes("bridge")
    with stopped(before):
        says("ERROR SpeakerUnreachable exabgp", seconds=30)
        until(lambda: lab.processes("bridge") - before, 45, "another bridge")
        cloud_side.advertise("cloud0", ["10.200.0.0/24"])
        until(lambda: "10.200.0.0/24" in site_side.ours(), 30, "what the peer says is heard again")
    cloud_side.advertise("cloud0")


@contextmanager
def nft_replaced(lab: Lab, script: str) -> Iterator[None]:
    """ncgd finds another program as nft."""
    (pid,) = lab.processes("ncgd")
    fake = gateway.RUN / "nft"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    program = subprocess.run(["which", "nft"], capture_output=True, text=True, check=True).stdout.strip()
    mounts = ("nsenter", "-t", str(pid), "-m")
    subprocess.run([*mounts, "mount", "--bind", str(fake), program], check=True)
    try:
        yield
    finally:
        subprocess.run([*mounts, "umount", "--lazy", program], check=True)


@pytest.mark.parametrize(
    ("script", "words"),
    [("exec sleep 60", "no answer within 10 s"), ("echo cannot >&2; exit 1", "cannot")],
    ids=["hangs", "fails"],
)
def test_an_nft_that_does_not_work_is_named_and_holds_up_nothing(lab: Lab, script: str, words: str) -> None:
    with site_side.vm_with_many_addresses():
        address = site_side.address_through("tunnel-2")
        with site_side.flowing(address) as lost:
            with nft_replaced(lab, script):
                with edited(TUNNELS) as documents:  # another overhead, so another MSS
                    documents[0]["spec"]["ike"] = {"espProposals": ["aes256-sha256-ecp256"]}
                until(lambda: "AES_CBC-256" in site_side.tunnel("tunnel-1")["child"], 20, "the tunnel changes")
                says("ERROR NotApplied clamps/", words, seconds=30)
                _advertised_anew("10.10.7.0/24")
            with edited(TUNNELS) as documents:
                del documents[0]["spec"]["ike"]
            until(lambda: "AES_GCM" in site_side.tunnel("tunnel-1").get("child", ""), 20)
            until(lambda: gateway.status().get("status") == "Healthy", 45)
        assert lost == {address: 0}


def test_clients_of_the_api_that_never_read_or_never_ask_cost_nobody_anything(lab: Lab) -> None:
    (pid,) = lab.processes("ncgd")
    with ExitStack() as clients:
        for number in range(50):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(gateway.SOCKET))
            if number % 2:
                client.sendall(b"GET /v1/objects/overlaybgppeer HTTP/1.1\r\n\r\n")
        until(lambda: gateway.status().get("status") == "Healthy", 30, "others are answered")
        _advertised_anew("10.10.7.0/24")
    assert lab.processes("ncgd") == {pid}
    ping = inside("pod", "ping", "-q", "-c", "3", "-i", "0.1", topology.VM)
    assert subprocess.run(ping, check=False, capture_output=True).returncode == 0
