"""Rekeys in the lab, by the gateway, by the cloud or by both at once, and how they are seen to be over."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ncgd.lab import gateway
from ncgd.lab.topology import STATE
from tests.integration.netns import until

TUNNEL, NODE = "tunnel-1", "cloud0"
OURS, THEIRS = f"ncg-{TUNNEL}", "gateway"


def sockets_of_ours() -> list[Path]:
    """VICI sockets of the gateway's charons."""
    return sorted(gateway.RUN.glob("charon*/charon.vici"))


def spis(*, ike: bool = False) -> set[str]:
    """The tunnel's inbound SPIs of ESP, or initiator's SPIs of IKE; empty unless both sides have one and the same."""
    ours = [line for each in sockets_of_ours() for line in _listed(each, OURS)]
    theirs = _listed(STATE / NODE / "charon.vici", THEIRS)
    if ike:
        found = [{spi for _, state, spi in _ike_sas(each) if state == "ESTABLISHED"} for each in (ours, theirs)]
        return found[0] if found[0] == found[1] and len(found[0]) == 1 else set()
    incoming = re.findall(r" state=INSTALLED mode=.*?spi-in=(\w+)", " ".join(ours))
    outgoing = re.findall(r" state=INSTALLED mode=.*?spi-out=(\w+)", " ".join(theirs))
    return set(incoming) if incoming == outgoing and len(incoming) == 1 else set()


def authenticate_anew(who: str) -> None:
    """Have ``us`` or the ``cloud`` end the IKE SA and begin another; wait until both sides have that.

    What the other side ends, charon begins again, too. If both come up, INITIAL_CONTACT in the second IKE_AUTH has its
    receiver forget the first without a word (RFC 7296 section 2.4): the cloud may have kept that one, until its dead
    peer detection would find out. What is left over there is ended. What either still deletes is no SA any more: a
    redundant one of rekeys that collided, which the other does not know, is deleted for minutes.
    """
    before = until(lambda: spis(ike=True), 60, "one IKE SA on both sides")
    ask_for_new_keys("ike", (who,), "--reauth")
    cloud = STATE / NODE / "charon.vici"

    def settled() -> set[str]:
        listed = [line for each in sockets_of_ours() for line in _listed(each, OURS)], _listed(cloud, THEIRS)
        ours, theirs = ([row for row in _ike_sas(lines) if row[1] != "DELETING"] for lines in listed)
        if len(ours) != 1 or {state for _, state, _ in (*ours, *theirs)} != {"ESTABLISHED"}:
            return set()
        for number in (number for number, _, spi in theirs if spi != ours[0][2]):
            argv = ["swanctl", "--terminate", "--ike-id", number, "--force", "--uri", f"unix://{cloud}"]
            subprocess.run(argv, check=False, capture_output=True)
        return spis(ike=True) - before

    try:
        until(settled, 60, "one new IKE SA on both sides")
    except AssertionError as error:
        listed = [_listed(each, name) for each, name in (*((it, OURS) for it in sockets_of_ours()), (cloud, THEIRS))]
        raise AssertionError(f"{error}, which was {before}: {listed}") from error


def _ike_sas(listed: list[str]) -> list[tuple[str, str, str]]:
    """Charon's number, the state and the initiator's SPI of each IKE SA."""
    return re.findall(r"uniqueid=(\d+) version=\d state=(\w+) .*?initiator-spi=(\w+)", "\n".join(listed))


def _listed(socket: Path, name: str) -> list[str]:
    argv = ["swanctl", "--list-sas", "--raw", "--uri", f"unix://{socket}"]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return [line for line in answer.splitlines() if f"list-sa event {{{name} " in line]


def rekey(what: str, who: Iterable[str], *options: str) -> None:
    """Have ``us``, the ``cloud`` or both, in the same moment, rekey the tunnel's ``ike`` or ``child``; wait for it."""
    before = until(lambda: spis(ike=what == "ike"), 60, f"one {what} SA on both sides")
    ask_for_new_keys(what, who, *options)
    until(lambda: (now := spis(ike=what == "ike")) and not now & before, 60, f"one new {what} SA on both sides")


def ask_for_new_keys(what: str, who: Iterable[str], *options: str) -> None:
    """The same, whatever comes of it.

    By number, as the SA's own timer would: by name charon rekeys what the other side has only just begun, too. Whose SA
    is gone by then has been rekeyed by the other side.
    """
    (ours,) = (each for each in sockets_of_ours() if _listed(each, OURS))
    sides = {"us": (ours, OURS), "cloud": (STATE / NODE / "charon.vici", THEIRS)}
    asked = []
    for vici, name in (sides[each] for each in who):
        listed = _listed(vici, name)
        numbers = {
            "ike": [number for number, state, _ in _ike_sas(listed) if state == "ESTABLISHED"],
            "child": re.findall(r" uniqueid=(\d+) reqid=\d+ state=INSTALLED", "\n".join(listed)),
        }
        asked.append(["swanctl", "--rekey", f"--{what}-id", numbers[what][-1], *options, "--uri", f"unix://{vici}"])
    started = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for argv in asked]
    assert 0 in [each.wait(30) for each in started]
