"""Every example of a site runs: tunnels, sessions, packets both ways, against a far end as its documents describe it.

``ha-vpn`` is what all other tests of the lab run on, ``kubernetes`` what ``test_cluster`` does.
"""

from collections.abc import Iterator

import pytest

from tests.integration.netns import until
from tests.lab.cloud_side import birdc
from tests.lab.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.fixture
def lab() -> Iterator[Lab]:
    it = Lab()
    it.command("down")
    try:
        yield it
    finally:
        assert it.command("down").returncode == 0


@pytest.mark.parametrize(
    ("example", "tunnels", "hold"),
    [("standalone-vm", ["tunnel-1", "tunnel-2"], 60), ("aws", ["aws-1", "aws-2"], 30), ("azure", ["azure"], 180)],
)
def test_it_comes_up_and_carries(lab: Lab, example: str, tunnels: list[str], hold: int) -> None:
    lab.up("--example", example)
    for name in tunnels:
        assert f"5 of 5 through {name}" in lab.up_output
    assert "vm 10.128.0.10 -> pod 10.10.0.10: each sees the other's own address" in lab.up_output
    status = until(lambda: now if (now := lab.status()).get("status") == "Healthy" and not now["problems"] else {}, 30)
    assert [each["name"] for each in status["tunnels"]] == tunnels
    assert [each["usable"] for each in status["tunnels"]] == [True] * len(tunnels)
    timers = next(line for line in birdc("cloud0", "show", "protocols", "all", "site").splitlines() if "Hold" in line)
    assert timers.strip().endswith(f"/{hold}"), "both ends have agreed on what the far end wants"
    assert lab.run("pod", "ping", "-c", "3", "-i", "0.1", "-s", "1300", "10.128.0.10").returncode == 0
