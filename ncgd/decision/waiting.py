"""Which rows wait to be tried again, and what ends their waiting early."""

from dataclasses import replace

from ncgd.decision.retry import Retry
from ncgd.decision.world import World


def retries_without(world: World, *tables: str) -> dict[tuple[str, object], Retry]:
    """The retries of other tables: a program that has just come up need not wait for its rows."""
    return {(table, key): retry for (table, key), retry in world.retries.items() if table not in tables}


def read_again(world: World, *tables: str) -> World:
    """The tables have been read: what was written and is not there may be written again."""
    kept = {
        (table, key): retry for (table, key), retry in world.retries.items() if table not in tables or retry.attempts
    }
    return replace(world, retries=kept)
