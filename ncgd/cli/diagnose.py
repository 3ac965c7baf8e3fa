"""``ncgctl diagnose``."""

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from ncgd.cli import checks
from ncgd.cli.asking import ask
from ncgd.cli.completion import names
from ncgd.cli.ending import EXIT_NO, EXIT_USAGE, stop
from ncgd.cli.table import printable
from ncgd.decision.preflight.verdict import Check, Verdict

SECONDS = 30.0
"""Answers that do not come are waited for."""


@click.command()
@click.argument("what", metavar="[TUNNEL|PEER]", default="", shell_complete=names)
@click.option("--from", "source", metavar="ADDRESS", default="", help="A pod, or any address on this side.")
@click.option("--to", "destination", metavar="ADDRESS", default="", help="A VM, or any address on the far side.")
@click.option("-o", "--output", type=click.Choice(["screen", "json"]), default="screen", show_default=True)
@click.pass_obj
def diagnose(path: Path, what: str, source: str, destination: str, output: str) -> None:
    """Walk the path in order, and name the first thing that is wrong, with the evidence and what to do.

    \b
    ncgctl diagnose                                     # this gateway
    ncgctl diagnose tunnel-1                            # one tunnel, or one peer
    ncgctl diagnose --from 10.10.0.10 --to 10.128.0.10  # from a pod to a VM
    ncgctl diagnose --to 10.128.0.10                    # from this node

    On the node where the pod is, or on the gateway. What cannot be known otherwise is tried: an echo request in the
    pod's name, a SYN, an IKE request that no peer accepts. Nothing is changed; it takes some seconds at most.

    Exits 1 when something is wrong.
    """
    if source and not destination:
        stop("--from needs --to: from where to where?", EXIT_USAGE)
    query = {"what": what, "from": source, "to": destination}
    answer = ask(path, "/v1/diagnose", query, seconds=SECONDS)
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(render(answer, sys.stdout))
    if any(each["verdict"] == Verdict.FAIL for each in answer["steps"]):
        raise SystemExit(EXIT_NO)


def render(answer: dict[str, Any], stream: TextIO, most: int = checks.WIDTH) -> str:
    """The steps and the first thing wrong, as they are to look there; at most so wide."""
    steps = [
        Check(
            name=each["name"],
            where=printable(each["where"]),
            verdict=Verdict(each["verdict"]),
            saw=printable(f"{each['reason']}: {each['saw']}" if each["reason"] else each["saw"]),
            todo=printable(each["todo"]),
        )
        for each in answer["steps"]
    ]
    shown = checks.render(steps, stream, most)
    if steps and steps[-1].verdict is Verdict.FAIL:
        shown += f"\nFirst thing wrong: {answer['first']['reason']}. What comes after it on the path was not looked at."
    return shown
