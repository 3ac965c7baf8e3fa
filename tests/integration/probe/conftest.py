"""A gateway and a peer with a cable between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.netns import Namespace, veth


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    with (
        Namespace("pb-gw") as gw,
        Namespace("pb-peer") as peer,
        veth(gw, "t1", "169.254.1.2/30", peer, "p1", "169.254.1.1/30"),
    ):
        yield gw, peer


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "pulses.json"
