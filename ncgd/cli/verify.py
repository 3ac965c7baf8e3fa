"""``ncgctl verify``: collect the facts, judge them, print the checks."""

import asyncio
import json
import socket
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from ncgd.cli.asking import patience
from ncgd.cli.checks import render
from ncgd.cli.ending import EXIT_NO, told
from ncgd.cli.facts import folder, machine
from ncgd.cli.kubeconfig import connected, is_there, kubeconfig_option
from ncgd.decision.preflight.checks import all_checks
from ncgd.decision.preflight.facts import Wanted
from ncgd.decision.preflight.verdict import Check, Verdict, worst

if TYPE_CHECKING:
    from ncgd.sources.kubernetes.client import Cluster

RESOURCES = Path("/etc/ncgd/resources")


@click.command()
@kubeconfig_option
@click.option(
    "--resources",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help=f"Check this machine and a folder of manifests, not a cluster [without a cluster: {RESOURCES}].",
)
@click.option("--no-nodes", is_flag=True, help="Start no pods; nothing is known of the nodes then.")
@click.option("--image", metavar="IMAGE", help="Image that looks at the nodes [default: the DaemonSet's].")
@click.option("-o", "--output", type=click.Choice(["screen", "json"]), default="screen", show_default=True)
def verify(*, kubeconfig: Path | None, resources: Path | None, no_nodes: bool, image: str | None, output: str) -> None:
    """Check what a gateway needs, before or after it is installed, and say what to do.

    \b
    cluster    version, rights, definitions, gateway nodes, masquerade, ranges
    nodes      kernel, ESP, nft, forwarding, rp_filter, IKE's ports, peers
    resources  what ncgd would refuse, shape of keys, link-local addresses

    \b
    ncgctl verify --kubeconfig admin.conf      # a cluster, before or after
    ncgctl verify --resources ./manifests      # this machine and a folder

    Nothing is changed; on each node of a cluster a pod of ncgd's image looks for some seconds. Without a cluster this
    machine is checked. Exits 1 when a check fails; warnings alone exit 0.
    """
    with told():
        if resources is not None or not is_there(kubeconfig):
            with patience("looking at this machine, and waiting for what the peers answer"):
                checks = asyncio.run(_host(resources or RESOURCES))
        else:
            checks = asyncio.run(_cluster(connected(kubeconfig), image, looks=not no_nodes))
    verdict = worst(checks)
    if output == "json":
        click.echo(json.dumps({"verdict": verdict, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        click.echo(render(checks, sys.stdout))
    if verdict is Verdict.FAIL:
        raise SystemExit(EXIT_NO)


@click.command("node-facts", hidden=True)
@click.argument("name")
@click.argument("peers", nargs=-1)
def node_facts(*, name: str, peers: tuple[str, ...]) -> None:
    """Print what verify asks of one node, as JSON; it runs there in a pod."""
    with told():
        click.echo(msgspec.json.encode(asyncio.run(machine.read(name, peers))))


async def _host(resources: Path) -> list[Check]:
    wanted = folder.read(resources)
    return list(all_checks(None, [await machine.read(socket.gethostname(), _peers(wanted))], wanted))


async def _cluster(cluster: "Cluster", image: str | None, *, looks: bool) -> list[Check]:
    from ncgd.cli.facts import nodes  # noqa: PLC0415 - an appliance does without these packages
    from ncgd.cli.facts.kube import Facts  # noqa: PLC0415

    try:
        with patience("the API server has not answered everything yet"):
            facts, wanted = await Facts(cluster).read()
        seen = nodes.Seen()
        if looks:
            progress = partial(click.echo, err=True)
            seen = await nodes.look(cluster, facts.nodes, _peers(wanted), image=image, say=progress)
    finally:
        await cluster.close()
    return list(all_checks(facts, seen.facts, wanted, seen.unseen))


def _peers(wanted: Wanted) -> list[str]:
    return sorted(str(tunnel.remote_address) for tunnel in wanted.intent.tunnels.values())
