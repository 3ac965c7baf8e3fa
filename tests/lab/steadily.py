"""Traffic that must not notice what happens: pings through both tunnels, both sessions, counted from start to end."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ncgd.lab import gateway
from ncgd.lab.topology import POD, inside
from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.site_side import ip

_RANGE = "10.128.0.96/27"
"""Addresses that the VM answers for, through whichever cloud interface its routes say; so many that a few go each way,
whatever the kernel hashes them with.
"""
_ADDRESSES = [f"10.128.0.{last}" for last in range(97, 127)]
EACH = 2
"""Flows through each tunnel."""


@contextmanager
def undisturbed(*, sessions: bool = True) -> Iterator[None]:
    """Pings, a hundred a second each, through both tunnels while the block runs: none is lost.

    And no session ends, unless ``sessions`` is False.
    """
    with site_side.vm_with_addresses(_RANGE):
        site_side.healthy()
        began = {row["name"]: row["uptimeSeconds"] for row in gateway.status()["peers"]}
        with site_side.flowing(*_spread()) as lost:
            yield
            site_side.healthy()
        assert set(lost.values()) == {0}, f"answers missing, by address: {lost}"
    ended = {row["name"]: row["uptimeSeconds"] for row in gateway.status()["peers"]}
    assert not sessions or all(ended[name] >= age for name, age in began.items()), f"sessions flapped: {began} {ended}"


def _spread() -> list[str]:
    """Addresses of the VM, as many through either tunnel, as the gateway's routes are now."""
    through: dict[str, list[str]] = {}

    def both() -> bool:
        through.clear()
        for address in _ADDRESSES:
            (route,) = json.loads(ip(f"-j route get {address} from {POD} iif lan0"))
            through.setdefault(route["dev"], []).append(address)
        return len(through) == 2 and all(len(found) >= EACH for found in through.values())

    def back() -> bool:
        """The VM knows both ways back."""
        show = inside("vm", "ip", "route", "show", "proto", "bird")
        shown = subprocess.run(show, capture_output=True, text=True, check=True)
        return all(f"dev {node}" in shown.stdout for node in site_side.NODE_OF.values())

    until(both, 30, "both tunnels carry")
    until(back, 30, "both tunnels carry what comes back")
    return [address for found in through.values() for address in found[:EACH]]
