"""``ncgctl status``."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ncgd.cli import colours, screen
from ncgd.cli.asking import ask
from ncgd.cli.ending import EXIT_NO, EXIT_USAGE, stop
from ncgd.cli.table import edge, room


@click.command()
@click.option("-o", "--output", type=click.Choice(["screen", "json"]), default="screen", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Stay, and show changes as they come, with what passes per second.")
@click.pass_obj
def status(path: Path, output: str, *, watch: bool) -> None:
    """Show the gateway on one screen: tunnels, sessions, routes, problems and what to do about them.

    Exits 1 when the gateway is not Healthy (where another node is the gateway: when something is wrong here), or when
    ncgd has stalled, so scripts can ask. A narrow terminal shows fewer columns; a file and -o json have all.

    \b
    ncgctl status --watch            # live, with rates; q quits
    ncgctl status -o json | jq -r '.problems[] | .reason + " " + .object'
    until ncgctl status > /dev/null; do sleep 1; done
    """
    if watch:
        if output == "json" or not sys.stdout.isatty():
            stop("--watch is for a terminal; programs ask again: ncgctl status -o json", EXIT_USAGE)
        from ncgd.cli.watch import watch_status  # noqa: PLC0415 - not needed for a single look

        watch_status(path)
        return
    answer = ask(path, "/v1/status")
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        look = screen.Look(
            colour=colours.are_wanted(sys.stdout), width=room(sys.stdout, screen.WIDTH), table_width=edge(sys.stdout)
        )
        click.echo(screen.render(answer, look))
    if not is_well(answer):
        raise SystemExit(EXIT_NO)


def is_well(answer: dict[str, Any]) -> bool:
    """Whether there is nothing to do, as far as ncgd can tell."""
    if answer["stalledSeconds"]:
        return False
    if answer["status"] == "Standby":
        return not any(each["severity"] == "error" for each in answer["problems"])
    return bool(answer["status"] == "Healthy")
