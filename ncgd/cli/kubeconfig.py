"""Which cluster ``ncgctl`` talks to, found as kubectl finds it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ncgd.errors import UserError

if TYPE_CHECKING:
    from ncgd.sources.kubernetes.client import Cluster

F = TypeVar("F", bound=Callable[..., Any])

_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def kubeconfig_option(command: F) -> F:
    """``--kubeconfig``."""
    path = click.Path(path_type=Path, dir_okay=False)
    text = "API server and credentials (or KUBECONFIG; else ~/.kube/config)."
    return click.option("--kubeconfig", type=path, metavar="FILE", help=text)(command)


def find(given: Path | None) -> Path | None:
    """The kubeconfig to use: as given, of KUBECONFIG, of the home folder. None: there is none."""
    if given is not None:
        return given
    listed = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if listed:
        return next((path for path in listed if path.exists()), listed[0])
    usual = Path.home() / ".kube" / "config"
    return usual if usual.exists() else None


def is_there(given: Path | None) -> bool:
    """Whether any cluster is configured here."""
    return find(given) is not None or _TOKEN.exists()


def connected(given: Path | None) -> "Cluster":
    """The cluster to talk to. Raises UserError when there is none, or its configuration cannot be used."""
    path = find(given)
    if path is None and not _TOKEN.exists():
        raise UserError("no cluster is configured: give --kubeconfig FILE or set KUBECONFIG (a host: ncgd --help)")
    try:
        from ncgd.sources.kubernetes.client import connect  # noqa: PLC0415 - an appliance does without these packages
    except ImportError as error:
        raise UserError(f"clusters need more packages ({error}): pip install 'ncgd[kubernetes]'") from error
    return connect(path)
