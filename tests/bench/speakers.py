"""BGP speakers side by side: each started as AS 65010 in a namespace, with peers in AS 64512 at 169.254.N.1."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ncgd.lab.failure import LabFailure
from tests.integration.netns import Namespace, until

Process = subprocess.Popen[str]
Start = Callable[[Namespace, int, Path], list[Process]]
HERE = Path(__file__).parent
FRR = "/usr/lib/frr"


def bird(space: Namespace, peers: int, folder: Path) -> list[Process]:
    """BIRD that installs what it learns, as ECMP."""
    return start_bird(space, folder, "gw", bird_gateway(peers))


def bird_gateway(peers: int, session: str = "") -> str:
    """Its configuration; ``session`` is added to each session."""
    sessions = "".join(
        f"protocol bgp p{each} {{ local 169.254.{each}.2 as 65010; neighbor 169.254.{each}.1 as 64512; {session}\n"
        " hold time 60; connect delay time 1; connect retry time 1; ipv4 { import all; export none; }; }\n"
        for each in range(1, peers + 1)
    )
    merge = "merge paths yes;" if peers > 1 else ""
    return (
        "router id 169.254.1.2;\nprotocol device {}\n"
        f"protocol kernel {{ {merge} ipv4 {{ import none; export all; }}; scan time 3600; }}\n{sessions}"
    )


def start_bird(space: Namespace, folder: Path, name: str, configuration: str) -> list[Process]:
    """Start a BIRD and wait until it answers at ``folder/<name>.ctl``."""
    path, control = folder / f"{name}.conf", folder / f"{name}.ctl"
    path.write_text(configuration)
    process = space.start("bird", "-f", "-c", str(path), "-s", str(control), log=folder / f"{name}.log")
    until(lambda: space.succeeds("birdc", "-s", str(control), "show", "status"), what=f"BIRD {name} answers")
    return [process]


def start_peer(
    space: Namespace, folder: Path, number: int, routes: list[str], session: str = "", more: str = ""
) -> Process:
    """A BIRD that is peer ``number`` and advertises ``routes``."""
    static = "\n".join(f"route {route} blackhole;" for route in routes)
    configuration = (
        f"router id 169.254.{number}.1;\nprotocol device {{}}\nprotocol static vpc {{ ipv4;\n{static}\n}}\n{more}"
        f"protocol bgp site {{ local 169.254.{number}.1 as 64512; neighbor 169.254.{number}.2 as 65010; {session}\n"
        " hold time 60; connect delay time 1; connect retry time 1; error wait time 1, 2;\n"
        " ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }\n"
    )
    return start_bird(space, folder, f"peer-{number}", configuration)[0]


@contextmanager
def awake(control: Path) -> Iterator[None]:
    """Ask a BIRD something every 20 ms: else BIRD 2.0 may sleep for 3 s before it sends the last part of a table."""
    ended = threading.Event()

    def ask() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(control))
            while not ended.wait(0.02):
                connection.send(b"show memory\n")
                connection.recv(1 << 16)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()


def frr(space: Namespace, peers: int, folder: Path) -> list[Process]:
    """FRR's zebra and bgpd. Raises LabFailure when they are not installed."""
    if not Path(FRR, "bgpd").exists():
        raise LabFailure("FRR is not installed")
    run = folder / "frr"
    run.mkdir()
    neighbors = "".join(
        f" neighbor 169.254.{each}.1 remote-as 64512\n neighbor 169.254.{each}.1 timers connect 1\n"
        for each in range(1, peers + 1)
    )
    texts = {
        "zebra": "hostname zebra\n",
        "bgpd": "hostname bgpd\nrouter bgp 65010\n bgp router-id 169.254.1.2\n no bgp ebgp-requires-policy\n"
        f" no bgp network import-check\n timers bgp 20 60\n{neighbors}"
        f" address-family ipv4 unicast\n  maximum-paths {peers}\n",
    }
    folder.chmod(0o755)
    for name, text in texts.items():
        (run / f"{name}.conf").write_text(text)
    for path in (run, *run.iterdir()):
        shutil.chown(path, "frr", "frr")
    started = []
    for name in texts:
        options = (
            "-f",
            f"{run}/{name}.conf",
            "-i",
            f"{run}/{name}.pid",
            "-z",
            f"{run}/zserv",
            "--vty_socket",
            str(run),
        )
        started.append(space.start(f"{FRR}/{name}", *options, log=folder / f"{name}.log"))
        until((run / f"{name}.vty").exists, what=f"FRR's {name} listens")
    return started


def ncgd(space: Namespace, peers: int, folder: Path) -> list[Process]:
    """ncgd with exabgp."""
    return [space.start(str(HERE / "speaker"), "--peers", str(peers), log=folder / "ncgd.log")]


SPEAKERS: Mapping[str, Start] = {"ncgd": ncgd, "BIRD": bird, "FRR": frr}
