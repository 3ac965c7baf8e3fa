"""A gateway in the lab, with real tunnels: what its start takes, what it carries, the outage when a tunnel breaks."""

from collections.abc import Callable, Iterator

from ncgd.lab import topology
from tests.bench import idle, restart, throughput
from tests.bench.outage import pinging, rest
from tests.bench.sites import Site, node, site

_BREAK_SECONDS = 2.0


def measure(name: str, wanted: frozenset[str]) -> Iterator[tuple[str, float]]:
    """Bring up the lab with a gateway; the rows that are wanted of it, in ms, Mbit/s, packets or % of a core."""
    with site(name) as lab:
        yield "start-ping", lab.first_answer_seconds * 1000
        yield "start-ready", lab.ready_seconds * 1000
        if wanted & {"idle", "idle-charons"}:
            yield from idle.shares()
        if "throughput" in wanted:
            yield "throughput", throughput.mbit(lab)
        if wanted & {"restart-lost", "restart-flaps"}:
            yield from restart.under_pings()
        if wanted & {"calm-loaded-lost", "restart-loaded-lost", "restart-stream"}:
            yield from restart.under_load(lab)
        for row, break_tunnel in BREAKS.items():
            if row in wanted:
                yield row, _outage(lab, break_tunnel) * 1000


def _outage(lab: Site, break_tunnel: Callable[[Site], Callable[[], object]]) -> float:
    """Seconds without an answer when the tunnel that carries the pings breaks; then it is mended."""
    with pinging(node("pod"), topology.VM) as outage:
        rest(0.3)
        mend = break_tunnel(lab)
        rest(_BREAK_SECONDS)
    mend()
    lab.heal()
    return outage.seconds


def _silence(lab: Site) -> Callable[[], object]:
    """The outer path of a tunnel drops everything, both ways."""
    remote = lab.carrier()[0].address
    rules = f"ip daddr {remote} drop; ip saddr {remote} drop;"
    internet = node("internet")
    internet.run(
        "nft", "-f", "-", stdin=f"table ip silent {{ chain c {{ type filter hook forward priority 0; {rules} }}; }}\n"
    )
    return lambda: internet.run("nft", "delete", "table", "ip", "silent")


def _delete_ike(lab: Site) -> Callable[[], object]:
    """The peer deletes the IKE SA."""
    far = lab.carrier()[0].node
    vici = f"unix://{topology.STATE / far / 'charon.vici'}"
    node(far).run("swanctl", "--terminate", "--ike", "gateway", "--timeout", "1", "--uri", vici)
    return lambda: None


def _reset_session(lab: Site) -> Callable[[], object]:
    """The peer ends the BGP session with a NOTIFICATION."""
    far = lab.carrier()[0].node
    node(far).run("birdc", "-s", str(topology.STATE / far / "bird.ctl"), "restart", "site")
    return lambda: None


def _take_link_down(lab: Site) -> Callable[[], object]:
    """The tunnel's device goes down at our end."""
    device = lab.carrier()[1]
    node("gw").ip(f"link set {device} down")
    return lambda: node("gw").ip(f"link set {device} up")


BREAKS = {
    "silent": _silence,
    "ike-delete": _delete_ike,
    "link-down": _take_link_down,
    "session-reset": _reset_session,
}
"""Rows, and what breaks in them; each gives back what mends it."""

STEADY = frozenset({"start-ping", "start-ready", "throughput"})
"""What ``measure`` can give; a lab for these alone, so that little time lies between the two that are compared."""

BROKEN = frozenset(
    {"idle", "idle-charons", "restart-lost", "restart-flaps", "calm-loaded-lost", "restart-loaded-lost"}
    | {"restart-stream", *BREAKS}
)
"""What it can give beside these."""
