"""The dependency order, on one screen.

Build from the bottom up, then remove from the top down: make before break, withdraw before uninstall.
"""

BOTTOM_UP = (
    "processes",
    "links",
    "sysctls",
    "addresses",
    "nexthops",
    "routes",
    "clamps",
    "credentials",
    "connections",
    "sas",
    "probes",
    "neighbors",
)
"""Rows of a table need rows of the tables before it. Failover (nexthops) waits for no other program."""

WITHDRAWN_FIRST = "neighbors"
"""A peer is told that a prefix is gone before the way to it goes."""
