"""Ending so that another node goes on: have it take the Lease, withdraw, drain, terminate, and only then be gone."""

import asyncio
import logging
from collections.abc import Callable

from ncgd.decision.role import has_left
from ncgd.decision.world import World

log = logging.getLogger("ncgd")

TAKER_SECONDS = 5.0
"""How long another candidate may take to come forward; a watch tells it at once, without one it asks every 3 s."""
LEAVE_SECONDS = 10.0
"""How long standing down may take then."""
_LOOK_SECONDS = 0.02


async def hand_over(leave: Callable[[str], None], world: Callable[[], World]) -> None:
    """Returns once another node has taken over and nothing of ours is up any more, or when nobody does."""
    if not world().role.is_gateway:
        return
    leave("ncgd ends on this node")
    if not await _until(lambda: not world().role.is_gateway, TAKER_SECONDS):
        log.warning("no other node takes over; tunnels and sessions are left as they are", extra={"event": "hand_over"})
    elif await _until(lambda: has_left(world()), LEAVE_SECONDS):
        log.info("handed over: %s", world().role.message, extra={"event": "hand_over"})


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    for _ in range(round(seconds / _LOOK_SECONDS)):
        if condition():
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return condition()
