"""``ncgctl uninstall``."""

import asyncio
import sys
from pathlib import Path

import click

from ncgd.cli.ending import EXIT_NO, stop, told
from ncgd.cli.kubeconfig import connected, kubeconfig_option

_QUESTION = "The tunnels end, and whatever is still sent to the VPC leaves by other routes, in clear. Go on?"


@click.command()
@kubeconfig_option
@click.option("--keep-resources", is_flag=True, help="Keep definitions, tunnels, peers, gateway and node labels.")
@click.option("--image", metavar="IMAGE", help="Image that cleans the nodes [default: the DaemonSet's].")
@click.option(
    "--timeout", "seconds", type=float, metavar="SECONDS", default=120, show_default=True, help="For each step."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask (nobody is asked without a terminal).")
def uninstall(*, kubeconfig: Path | None, keep_resources: bool, image: str | None, seconds: float, yes: bool) -> None:
    """Remove ncgd from a cluster, and everything that it has made on the nodes.

    The pods end, a pod on each node removes links, routes, tables and state, then rights, leases and definitions go,
    and with the definitions all tunnels, peers and gateways. Secrets stay: they are yours. Safe to repeat.

    On the nodes kernel settings stay as they are (net.ipv4: forwarding, rp_filter, multipath hashing), and the empty
    folder /var/lib/ncgd.

    Nothing holds traffic for the VPC back any more then: what is still sent there leaves by other routes, in clear.

    \b
    ncgctl uninstall --keep-resources    # to install it again
    """
    with told():
        cluster = connected(kubeconfig)
        from ncgd.cli.removal import Removal  # noqa: PLC0415 - an appliance does without these packages

        async def run() -> None:
            removal = Removal(cluster, click.echo)
            try:
                objects = await removal.what_goes()
                if not keep_resources:
                    named = [f"{kind} {', '.join(names)}" for kind, names in objects.items() if names]
                    click.echo(f"These go, too: {'; '.join(named) or 'no objects'} (--keep-resources keeps them).")
                if not yes and sys.stdin.isatty() and not click.confirm(_QUESTION):
                    stop("nothing is changed", EXIT_NO)
                await removal.remove(image, seconds, keeps_resources=keep_resources)
            finally:
                await cluster.close()

        asyncio.run(run())
    click.echo("ncgd is gone; Secrets are still there.")
