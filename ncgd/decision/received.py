"""What a peer has sent, with the verdict on each prefix."""

from itertools import islice

from ncgd.decision.world import World
from ncgd.model import prefix as px


def received(peer: str, world: World, limit: int) -> list[tuple[str, str]]:
    """Prefix and verdict (a reason code, or ``Accepted``), the refused ones first, at most ``limit``."""
    table = world.rib.peers.get(peer)
    if table is None:
        return []
    live = table.paths if table.fresh is None else table.fresh
    refused = islice((prefix for prefix in table.refused if prefix in live), limit)
    accepted = islice((prefix for prefix in live if prefix not in table.refused), limit)
    listed = [*sorted(refused, key=px.sort_key), *sorted(accepted, key=px.sort_key)][:limit]
    return [(px.text(prefix), str(table.refused.get(prefix, "Accepted"))) for prefix in listed]
