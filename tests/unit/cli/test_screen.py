"""The status screen at the widths that terminals have: nothing is cut, and what matters most is always there."""

from pathlib import Path
from typing import Any

import pytest

from ncgd.api import views
from ncgd.cli import screen
from ncgd.cli.table import fitted
from ncgd.model import event as ev
from ncgd.model.capability import Capability
from ncgd.model.ike import IkeFailure
from ncgd.model.probe import Pulse
from tests.integration.netns import until
from tests.scenarios.site import Site, healthy_site
from tests.unit.api.test_api import degraded_site, ncgctl, served
from tests.unit.cli.test_watch import watching

RATES = {"tunnel-1": (123_456_789.0, 5e9), "tunnel-2": (0.0, 17.0)}
TUNNEL_COLUMNS = "TUNNEL STATUS USABLE RTT REMOTE INTERFACE MTU IN OUT SA AGE ESP"
SESSION_COLUMNS = "SESSION STATUS PEER ASN TUNNEL UP RECEIVED ACCEPTED REFUSED ADVERTISED"

WORDY = Capability(
    kernel_esp=True,
    kernel_detail="XFRM interface: yes; ESP: yes; AES-GCM: yes",
    userspace_esp=False,
    userspace_detail="userspace ESP: /dev/net/tun does not open: No such file or directory (errno 2)",
)
FAILURES = {
    "PeerUnreachable": "the peer does not answer: check its address, UDP ports 500 and 4500, and NAT on the way",
    "PskMismatch": "the peer's authentication is wrong: the pre-shared keys differ",
    "AuthenticationFailed": "the peer refused our authentication: compare the pre-shared key, and the identity that "
    "it expects",
}
TODO = {
    "PeerUnreachable": "peer.publicIP, or one-to-many NAT",
    "PskMismatch": "mind a trailing newline",
    "AuthenticationFailed": "it must be spec.self.publicIP",
    "DataPathDead": "tries a new IKE SA now and then",
}
"""How what there is to do about it ends."""


def stricken(reason: str, *numbers: int) -> Site:
    """Tunnels die of that, and their sessions with them."""
    site = healthy_site()
    site.tell(ev.CapabilityProbed(capability=WORDY))
    for number in numbers:
        if reason == "DataPathDead":
            site.probe_finds(**{f"tunnel_{number}": Pulse.DEAD})
        else:
            site.lose_sa(f"tunnel-{number}")
    site.after(60)
    for number in numbers:
        site.tell(ev.SessionDown(peer=f"peer-{number}", reason="hold timer expired", is_graceful=True))
    site.after(60)
    for number in numbers:
        if reason in FAILURES:
            failure = IkeFailure(tunnel=f"tunnel-{number}", reason=reason, message=FAILURES[reason])
            site.tell(ev.IkeFailed(failure=failure))
    return site


def busy(status: dict[str, Any]) -> dict[str, Any]:
    """As after weeks of traffic."""
    for tunnel in status["tunnels"]:
        tunnel["child"] = "INSTALLED AES_GCM_16-256 0.0.0.0/0 === 0.0.0.0/0"
        tunnel["probe"] = {"pulse": "alive", "rttSeconds": 0.0123, "loss": 0.02}
        tunnel["carried"] |= {"bytesIn": 10**13, "bytesOut": 10**12}
        tunnel["establishedSeconds"] = 10**6
    for peer in status["peers"]:
        peer |= {"uptimeSeconds": 10**6, "received": 1000, "accepted": 900, "refused": 100}
    return status


def shown(status: dict[str, Any], columns: int | None, *, rates: bool = False) -> list[str]:
    look = screen.Look(width=min(columns or 110, 110), table_width=columns, rates=RATES if rates else None)
    return screen.lines(busy(status), look)


def titles(lines: list[str], first: str) -> str:
    return " ".join(next(line for line in lines if line.startswith(f"{first} ")).split())


@pytest.mark.parametrize(
    ("columns", "tunnels", "live"),
    [
        (80, "TUNNEL STATUS USABLE RTT REMOTE SA AGE", "TUNNEL STATUS USABLE RTT IN/S OUT/S"),
        (
            120,
            "TUNNEL STATUS USABLE RTT REMOTE INTERFACE MTU IN OUT SA AGE",
            "TUNNEL STATUS USABLE RTT IN/S OUT/S REMOTE MTU IN OUT SA AGE",
        ),
        (200, TUNNEL_COLUMNS, TUNNEL_COLUMNS.replace("REMOTE", "IN/S OUT/S REMOTE")),
    ],
)
def test_tunnels_are_shown_with_as_many_columns_as_find_room(columns: int, tunnels: str, live: str) -> None:
    status = views.status(degraded_site().report())
    assert titles(shown(status, columns), "TUNNEL") == tunnels
    assert titles(shown(status, columns, rates=True), "TUNNEL") == live


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [(80, "SESSION STATUS TUNNEL UP RECEIVED ACCEPTED REFUSED ADVERTISED"), (120, SESSION_COLUMNS)],
)
def test_sessions_are_shown_with_as_many_columns_as_find_room(columns: int, wanted: str) -> None:
    assert titles(shown(views.status(healthy_site().report()), columns), "SESSION") == wanted


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("rates", [True, False])
def test_no_line_is_longer_than_the_terminal_is_wide(columns: int, rates: bool) -> None:
    for site in (healthy_site(), degraded_site()):
        assert max(map(len, shown(views.status(site.report()), columns, rates=rates))) <= columns


def test_a_file_gets_all_columns(tmp_path: Path) -> None:
    assert titles(shown(views.status(healthy_site().report()), None), "TUNNEL") == TUNNEL_COLUMNS
    with served(healthy_site(), tmp_path) as socket:
        text = ncgctl(socket, "status").stdout.splitlines()
    assert (titles(text, "TUNNEL"), titles(text, "SESSION")) == (TUNNEL_COLUMNS, SESSION_COLUMNS)


def test_the_live_screen_fits_80_columns(tmp_path: Path) -> None:
    with served(degraded_site(), tmp_path) as socket, watching(socket, columns=80) as terminal:
        until(lambda: "Problems" in terminal.text and "0 B" in terminal.text, 20, "the screen")
        tunnels, sessions = (titles(terminal.lines, each) for each in ("TUNNEL", "SESSION"))
    assert tunnels.startswith("TUNNEL STATUS USABLE RTT IN/S OUT/S REMOTE")
    assert sessions.endswith("ADVERTISED"), "nothing is cut on the right"
    assert any(line.endswith("ActiveActive") for line in terminal.lines)


def live(site: Site, rows: int) -> list[str]:
    return screen.lines(views.status(site.report()), screen.Look(width=80, table_width=80, rates=RATES, rows=rows))


@pytest.mark.parametrize("numbers", [(1,), (1, 2)])
@pytest.mark.parametrize("reason", TODO)
def test_what_is_wrong_and_what_to_do_is_seen_at_once_on_80x24(
    tmp_path: Path, reason: str, numbers: tuple[int, ...]
) -> None:
    site = stricken(reason, *numbers)
    wanted = [f"ERROR {reason} tunnel/tunnel-{number}:" for number in numbers]
    wanted += [TODO[reason], *["→ as above"] * (len(numbers) > 1)]

    def text() -> str:
        return " ".join(" ".join(terminal.lines[:24]).split())

    with served(site, tmp_path) as socket, watching(socket, rows=24, columns=80) as terminal:
        until(lambda: all(each in text() for each in wanted), 20, "what is wrong and what to do")
        assert "SessionDown" not in text(), "it follows from the tunnel"
        assert text().count(TODO[reason]) == 1
        assert ("→ as above" in text()) == (len(numbers) > 1), "the same is not said twice"


def test_problems_come_last_where_there_is_room_and_else_as_early_as_they_must() -> None:
    site = stricken("PskMismatch", 1)

    starts = ("TUNNEL ", "SESSION ", "Routes ", "Problems")

    def order(rows: int) -> list[str]:
        return [line.split()[0] for line in live(site, rows) if line.startswith(starts)]

    assert order(60) == ["TUNNEL", "SESSION", "Routes", "Problems"]
    assert order(18) == ["TUNNEL", "SESSION", "Problems", "Routes"]
    assert order(13) == ["TUNNEL", "Problems", "SESSION", "Routes"]
    assert order(5) == ["Problems", "TUNNEL", "SESSION", "Routes"]
    assert sorted(live(site, 5)) == sorted(live(site, 60)), "nothing is left out"


def test_the_dataplane_is_one_line_on_the_live_screen_and_all_of_it_elsewhere() -> None:
    site = stricken("PskMismatch", 1)
    assert "Dataplane kernel: the kernel has XFRM interfaces, ESP and AES-GCM" in live(site, 23)
    text = " ".join(" ".join(shown(views.status(site.report()), 80)).split())
    assert "ESP and AES-GCM (XFRM interface: yes; ESP: yes;" in text
    assert "OverlayVPNTunnel/kube-system/tunnel-1" in text


def test_columns_that_matter_stay_however_narrow_it_is() -> None:
    assert fitted(("A", "B", "C"), [("a" * 9, "b", "c")], 3, [("B", "C")]) == ["A", "a" * 9]
    assert fitted(("A", "B"), [], None, [("B",)]) == ["A  B"]
