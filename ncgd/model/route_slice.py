"""The learned prefixes as they travel from the active gateway to the other nodes: some of them per slice."""

from dataclasses import dataclass

from ncgd.model.prefix import Prefix

SLICE_PREFIXES = 256
"""Prefixes in a slice at most: a changed prefix costs every node the reading of one small object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSlice:
    """An OverlayRouteSlice. All slices of a gateway together are its prefixes; which slice holds which means nothing.

    ``node`` and ``epoch`` (of the Lease) say who has written it, for people and for the next active gateway.
    """

    name: str
    gateway: str
    node: str
    epoch: int
    prefixes: frozenset[Prefix] = frozenset()

    def __repr__(self) -> str:
        return f"<RouteSlice {self.name}: {len(self.prefixes)} prefixes of {self.node}, epoch {self.epoch}>"
