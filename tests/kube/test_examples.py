"""Any API server takes every example as it is, and ncgd reads it back whole."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube.cluster import Place, until
from tests.kube.conftest import Places
from tests.kube.home import Running

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [item for path in sorted(folder.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_an_example_is_taken_and_read_back(places: Places, tmp_path: Path, name: str) -> None:
    items = manifests(EXAMPLES / name)
    wanted = {kind: sum(item["kind"] == kind for item in items) for kind in ("OverlayVPNTunnel", "OverlayBGPPeer")}

    async def scenario(place: Place) -> None:
        await place.create(*items)
        async with Running(place) as it:

            def is_whole() -> bool:
                intent = it.intent
                found = {"OverlayVPNTunnel": len(intent.tunnels), "OverlayBGPPeer": len(intent.peers)}
                return found == wanted and intent.is_complete and not intent.findings

            await until(is_whole)
            assert it.intent.gateway.created is not None, "the gateway is the one of the example"

    async def main() -> None:
        async with places(tmp_path) as place:
            await scenario(place)

    asyncio.run(main())
