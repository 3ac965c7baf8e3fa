"""``ncgctl install``."""

import asyncio
from pathlib import Path

import click

from ncgd import __version__
from ncgd.cli.ending import told
from ncgd.cli.kubeconfig import connected, kubeconfig_option
from ncgd.decision.preflight.cluster import GATEWAY_LABEL

_NEXT = """
ncgd {version} is installed. Next:

  printf %s "$KEY" | kubectl create secret generic ike-key -n kube-system --from-file=psk=/dev/stdin
  kubectl apply -f TUNNELS.yaml -f PEERS.yaml
  kubectl get overlayvpntunnels,overlaybgppeers,networkconnectivitygateways -n kube-system
  ncgctl verify

ncgd may read the Secrets that tunnels named when it was installed, and ike-key; for others, ncgctl install again."""


@click.command()
@kubeconfig_option
@click.option("--image", metavar="IMAGE", help="Image of the pods [default: the one that runs; else ncgd's own].")
@click.option(
    "--gateway-node",
    "nodes",
    metavar="NODE",
    multiple=True,
    help="Node that may hold the gateway; repeat for failover.",
)
@click.option(
    "--timeout", "seconds", type=float, metavar="SECONDS", default=300, show_default=True, help="For the pods to start."
)
@click.option("--downgrade", is_flag=True, help="Replace newer definitions, although that takes fields from objects.")
def install(
    *,
    kubeconfig: Path | None,
    image: str | None,
    nodes: tuple[str, ...],
    seconds: float,
    downgrade: bool,
) -> None:
    """Install ncgd in a cluster, or upgrade it: definitions, rights, DaemonSet, NetworkConnectivityGateway/default.

    Safe to repeat. Tunnels, peers, Secrets and an existing gateway are never touched, and an upgrade replaces the
    pods node by node. The gateway is handed over when its node's turn comes: where there are two candidates, pods miss
    the VPC for about half a second; where there is one, until its new pod is up.

    \b
    ncgctl install --gateway-node worker1 --gateway-node worker2
    ncgctl install --image registry.example/ncgd:0.1.0       # an upgrade
    """
    with told():
        cluster = connected(kubeconfig)
        from ncgd.cli.installation import Installation  # noqa: PLC0415 - an appliance does without these packages

        async def run() -> list[str]:
            installation = Installation(cluster, click.echo)
            try:
                await installation.install(image, nodes, seconds, may_downgrade=downgrade)
                return await installation.candidates()
            finally:
                await cluster.close()

        candidates = asyncio.run(run())
    click.echo(_NEXT.format(version=__version__))
    if not candidates:
        click.echo(f"\nNo node may hold the gateway yet: kubectl label node NODE {GATEWAY_LABEL}= (two, for failover)")
