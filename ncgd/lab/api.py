"""``python -m ncgd.lab.api ADDRESS PORT OBJECTS``: a small API server for the cluster-shaped lab.

OBJECTS is a JSON file with a list of what is there at the start. Runs in the virtual environment.
"""

import asyncio
import json
import sys
from pathlib import Path

from ncgd.lab.api_objects import Json
from ncgd.lab.api_server import ApiServer

_CLEAR_SECONDS = 60.0


async def serve(address: str, port: int, objects: list[Json]) -> None:
    """Serve until cancelled."""
    async with ApiServer(address=address, port=port) as server:
        for item in objects:
            server.seed(item)
        while True:
            server.requests.clear()
            await asyncio.sleep(_CLEAR_SECONDS)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())))
