"""How the BGP speaker is started: its program, its settings, its first configuration. Nothing is started here."""

import sys
from pathlib import Path

from ncgd.drivers.exabgp import render
from ncgd.model.process import Launch, LaunchFile

_HERE = Path(__file__).resolve().parent

SETTINGS = """\
# Written by ncgd for ExaBGP; changes are lost.
[exabgp.daemon]
user = root
drop = false

[exabgp.log]
destination = stderr
level = ERROR

[exabgp.api]
ack = true
cli = false
compact = true
encoder = json
respawn = true
terminate = true

[exabgp.tcp]
bind =
"""
"""Why: binding to an interface and to port 179's peer needs root; no named pipes; short prefixes in JSON; a bridge
that died is started again, and when that fails ExaBGP ends, to be started again itself; and no listener.

We only dial. A listener would have to be bound when ExaBGP starts, and it exits when an address is not there (its
tunnel is down); and two connections that cross are resolved before the peer's OPEN is read, which can end both.
"""


def bridge(socket: Path) -> tuple[str, ...]:
    """The bridge's command. Isolated and without site-packages: it starts in 20 ms and stays small."""
    return (sys.executable, "-I", "-S", str(_HERE / "bridge.py"), str(socket))


def launch(configuration: Path, socket: Path) -> Launch:
    """How to start ExaBGP with its configuration (absolute path) and the bridge's unix socket.

    A configuration that is there stays: a speaker that starts while ncgd is away has the sessions it had before.
    When ExaBGP is missing or of another line than 5.0 the program says so on stderr and ends with status 1.
    """
    settings = configuration.with_suffix(".env")
    empty = render.configuration([], bridge(socket))
    return Launch(
        argv=(sys.executable, "-I", str(_HERE / "repaired.py"), str(configuration)),
        environment={"EXABGP_ENVFILE": str(settings)},
        files=(
            LaunchFile(path=settings, text=SETTINGS),
            LaunchFile(path=configuration, text=empty, mode=0o640, is_seed=True),
        ),
        directories=tuple(dict.fromkeys((configuration.parent, socket.parent))),
    )
