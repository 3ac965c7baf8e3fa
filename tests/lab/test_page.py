"""The status page of the real gateway: from a browser's place outside, with traffic in it, and its port taken."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from ncgd.lab import gateway, install
from ncgd.lab.relay import STATUS_PORT
from ncgd.lab.topology import SUBNET, inside
from tests.integration.netns import until
from tests.lab.conftest import Lab
from tests.lab.site_side import says

pytestmark = [pytest.mark.lab, pytest.mark.root]


def get(port: int, target: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextmanager
def shown() -> Iterator[int]:
    """`python3 -m ncgd.lab page`: the port on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    argv = [sys.executable, "-m", "ncgd.lab", "page", "--port", str(port)]
    with subprocess.Popen(argv, cwd=install.CHECKOUT, stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout is not None
            assert f"http://127.0.0.1:{port}/" in page.stdout.readline()
            yield port
        finally:
            page.terminate()


def test_the_page_shows_what_passes_through_each_tunnel(lab: Lab) -> None:
    with shown() as port:
        argv = ["ping", "-q", "-i", "0.005", "-c", "1500", "-s", "1000", "10.128.0.10"]
        pinging = subprocess.Popen(inside("pod", *argv), stdout=subprocess.DEVNULL)
        try:
            until(lambda: re.search(r"To the cloud</dt><dd>↑ [\d.]+ [kM]bit/s", get(port, "/")[1]), 20)
        finally:
            pinging.wait()
        status, page = get(port, "/")
        assert status == 200
        assert "Healthy" in page
        assert page.count("answers in") >= 2
        assert SUBNET in page
        assert "BGP established" in page
        assert get(port, "/healthz") == (200, "ok\n")
        assert 'ncgd_gateway_status{status="Healthy"} 1.0' in get(port, "/metrics")[1]
        assert "GatewayHealthy" in get(port, "/v1/events")[1]


def test_no_answer_holds_the_key(lab: Lab) -> None:
    secret = (gateway.EXAMPLE / "psk-secret.yaml").read_text()
    found = re.search(r"psk: (\S+)", secret)
    assert found
    with shown() as port:
        for target in ("/", "/?q=tunnel-1", "/v1/status", "/v1/events", "/v1/explain?what=tunnel-1", "/metrics"):
            status, body = get(port, target)
            assert status == 200, target
            assert found[1] not in body


TAKER = f"""
import socket, sys
while True:
    try:
        taken = socket.create_server(("127.0.0.1", {STATUS_PORT}))
        break
    except OSError:
        pass
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_port_in_use_stops_nothing_and_is_told_until_it_is_free(lab: Lab) -> None:
    """It is free for the moment in which ncgd starts again, and whoever waits for it gets it."""
    (daemon,) = lab.processes("ncgd")
    argv = inside("gw", sys.executable, "-c", TAKER)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        os.kill(daemon, signal.SIGKILL)
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        assert "Address already in use" in says("StatusPortUnavailable")
        until(lambda: gateway.status()["status"] == "Healthy", what="only the page is not there")
        other.communicate("")
    until(lambda: gateway.status().get("problems") == [], 20)
    with shown() as port:
        assert get(port, "/healthz") == (200, "ok\n")
