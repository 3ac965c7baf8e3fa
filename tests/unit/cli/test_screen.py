"""The status screen at the widths that terminals have: nothing is cut, and what matters most is always there."""

from pathlib import Path
from typing import Any

import pytest

from ncgd.api import views
from ncgd.cli import screen
from ncgd.cli.table import fitted
from tests.integration.netns import until
from tests.scenarios.site import healthy_site
from tests.unit.api.test_api import degraded_site, ncgctl, served
from tests.unit.cli.test_watch import watching

RATES = {"tunnel-1": (123_456_789.0, 5e9), "tunnel-2": (0.0, 17.0)}
TUNNEL_COLUMNS = "TUNNEL STATUS USABLE RTT REMOTE INTERFACE MTU IN OUT SA AGE ESP"
SESSION_COLUMNS = "SESSION STATUS PEER ASN TUNNEL UP RECEIVED ACCEPTED REFUSED ADVERTISED"


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


def test_columns_that_matter_stay_however_narrow_it_is() -> None:
    assert fitted(("A", "B", "C"), [("a" * 9, "b", "c")], 3, [("B", "C")]) == ["A", "a" * 9]
    assert fitted(("A", "B"), [], None, [("B",)]) == ["A  B"]
