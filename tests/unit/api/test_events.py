"""The timeline over the API."""

from pathlib import Path

import pytest

from ncgd.cli import client
from ncgd.decision.timeline import MOST_KEPT, ONGOING_SECONDS, Timeline
from ncgd.errors import Rejected
from ncgd.model.happening import Happening
from tests.scenarios.site import healthy_site
from tests.unit.api.test_api import served

NAMES = ("OverlayVPNTunnel/kube-system/tunnel-1", "OverlayBGPPeer/kube-system/peer-1")


def full(count: int = MOST_KEPT) -> Timeline:
    """A timeline with entries of a tunnel and a peer in turn."""
    timeline = Timeline()
    for number in range(count):
        happening = Happening(object=NAMES[number % 2], reason="TunnelDown", message="SaDown: gone", is_warning=True)
        timeline.add(happening, f"2026-11-21T09:00:00.{number:03d}Z", ONGOING_SECONDS * number)
    return timeline


def numbers(socket: Path, **query: str) -> list[int]:
    return [each["number"] for each in client.get(socket, "/v1/events", query)["events"]]


def test_an_entry_has_all_its_parts(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=full(1)) as socket:
        assert client.get(socket, "/v1/events")["events"] == [
            {
                "number": 1,
                "time": "2026-11-21T09:00:00.000Z",
                "lastTime": "2026-11-21T09:00:00.000Z",
                "count": 1,
                "object": NAMES[0],
                "reason": "TunnelDown",
                "message": "SaDown: gone",
                "severity": "warning",
            }
        ]


def test_the_newest_come_first_and_one_may_ask_for_some(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, timeline=full()) as socket:
        assert numbers(socket) == list(range(MOST_KEPT, MOST_KEPT - 200, -1))
        assert numbers(socket, limit="2") == [MOST_KEPT, MOST_KEPT - 1]
        assert numbers(socket, limit="2", object="PEER-1") == [MOST_KEPT, MOST_KEPT - 2]
        assert numbers(socket, after=str(MOST_KEPT - 1)) == [MOST_KEPT]
        assert len(numbers(socket, limit="999999999")) == MOST_KEPT


def test_there_are_events_before_the_first_pass(tmp_path: Path) -> None:
    with served(healthy_site(), tmp_path, is_started=False, timeline=full(1)) as socket:
        assert numbers(socket) == [1]


@pytest.mark.parametrize("query", [{"limit": "-1"}, {"limit": "x"}, {"after": ""}, {"after": "9" * 30}])
def test_a_wrong_question_gets_a_clear_answer(tmp_path: Path, query: dict[str, str]) -> None:
    with served(healthy_site(), tmp_path) as socket, pytest.raises(Rejected, match="are numbers"):
        client.get(socket, "/v1/events", query)
