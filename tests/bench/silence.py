"""BIRD on plain links, one of two equal peers falls silent: what ncgd's probing is compared with."""

import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from tests.bench.outage import pinging
from tests.bench.speakers import bird_gateway, start_bird, start_peer
from tests.integration.netns import Namespace, until, veth

HOLD, BFD = "BIRD, hold 60 s", "BIRD, BFD 100 ms x 3 on both sides"
_TARGET, _OURS = "10.0.0.5", "192.0.2.1"
_BFD = 'protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }\n'
_SILENT = "table ip silent {\n" + "".join(
    f" chain {hook} {{ type filter hook {hook} priority 0; policy drop; }}\n" for hook in ("input", "output")
) + "}\n"  # fmt: skip
_numbers = count(1)  # tell apart runs at the same time


def fall_silent(*, bfd: bool) -> float:
    """Seconds without an answer, on plain links."""
    number = next(_numbers)
    session, more = ("bfd on;", _BFD) if bfd else ("", "")
    with tempfile.TemporaryDirectory(prefix="ncgd-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        gateway = stack.enter_context(Namespace(f"nb-s{number}"))
        gateway.ip(f"addr add {_OURS}/32 dev lo")
        far = {}
        for each in (1, 2):
            space = far[f"g{each}"] = stack.enter_context(Namespace(f"nb-s{number}-{each}"))
            stack.enter_context(veth(gateway, f"g{each}", f"169.254.{each}.2/30", space, "p", f"169.254.{each}.1/30"))
            space.ip(f"addr add {_TARGET}/32 dev lo")
            space.ip(f"route add {_OURS} via 169.254.{each}.2")
            start_peer(space, folder, each, ["10.0.0.0/28"], session, more)
        start_bird(gateway, folder, "gw", bird_gateway(2, session) + more)
        until(lambda: gateway.ip("route show 10.0.0.0/28").count("nexthop") == 2, 30, "both peers carry")
        control = str(folder / "gw.ctl")
        if bfd:
            until(lambda: gateway.run("birdc", "-s", control, "show", "bfd", "sessions").count(" Up ") == 2, 30)
        way = gateway.ip(f"route get {_TARGET} from {_OURS}").split(" dev ")[1].split()[0]
        with pinging(gateway, _TARGET, "-I", _OURS) as outage:
            far[way].run("nft", "-f", "-", stdin=_SILENT)
            other = ({"g1", "g2"} - {way}).pop()
            until(lambda: f"dev {other}" in gateway.ip(f"route get {_TARGET} from {_OURS}"), 100, "traffic has moved")
            gateway.run("ping", "-c", "3", "-i", "0.05", "-I", _OURS, _TARGET)
        return outage.seconds
