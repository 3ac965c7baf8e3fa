"""The dependency order, on one screen.

Build from the bottom up, then remove from the top down: make before break, withdraw before uninstall.
"""

BOTTOM_UP = (
    "processes",
    "sysctls",
    "links",
    "addresses",
    "clamps",
    "credentials",
    "connections",
    "sas",
    "probes",
    "nexthops",
    "routes",
    "neighbors",
)
"""Rows of a table need rows of the tables before it."""

WITHDRAWN_FIRST = "neighbors"
"""A peer is told that a prefix is gone before the way to it goes."""
