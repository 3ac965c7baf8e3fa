"""The bridge as a process, fed with lines as ExaBGP 5.0.15 writes them, and with clients that misbehave."""

import json
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from ncgd.drivers.exabgp import codec
from ncgd.drivers.exabgp.bridge import BEHIND_BYTES
from ncgd.drivers.exabgp.speaker import bridge
from ncgd.model import prefix
from tests.integration.netns import until

KEY = "169.254.1.1 169.254.1.2"
HEAD = (
    '{ "exabgp": "5.0.0", "time": 1795217946.3, "host" : "vm", "pid" : 1, "ppid" : 1, "counter": 1, "type": "%s", '
    '"neighbor": { "address": { "local": "169.254.1.2", "peer": "169.254.1.1" }, "asn": { "local": 65010, '
    '"peer": 64512 }, "router-id": "169.254.1.2" , %s } }\n'
)
_OPENED = (
    '"direction": "receive", "open": { "version": 4, "asn": 64512, "hold_time": 60, "router_id": "169.254.1.1", '
    '"capabilities": { "1": { "name": "multiprotocol", "families": [ "ipv4/unicast" ] }, "64": { "name": '
    '"graceful restart", "time": 77, "address-family-flags": { "ipv4/unicast": [ ] }, "restart-flags": [ ]  } } }'
)
OPEN = HEAD % ("open", _OPENED)
UP = HEAD % ("state", '"state": "up"')
DOWN = HEAD % ("state", '"state": "down", "reason": "closing connection"')
EOR = HEAD % ("update", '"direction": "receive", "message": { "eor": { "afi" : "ipv4", "safi" : "unicast" } }')
NEVER_CONNECTED = '[{"state": "down", "duration": 1, "fsm": "IDLE", "local": {"address": "169.254.1.2"}, "peer": {"address": "169.254.1.1"}}]\n'  # fmt: skip # noqa: E501


def block(prefixes: Iterable[str]) -> str:
    """Prefixes as in an UPDATE, in base64."""
    networks = map(IPv4Network, prefixes)
    packed = (bytes([each.prefixlen]) + each.network_address.packed[: -(-each.prefixlen // 8)] for each in networks)
    return b64encode(b"".join(packed)).decode()


def texts(blocks: object) -> list[str]:
    """What ``block`` was made of."""
    assert isinstance(blocks, list)
    return [prefix.text(each) for each in codec.prefixes("ipv4 unicast", map(b64decode, blocks))]


def update(prefixes: list[str], med: int) -> str:
    said = (
        '"direction": "receive", "message": { "update": { "attribute": { "origin": "igp", "as-path": {"0": {"element": '
        f'"as-sequence", "value": [64512]}}}}, "med": {med} }}, "announce": {{ "ipv4 unicast": {{ "169.254.1.1": '
        f"{json.dumps([block(prefixes)])} }} }} }} }}"
    )
    return HEAD % ("update", said)


def withdraw(prefixes: list[str]) -> str:
    said = f'"message": {{ "update": {{ "withdraw": {{ "ipv4 unicast": {json.dumps([block(prefixes)])} }} }} }}'
    return HEAD % ("update", f'"direction": "receive", {said}')


class Running:
    """A bridge whose ExaBGP is the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(bridge(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "show neighbor json"
        self.say(NEVER_CONNECTED, "done\n")

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(lines))
        self.process.stdin.flush()

    def heard(self) -> str:
        """The next command."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def barrier(self, client: "Reader") -> None:
        """When this returns, everything that was said before has been taken."""
        client.ask("version")
        assert self.heard() == "version"
        self.say("exabgp 5.0.15\n", "done\n")

    def megabytes(self) -> float:
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


class Reader:
    """A client of the bridge."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        until(path.exists)
        self.socket.connect(str(path))
        self._file = self.socket.makefile("rb")

    def sync(self) -> None:
        self.socket.sendall(b'["sync"]\n')

    def ask(self, command: str) -> None:
        self.socket.sendall(json.dumps(["do", 1, command]).encode() + b"\n")

    def line(self) -> list[object]:
        """The next message; AssertionError when the bridge has closed."""
        text = self._file.readline()
        assert text, "the bridge hung up"
        message: list[object] = json.loads(text)
        return message

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def reader(path: Path) -> Iterator[Reader]:
    made = Reader(path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def exabgp(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "b.sock")
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def fold(client: Reader, last: str) -> dict[str, int]:
    """MED by prefix after everything up to a message that contains the prefix ``last``."""
    table: dict[str, int] = {}
    while True:
        kind, *rest = client.line()
        if kind == "begin":
            table = {}
        elif kind == "learn":
            _, _, attributes, blocks = rest
            assert isinstance(attributes, dict)
            table |= dict.fromkeys(texts(blocks), int(attributes["med"]))
        elif kind == "withdraw":
            for gone in texts(rest[2]):
                table.pop(gone, None)
        if last in table:
            return table


def test_snapshot_then_edits(exabgp: Running) -> None:
    exabgp.say(
        OPEN, UP, update(["10.0.0.0/8", "11.0.0.0/8"], 5), EOR, update(["12.0.0.0/8"], 6), withdraw(["11.0.0.0/8"])
    )
    with reader(exabgp.path) as client:
        exabgp.barrier(client)
        assert client.line() == ["answer", 1, True, ["exabgp 5.0.15"]]
        client.sync()
        begin = client.line()
        assert (begin[:2], begin[3:]) == (["begin", KEY], [False, 77, [4]])
        path = {"origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": [64512]}}}
        attributes = {"next-hop": "169.254.1.1", **path, "med": 5}
        assert client.line() == ["learn", KEY, "ipv4 unicast", attributes, [block(["10.0.0.0/8"])]]
        attributes = {"next-hop": "169.254.1.1", **path, "med": 6}
        assert client.line() == ["learn", KEY, "ipv4 unicast", attributes, [block(["12.0.0.0/8"])]]
        assert client.line() == ["end", KEY]
        assert client.line() == ["synced"]
        exabgp.say(withdraw(["10.0.0.0/8"]), DOWN, DOWN, OPEN, UP)
        assert client.line() == ["withdraw", KEY, "ipv4 unicast", [block(["10.0.0.0/8"])]]
        assert client.line() == ["down", KEY, "closing connection", True]
        assert client.line()[:2] == ["up", KEY]


def test_a_client_that_does_not_read_is_bounded_and_then_gets_the_tables_again(exabgp: Running) -> None:
    prefixes = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)]
    rounds = 3 * BEHIND_BYTES // len(update(prefixes, 0))
    with reader(exabgp.path) as client:
        exabgp.say(OPEN, UP, update(prefixes, 0))
        client.sync()
        exabgp.barrier(client)
        before = exabgp.megabytes()
        for med in range(rounds):
            exabgp.say(update(prefixes, med))
        exabgp.say(withdraw(prefixes[:2500]), update(["192.0.2.0/24"], 1))
        with reader(exabgp.path) as other:
            exabgp.barrier(other)  # which also ends the first client
        after = exabgp.megabytes()
        print(
            f"bridge {before:.1f} MB before, {after:.1f} MB after {rounds * len(update(prefixes, 0)) >> 20} MB of edits"
        )
        assert after - before < 3 * BEHIND_BYTES / (1 << 20)
    with reader(exabgp.path) as client:
        client.sync()
        assert fold(client, "192.0.2.0/24") == {**dict.fromkeys(prefixes[2500:], rounds - 1), "192.0.2.0/24": 1}


def test_a_client_that_falls_behind_and_wakes_up_has_lost_nothing(exabgp: Running) -> None:
    prefixes = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)]
    rounds = 2 * BEHIND_BYTES // len(update(prefixes, 0))
    with reader(exabgp.path) as client:
        exabgp.say(OPEN, UP)
        client.sync()
        exabgp.barrier(client)
        for med in range(rounds):
            exabgp.say(update(prefixes, med))
        exabgp.say(withdraw(prefixes[:2500]), update(["192.0.2.0/24"], 1))
        exabgp.barrier(client)
        assert fold(client, "192.0.2.0/24") == {**dict.fromkeys(prefixes[2500:], rounds - 1), "192.0.2.0/24": 1}


def test_a_session_that_ended_while_the_client_was_behind_is_reported_down(exabgp: Running) -> None:
    prefixes = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)]
    with reader(exabgp.path) as client:
        exabgp.say(OPEN, UP)
        client.sync()
        exabgp.barrier(client)
        for med in range(2 * BEHIND_BYTES // len(update(prefixes, 0))):
            exabgp.say(update(prefixes, med))
        exabgp.say(DOWN)
        exabgp.barrier(client)
        while (message := client.line())[0] != "down":
            pass
        assert message == ["down", KEY, "closing connection", True]


def test_the_newest_client_wins(exabgp: Running) -> None:
    with reader(exabgp.path) as first, reader(exabgp.path) as second:
        exabgp.barrier(second)
        assert first.socket.recv(1) == b""
        assert second.line()[0] == "answer"


def test_a_client_that_talks_nonsense_is_sent_away(exabgp: Running) -> None:
    for nonsense in (b"GET / HTTP/1.1\n", b"[]\n", b"{}\n", b"null\n", b"\xff\xff\n", b'["do",1]\n'):
        with reader(exabgp.path) as client:
            client.socket.sendall(nonsense)
            assert client.socket.recv(1) == b""
    with reader(exabgp.path) as client:
        exabgp.barrier(client)
        assert client.line()[0] == "answer"


def test_lines_that_are_no_events_do_no_harm(exabgp: Running) -> None:
    exabgp.say(
        OPEN,
        UP,
        '{ "exabgp": cut off\n',
        HEAD % ("update", '"direction": "receive"'),
        HEAD % ("state", '"state": 7'),
        HEAD % ("whatever", '"a": 1'),
        '{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }\n',
        update(["10.0.0.0/8"], 5),
    )
    with reader(exabgp.path) as client:
        client.sync()
        assert fold(client, "10.0.0.0/8") == {"10.0.0.0/8": 5}


def test_it_ends_with_exabgp(exabgp: Running) -> None:
    assert exabgp.process.stdin is not None
    exabgp.process.stdin.close()
    assert exabgp.process.wait(30) == 0
    exabgp.process.stdin = None
