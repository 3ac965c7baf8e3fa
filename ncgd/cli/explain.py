"""``ncgctl explain``."""

from pathlib import Path

import click

from ncgd.cli.asking import ask
from ncgd.cli.completion import names_and_prefixes
from ncgd.cli.table import printable


@click.command()
@click.argument("what", metavar="PREFIX|ADDRESS|TUNNEL|PEER", shell_complete=names_and_prefixes)
@click.pass_obj
def explain(path: Path, what: str) -> None:
    """Say why a prefix is routed (or refused) as it is, or why a tunnel or a peer is up or down.

    \b
    ncgctl explain 10.128.0.7      # which way an address goes, and why
    ncgctl explain 10.128.0.0/20   # who brings a prefix, or why it is refused
    ncgctl explain tunnel-1        # what a tunnel is waiting for
    ncgctl explain peer-1          # what a session receives and advertises
    """
    click.echo("\n".join(printable(line) for line in ask(path, "/v1/explain", {"what": what})["lines"]))
