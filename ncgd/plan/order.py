"""The dependency order, on one screen.

Build from the bottom up, then remove from the top down: make before break, withdraw before uninstall.
"""

BOTTOM_UP = (
    "processes",
    "ways",
    "esp_ports",
    "links",
    "sysctls",
    "addresses",
    "adjacencies",
    "nexthops",
    "masquerade",
    "agent",
    "routes",
    "guard",
    "clamps",
    "credentials",
    "connections",
    "sas",
    "probes",
    "neighbors",
    "slices",
    "memory",
)
"""Rows of a table need rows of the tables before it. Failover (nexthops) waits for no other program."""

BESIDE = frozenset({"guard", "masquerade", "memory"})
"""Written in one step each, additions and removals together, and waited for by nobody."""

WITHDRAWN_FIRST = "neighbors"
"""A peer is told that a prefix is gone before the way to it goes."""

BEFORE_REMOVALS = frozenset({WITHDRAWN_FIRST, "nexthops"})
"""Nothing else is removed while one of these is being written: the kernel takes next hops along with their device, the
last of a group with its routes."""
