"""The commands, as a person meets them, and where each is: a module is loaded when its command is used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """One command: its module below ``ncgd.cli``, what it does in a few words, and NCG's flags that mean it."""

    module: str
    does: str
    flags: tuple[str, ...] = ()
    function: str = ""
    """Its name in the module; empty: that of the command."""


SECTIONS: Mapping[str, Mapping[str, Known]] = {
    "See how it is (where ncgd runs: a gateway's node, or any host)": {
        "status": Known("status", "One screen: tunnels, sessions, problems, what to do; or live."),
        "events": Known("events", "What happened, and when: outages, failovers, edits, restarts."),
        "get": Known("get", "Objects with their status, as kubectl shows them.", function="get_objects"),
    },
    "Find out why": {
        "diagnose": Known("diagnose", "Walk the path, and name the first thing that is wrong."),
        "explain": Known("explain", "Why a prefix, an address, a tunnel or a peer is as it is."),
        "support-bundle": Known("bundle", "All that somebody needs who helps you; no secrets."),
    },
    "Set up the gateway of a cluster": {
        "verify": Known("verify", "Check what a gateway needs, and say what to do; also on a host.", ("--verify",)),
        "install": Known("install", "Install ncgd in a cluster, or upgrade it.", ("--install",)),
        "uninstall": Known("uninstall", "Remove ncgd from a cluster and its nodes.", ("--uninstall",)),
        "enable": Known(
            "enable",
            "Allow the gateway on an existing cluster (NCG's annotation).",
            ("-e", "--enable-ncg-on-existing-cluster"),
        ),
    },
    "Your shell": {
        "completion": Known("completion", "Commands, tunnels, peers and prefixes at the Tab key."),
    },
}
HIDDEN: Mapping[str, Known] = {"node-facts": Known("verify", "", function="node_facts")}
"""What only ncgctl itself runs."""


def known() -> Iterator[tuple[str, Known]]:
    """All that a person may type, by name."""
    for section in SECTIONS.values():
        yield from section.items()


ACTIONS = {flag: name for name, each in known() for flag in each.flags}
"""NCG's flags that are actions, and the command that each stands for."""
