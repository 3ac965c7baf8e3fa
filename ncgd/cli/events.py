"""``ncgctl events``: the timeline, oldest first, so that the newest is where the eye is."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ncgd.cli import client, colours
from ncgd.cli.asking import ask
from ncgd.cli.colours import GREEN, YELLOW, paint
from ncgd.cli.completion import names
from ncgd.cli.screen import Look, short
from ncgd.cli.table import printable, room
from ncgd.errors import NcgdError

POLL_SECONDS = 0.5
MOST = 1000
INTERRUPTED = 130
"""As shells say it of a program that Ctrl-C has ended."""
_GOOD = {"TunnelUp", "SessionUp", "GatewayHealthy", "Solved"}


@click.command()
@click.argument("named", metavar="[OBJECT]", default="", shell_complete=names)
@click.option("-n", "--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Stay, and print what happens.")
@click.option("-o", "--output", type=click.Choice(["screen", "json"]), default="screen", show_default=True)
@click.pass_obj
def events(path: Path, named: str, limit: int, output: str, *, follow: bool) -> None:
    """Show what happened on this node, the newest last: outages, failovers, edits, restarts, with reasons.

    With OBJECT only what has that in its name; exits 1 when no object has. The last 1000 entries are kept until the
    machine is booted; what goes on (packets that the guard drops) or comes again and again (a tunnel that flaps) is
    one entry with a count.

    \b
    ncgctl events tunnel-1           # the life of one tunnel
    ncgctl events -f                 # watch what a change does
    ncgctl events -o json | jq -r 'select(.severity == "warning") | .message'

    Times are UTC, by this machine's clock; the order holds even where that clock is set. JSON is one entry a line.
    """
    entries = ask(path, "/v1/events", {"limit": str(limit), "object": named})["events"][::-1]
    _print(entries, output)
    if not entries and not follow:
        click.echo("nothing has happened yet" if not named else f"nothing has happened to {named!r}", err=True)
    if follow:
        try:
            for more in _following(path, named, entries[-1]["number"] if entries else 0):
                _print(more, output)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


def _following(path: Path, named: str, last: int) -> Iterator[list[dict[str, Any]]]:
    """What is new, as it comes, for ever; an ncgd that is away is waited for."""
    is_away = False
    while True:
        time.sleep(POLL_SECONDS)
        try:
            newest = _newest_first(path, named, 1)
            if newest and newest[0]["number"] < last:  # another timeline: the run directory was emptied
                last = 0
            fresh = _newest_first(path, named, MOST, last)[::-1]
        except NcgdError as error:
            if not is_away:
                click.echo(f"ncgctl: {error}; waiting", err=True)
            is_away = True
            continue
        is_away = False
        if fresh:
            last = fresh[-1]["number"]
            yield fresh


def _newest_first(path: Path, named: str, limit: int, after: int = 0) -> list[dict[str, Any]]:
    query = {"limit": str(limit), "after": str(after), "object": named}
    entries: list[dict[str, Any]] = client.get(path, "/v1/events", query)["events"]
    return entries


def _print(entries: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        for entry in entries:
            click.echo(json.dumps(entry))
        return
    look = Look(colour=colours.are_wanted(sys.stdout), width=room(sys.stdout, 10_000))
    for entry in entries:
        click.echo("\n".join(lines(entry, look)))


def lines(entry: dict[str, Any], look: Look) -> list[str]:
    """One entry: when (the last time), of what, which, and the message wrapped beside it."""
    reason, day_and_time = printable(entry["reason"]), entry["lastTime"].replace("T", " ").removesuffix("Z")
    times = f" ({entry['count']} times since {entry['time'][11:19]})" if entry["count"] > 1 else ""
    about = short(entry["object"].rpartition(", ")[2])  # without the file and document that a finding names first
    head = f"{day_and_time}  {about:<20}  {reason:<20}  "
    first, *rest = look.wrapped(f"{head}{entry['message']}{times}", min(len(head), 46, look.width // 2))
    colour = YELLOW if entry["severity"] == "warning" else GREEN if reason in _GOOD else ""
    return [first.replace(reason, paint(reason, colour, colour=look.colour), 1), *rest]
