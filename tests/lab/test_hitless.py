"""ncgd killed, stopped, asleep, upgraded, its resources edited: no packet lost, no session or SA touched."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ncgd.lab import gateway, install, processes
from ncgd.lab.topology import SUBNET, inside
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import GATEWAY, PEERS, TUNNELS, edited, ip
from tests.lab.test_liveness import CLOUD0, blackhole, interfaces_used, reasons

pytestmark = [pytest.mark.lab, pytest.mark.root]

MANY = [str(each) for each in IPv4Network("10.192.0.0/11").subnets(new_prefix=27)][:20_000]
_STREAM = """
import socket, sys, threading
if sys.argv[1] == "serve":
    server = socket.create_server(("", 7777))
    connection, _ = server.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
else:
    stream = socket.create_connection((sys.argv[2], 7777), 10)
    stream.settimeout(20)
    sent, pace = 0, threading.Event()
    print("connected", flush=True)
    threading.Thread(target=sys.stdin.read).start()
    while threading.active_count() > 1:
        stream.sendall(bytes(1000))
        sent += 1000
        got = 0
        while got < 1000:
            got += len(stream.recv(65536))
        pace.wait(0.005)
    print(sent, flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def roomy(lab: Lab) -> None:
    """Peers that may send 20 000 prefixes."""
    with edited(PEERS) as documents:
        for each in documents:
            each["spec"]["maxPrefixes"] = 30_000
    site_side.healthy()


def untouchable() -> dict[str, Any]:
    """What must be the same before and after: sessions as the cloud dates them, SAs, links, nexthops, programs."""
    return {
        "sessions": [
            cloud_side.birdc(node, "show", "protocols", "site").splitlines()[-1] for node in ("cloud0", "cloud1")
        ],
        "SAs": [site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")],
        "links": {name: row["ifindex"] for name, row in site_side.links().items()},
        "nexthops": site_side.nexthops(),
        "routes": site_side.ours(),
        "backstops": site_side.backstops(),
    }


def settled() -> dict[str, Any]:
    """The same, once it is what it was a moment ago."""
    return until(lambda: now if (now := untouchable()) == untouchable() else {}, 30, "a state that lasts")


@contextmanager
def stream() -> Iterator[None]:
    """A TCP connection from pod to VM on which a kilobyte goes there and back all the time; it must not break."""
    script = (sys.executable, "-c", _STREAM)
    server = subprocess.Popen(inside("vm", *script, "serve"))
    try:
        listening = inside("vm", "ss", "-Hltn", "sport = :7777")
        until(lambda: subprocess.run(listening, capture_output=True, check=True).stdout, 20)
        argv = inside("pod", *script, "dial", "10.128.0.10")
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "connected\n"
            yield
            said, _ = client.communicate(timeout=30)
            assert int(said) > 0
            assert client.returncode == 0
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def untouched(lab: Lab) -> Iterator[Lab]:
    """A hundred pings a second through each tunnel, both ways, and a TCP stream: none is lost, all is as it was."""
    site_side.healthy()
    before = settled()
    with site_side.vm_with_many_addresses():
        addresses = [site_side.address_through(name) for name in ("tunnel-1", "tunnel-2")]
        with stream(), site_side.flowing(*addresses) as lost, site_side.flowing(*addresses, is_back=True) as lost_back:
            yield lab
            site_side.healthy()
        assert lost == dict.fromkeys(addresses, 0)
        assert lost_back == dict.fromkeys(addresses, 0)
    with suppress(AssertionError):
        until(lambda: untouchable() == before, 60)
    assert untouchable() == before, site_side.log_text()
    assert "Traceback" not in site_side.log_text()


def _ncgd(lab: Lab) -> int:
    return next(iter(until(lambda: lab.processes("ncgd"), 30, "ncgd runs")))


def _kill(lab: Lab, number: signal.Signals = signal.SIGKILL) -> None:
    """End ncgd and wait until its keeper has started another."""
    pid = _ncgd(lab)
    os.kill(pid, number)
    until(lambda: lab.processes("ncgd") - {pid}, 30, "another ncgd")


@contextmanager
def keeper_stopped() -> Iterator[None]:
    """Nobody starts ncgd again meanwhile."""
    keeper = processes.recorded()["gw", "keeper"]
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(keeper, signal.SIGCONT)


def _gone(pid: int) -> bool:
    """It has ended; its keeper, which is stopped, has not taken note of it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _pings_pass(count: int) -> None:
    """Pings of our own, a hundred a second: while they pass, so does time."""
    ping = inside("pod", "ping", "-q", "-n", "-i", "0.01", "-c", str(count), "10.128.0.10")
    assert subprocess.run(ping, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_absent_ncgd_is_not_missed_and_catches_up(untouched: Lab, number: signal.Signals) -> None:
    """Twenty seconds: longer than a minute of keepalives would need at three times the pace."""
    pid = _ncgd(untouched)
    with keeper_stopped():
        os.kill(pid, number)
        until(lambda: _gone(pid), 30, "ncgd is gone")
        cloud_side.advertise("cloud0", ["10.200.0.0/24"])
        _pings_pass(2000)
        assert site_side.ours().keys() == {SUBNET}, "nobody has installed it"
    until(lambda: "10.200.0.0/24" in site_side.ours(), 30, "the next ncgd has learned what came meanwhile")
    cloud_side.advertise("cloud0")
    until(lambda: site_side.ours().keys() == {SUBNET}, 30)


def test_twenty_kills_in_a_row(untouched: Lab) -> None:
    for _ in range(20):
        _kill(untouched)


def test_an_ncgd_that_sleeps_is_not_missed_and_catches_up(untouched: Lab) -> None:
    pid, before = _ncgd(untouched), site_side.log_text()
    os.kill(pid, signal.SIGSTOP)
    try:
        cloud_side.advertise("cloud0", ["10.200.0.0/24"])
        _pings_pass(1500)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: "10.200.0.0/24" in site_side.ours(), 30, "it has learned what came meanwhile")
    cloud_side.advertise("cloud0")
    until(lambda: site_side.ours().keys() == {SUBNET}, 30)
    said = site_side.log_text()[len(before) :]
    assert "DataPathDead" not in said, f"its own sleep is no sign of a dead tunnel: {said}"


def test_kills_while_twenty_thousand_prefixes_come_and_go(untouched: Lab) -> None:
    wanted = {SUBNET, *MANY}
    cloud_side.advertise("cloud0", MANY)
    cloud_side.advertise("cloud1", MANY[:10_000])
    for count in (200, 8_000, 15_000):
        until(lambda count=count: len(site_side.ours()) > count, 60, f"{count} routes")
        _kill(untouched)
    until(lambda: site_side.ours().keys() == wanted, 60, "the kernel holds what the Cloud Router has")
    until(lambda: site_side.backstops() == wanted, 60)
    until(lambda: [row["received"] for row in gateway.status().get("peers", ())] == [20_001, 10_001], 60)
    for node in ("cloud0", "cloud1"):
        cloud_side.advertise(node)
    until(lambda: len(site_side.ours()) < 19_000, 60, "they go")
    _kill(untouched)
    until(lambda: site_side.ours().keys() == {SUBNET}, 60, "all of them")


def test_a_new_version_with_other_ids_and_settings(untouched: Lab) -> None:
    """Every nexthop, group and route is written anew, a sysctl says something else; and then all of it back again."""
    before = site_side.nexthops()
    code = textwrap.dedent("""
        import sys
        from ncgd.decision import desired, routes
        nexthop, group, sysctls = routes.nexthop_id, routes.group_id, desired._sysctls
        routes.nexthop_id = desired.nexthop_id = lambda *some: nexthop(*some) ^ 0x10
        routes.group_id = lambda *some: group(*some) ^ 0x10
        desired._sysctls = lambda *some: sysctls(*some) | {"net.ipv4.fib_multipath_hash_policy": "0"}
        sys.argv[0] = "/opt/next/bin/ncgd"
        from ncgd.daemon.main import main
        sys.exit(main())
    """)
    options = ["--supervise", "--resources", str(gateway.RESOURCES), "--run-dir", str(gateway.RUN), "--node", "gw"]
    with keeper_stopped():
        pid = _ncgd(untouched)
        os.kill(pid, signal.SIGTERM)
        until(lambda: _gone(pid), 30, "the old one is gone")
        python = str(install.VENV / "bin" / "python")
        processes.spawn("gw", "next", [python, "-c", code, *options], {"PATH": gateway.PATH})
        until(
            lambda: not {row["id"] for row in site_side.nexthops() if "group" in row} & {row["id"] for row in before},
            20,
        )
        site_side.healthy()
        until(lambda: not _tunnel_nexthops(before) & _tunnel_nexthops(site_side.nexthops()), 30, "the old ids are gone")
        following = processes.recorded()["gw", "next"]
        assert following is not None
        os.kill(following, signal.SIGTERM)
        until(lambda: processes.recorded()["gw", "next"] is None, 30)
    until(lambda: site_side.nexthops() == before, 20, "the old version has put its own back")


def _tunnel_nexthops(rows: list[dict[str, Any]]) -> set[int]:
    return {row["id"] for row in rows if "dev" in row}


def test_two_at_once(untouched: Lab) -> None:
    """The second one refuses, and the first one goes on."""
    pid = _ncgd(untouched)
    other = [str(install.VENV / "bin" / "ncgd"), "--supervise", "--resources", str(gateway.RESOURCES)]
    argv = inside("gw", *processes.private_run(*other, "--run-dir", str(gateway.RUN)))
    second = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert second.returncode == 2
    assert f"another ncgd (pid {pid}) runs" in second.stderr
    assert untouched.processes("ncgd") == {pid}


def test_edits_touch_nothing_else(untouched: Lab) -> None:
    """A third tunnel and peer that lead nowhere, another advertisement, another MED, an import policy: on and off."""
    saved = {path: path.read_bytes() for path in gateway.RESOURCES.iterdir()}
    with edited(TUNNELS) as documents:
        documents.append(_third(documents[1], {"localTunnelIP": "169.254.3.2"}, "198.51.100.13"))
    with edited(PEERS) as documents:
        third = {"localIP": "169.254.3.2", "peerIP": "169.254.3.1", "vpnTunnel": "tunnel-3"}
        documents.append(_third(documents[1], third))
    until(lambda: len(gateway.status().get("tunnels", ())) == 3, 30, "the third tunnel is wanted")
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["advertisedPrefixes"].append("10.10.7.0/24")
    for node in ("cloud0", "cloud1"):
        until(lambda node=node: "10.10.7.0/24" in cloud_side.learned(node), 30, f"{node} learns the new prefix")
    with edited(PEERS) as documents:
        for each in documents:
            each["spec"]["med"] = 70
            each["spec"]["importPolicy"] = {"deny": [{"prefix": "10.250.0.0/16"}]}
    for name in ("peer-1", "peer-2"):
        until(lambda name=name: {row["med"] for row in site_side.peer(name).get("advertised", ())} == {70}, 30)
    (gateway.RESOURCES / "unrelated.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    for path, text in saved.items():
        path.write_bytes(text)
    (gateway.RESOURCES / "unrelated.yaml").unlink()
    until(lambda: len(gateway.status().get("tunnels", ())) == 2, 30, "the third tunnel is gone")
    for node in ("cloud0", "cloud1"):
        until(lambda node=node: cloud_side.learned(node) == {"10.10.0.0/24"}, 30, f"{node} forgets it")


def _third(second: dict[str, Any], spec: dict[str, Any], peer: str = "") -> dict[str, Any]:
    """A copy of the second tunnel or peer, with another name and these fields."""
    made = {**second, "metadata": {**second["metadata"]}, "spec": {**second["spec"], **spec}}
    made["metadata"]["name"] = second["metadata"]["name"].replace("2", "3")
    if peer:
        made["spec"]["peer"] = {**second["spec"]["peer"], "publicIP": peer}
    return made


def test_rows_that_others_add_are_taken_away_or_left_alone(untouched: Lab) -> None:
    """Under our mark it goes; without it, it stays."""
    group = site_side.ours()[SUBNET]
    ip(f"route add {SUBNET} via 10.10.0.10 metric 500 proto static")
    ip(f"route add 10.99.0.0/24 nhid {group} metric 157 proto 157")
    until(lambda: site_side.ours() == {SUBNET: group}, 20, "what carries our mark is as we want it")
    ip(f"route del {SUBNET} metric 500 proto static")  # fails when it has gone
    assert len(untouched.processes("ncgd")) == 1


def test_a_kill_during_failover_moves_no_traffic_back_into_the_dead_tunnel(lab: Lab) -> None:
    """The next ncgd sees an SA and a session that are up, and has to know better."""
    site_side.healthy()
    before = settled()
    with site_side.vm_with_many_addresses():
        address = site_side.address_through("tunnel-2")
        with site_side.flowing(address) as lost:
            with blackhole(lab, f"ip daddr {CLOUD0}"):
                _kill(lab)  # before it can have noticed
                until(lambda: reasons(lab).get("tunnel-1") == "DataPathDead", 20, "the next one notices")
                until(lambda: len(interfaces_used(lab)) == 1, 30, "one tunnel carries")
                with site_side.flowing("10.128.0.10", "10.128.0.11") as moved:
                    for _ in range(3):
                        _kill(lab)
                        until(lambda: reasons(lab).get("tunnel-1") == "DataPathDead", 20)
                    assert len(interfaces_used(lab)) == 1
                assert moved == {"10.128.0.10": 0, "10.128.0.11": 0}
            site_side.healthy()
        assert lost == {address: 0}, "the other tunnel notices nothing"
    after = until(lambda: now if (now := untouchable())["nexthops"] == before["nexthops"] else None, 30)
    assert after["routes"] == before["routes"]
