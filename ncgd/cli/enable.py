"""``ncgctl enable``: NCG's annotation on the Cluster objects of Google's bare metal clusters, where there are some."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ncgd.cli.ending import told
from ncgd.cli.kubeconfig import connected, kubeconfig_option
from ncgd.decision.preflight.cluster import ANNOTATION, ENABLED

if TYPE_CHECKING:
    from ncgd.sources.kubernetes.client import Cluster


@click.command()
@kubeconfig_option
def enable(*, kubeconfig: Path | None) -> None:
    """Set baremetal.cluster.gke.io/enable-gng on the Cluster objects, as NCG needs it on an existing cluster.

    ncgd itself does without. Where there are no such objects nothing needs enabling, and this says so.

    \b
    ncgctl enable --kubeconfig admin.conf
    """
    with told():
        asyncio.run(_enable(connected(kubeconfig)))


async def _enable(cluster: "Cluster") -> None:
    from ncgd.cli.facts.kube import CLUSTERS  # noqa: PLC0415 - an appliance does without these packages
    from ncgd.cli.patience import if_there, patiently  # noqa: PLC0415

    try:
        listed = await if_there(lambda: cluster.get(CLUSTERS))
        items = listed["items"] if listed else []
        for item in items:
            metadata = item["metadata"]
            name, was = (
                f"{metadata['namespace']}/{metadata['name']}",
                (metadata.get("annotations") or {}).get(ANNOTATION),
            )
            if was == ENABLED:
                click.echo(f"Cluster {name} is enabled already")
                continue
            path = f"{CLUSTERS.replace('/clusters', '')}/namespaces/{metadata['namespace']}/clusters/{metadata['name']}"
            body = {"metadata": {"annotations": {ANNOTATION: ENABLED}}}
            await patiently(lambda path=path, body=body: cluster.merge(path, body))  # type: ignore[misc]
            click.echo(f"Cluster {name}: {ANNOTATION} is {ENABLED!r} now{f', it was {was!r}' if was else ''}")
        if not items:
            click.echo("Nothing needs enabling: this cluster has no baremetal.cluster.gke.io Cluster objects.")
    finally:
        await cluster.close()
