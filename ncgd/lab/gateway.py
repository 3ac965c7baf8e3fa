"""The near side: the real ncgd on a copy of the example manifests, kept running, and what it says of itself."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ncgd.lab.failure import LabFailure
from ncgd.lab.install import CHECKOUT, VENV
from ncgd.lab.keeper import RESTARTED
from ncgd.lab.processes import log_of, recorded, spawn
from ncgd.lab.relay import STATUS_PORT
from ncgd.lab.topology import STATE

EXAMPLES = CHECKOUT / "config" / "examples"
EXAMPLE = EXAMPLES / "ha-vpn"
RESOURCES = STATE / "resources"
RUN = STATE / "gw"
SOCKET = RUN / "ncgd.sock"
PATH = f"{VENV / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where ncgd and people in ``exec`` find programs: ncgctl and exabgp are in the virtual environment."""
_LOG_LINES = 15
_TOO_MANY_STARTS = 5  # more, and waiting longer helps nobody
_MAX_PREFIXES = 5000  # what a peer accepts unless its manifest says otherwise


def copy_resources(dataplane: str, prefixes: int, example: Path = EXAMPLE) -> None:
    """Put an example's manifests where ncgd watches them, changed by what the options ask for and no more.

    Raises LabFailure when an option needs a resource that the example does not hold.
    """
    RESOURCES.mkdir(mode=0o700)
    for path in example.glob("*.yaml"):
        shutil.copy(path, RESOURCES)
        (RESOURCES / path.name).chmod(0o600)
    if dataplane != "auto":
        _set_everywhere("NetworkConnectivityGateway", "dataplane", dataplane)
    if prefixes >= _MAX_PREFIXES:
        _set_everywhere("OverlayBGPPeer", "maxPrefixes", str(prefixes + 1))


def _set_everywhere(kind: str, field: str, value: str) -> None:
    changed = 0
    for path in RESOURCES.glob("*.y*ml"):
        text, count = with_field(path.read_text(), kind, field, value)
        path.write_text(text)
        changed += count
    if not changed:
        raise LabFailure(f"{RESOURCES} holds no {kind} with a spec: cannot set {field} to {value}")


def with_field(text: str, kind: str, field: str, value: str) -> tuple[str, int]:
    """A YAML text with ``spec.<field>`` of each resource of a kind set, comments kept; and how many there are."""
    documents = re.split(r"(?m)^(?=---)", text)
    changed = 0
    for index, document in enumerate(documents):
        if re.search(rf"(?m)^kind: *{kind}\b", document):
            without = re.sub(rf"(?m)^  {field}:.*\n", "", document)
            documents[index], count = re.subn(r"(?m)^spec:.*$", f"spec:\n  {field}: {value}", without, count=1)
            changed += count
    return "".join(documents), changed


def start() -> None:
    """Start ncgd under the keeper."""
    ncgd = [
        str(VENV / "bin" / "ncgd"),
        "--supervise",
        "--resources",
        str(RESOURCES),
        "--run-dir",
        str(RUN),
        "--node",
        "gw",
        "--status-address",
        f"127.0.0.1:{STATUS_PORT}",
    ]
    keeper = [str(VENV / "bin" / "python"), "-m", "ncgd.lab.keeper", "--"]
    spawn("gw", "keeper", [*keeper, *ncgd], {"PATH": PATH})


def ncgctl(*arguments: str, at: Path = SOCKET) -> "subprocess.CompletedProcess[str]":
    """Ask a daemon; never raises for what it answers."""
    argv = [str(VENV / "bin" / "ncgctl"), "--socket", str(at), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def status(at: Path = SOCKET) -> dict[str, Any]:
    """``ncgctl status -o json``; empty while the daemon does not answer."""
    answer = ncgctl("status", "-o", "json", at=at).stdout
    try:
        parsed = json.loads(answer)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def screen(at: Path = SOCKET) -> str:
    """``ncgctl status``, as people see it."""
    answer = ncgctl("status", at=at)
    return answer.stdout.rstrip() or f"ncgctl status: {answer.stderr.strip()}"


def wait_ready(seconds: float, prefixes: int) -> dict[str, Any]:
    """Wait until the gateway is Healthy with all the cloud's prefixes in the kernel, and return its status.

    Raises LabFailure after ``seconds``, or earlier when ncgd does not stay up, with the screen and the logs' ends.
    """
    deadline = time.monotonic() + seconds
    while not _ready(now := status(), prefixes):
        if time.monotonic() > deadline or _starts() > _TOO_MANY_STARTS:
            dead = [f"{node}/{name}" for (node, name), pid in recorded().items() if pid is None]
            hint = f"these programs have ended: {', '.join(dead)}" if dead else ""
            raise LabFailure(f"the gateway does not get ready: {_summary(now)}", hint, _what_they_say())
        time.sleep(0.1)
    return now


def _ready(now: dict[str, Any], prefixes: int) -> bool:
    if now.get("status") != "Healthy":
        return False
    everything = all(peer["received"] > prefixes for peer in now["peers"])  # the subnet, and those asked for
    return everything and now["routes"]["installed"] == now["routes"]["desired"]


def _starts() -> int:
    """How often the keeper had to start ncgd again."""
    return log_of("gw", "keeper").read_text(errors="replace").count(RESTARTED)


def _summary(now: dict[str, Any]) -> str:
    if not now:
        return f"ncgd does not answer, started again {_starts()} times"
    received = ", ".join(f"{peer['name']} {peer['received']}" for peer in now["peers"])
    return f"the gateway is {now['status']}; prefixes received: {received}; routes: {now['routes']}"


def _what_they_say() -> str:
    """The status screen and the ends of the logs, newest last."""
    parts = [screen()]
    logs = sorted(STATE.glob("*/**/*.log"), key=lambda path: path.stat().st_mtime)
    parts += [f"--- {log}\n{_tail(log)}" for log in logs if log.stat().st_size]
    return "\n".join(parts)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-_LOG_LINES:])
