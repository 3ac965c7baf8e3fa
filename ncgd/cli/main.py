"""``ncgctl``: look at a running ncgd and ask it why."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from ncgd import __version__
from ncgd.cli import client, screen
from ncgd.cli.actions import Actions
from ncgd.cli.enable import enable
from ncgd.cli.ending import EXIT_NO, stop, told
from ncgd.cli.install import install
from ncgd.cli.table import duration, lay_out
from ncgd.cli.uninstall import uninstall
from ncgd.cli.verify import node_facts, verify
from ncgd.errors import Rejected

_HELP = "Join a cluster, or a site, to a cloud VPC; see that it works, or why not."
_EPILOG = """\
Examples:
  ncgctl install --gateway-node worker1 --gateway-node worker2
  ncgctl --verify --kubeconfig admin.conf -o json
  ncgctl get overlaybgppeer -o yaml
  ncgctl explain 10.128.0.0/20
  ncgctl explain tunnel-1
  kubectl exec -n kube-system POD -c ncgd -- ncgctl status   # in a cluster

Exit status:
  0  fine, or nothing worse than a warning
  1  the answer is no, a check fails, or the gateway is not Healthy
  2  wrong usage, or a configuration that cannot be used
  3  nobody answers: no ncgd, or no API server
"""


@click.group(
    cls=Actions,
    help=_HELP,
    epilog=_EPILOG,
    options_metavar="",
    subcommand_metavar="COMMAND [OPTIONS]",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="ncgctl")
@click.option(
    "--socket",
    "path",
    envvar="NCGD_SOCKET",
    default="/run/ncgd/ncgd.sock",
    show_default=True,
    type=click.Path(path_type=Path),
    help="API of the ncgd on this host (or NCGD_SOCKET).",
)
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """Entry point; ``_HELP`` is what the user reads."""
    context.obj = path


@main.command(short_help="One screen: tunnels, sessions, routes, problems.")
@click.option("-o", "--output", type=click.Choice(["screen", "json"]), default="screen", show_default=True)
@click.pass_obj
def status(path: Path, output: str) -> None:
    """Show the gateway on one screen: tunnels, sessions, routes, problems and what to do about them.

    Exits 1 when the gateway is not Healthy (where another node is the gateway: when something is wrong here), so
    scripts can ask.
    """
    answer = _get(path, "/v1/status")
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(screen.render(answer, colour=sys.stdout.isatty()))
    is_well = answer["status"] == "Standby" and not any(each["severity"] == "error" for each in answer["problems"])
    if answer["status"] != "Healthy" and not is_well:
        raise SystemExit(EXIT_NO)


@main.command("get", short_help="Objects with their status, as kubectl shows them.")
@click.argument("kind")
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "yaml", "json"]), default="table", show_default=True
)
@click.pass_obj
def get_objects(path: Path, kind: str, name: str | None, output: str) -> None:
    """Show objects with their status: overlayvpntunnel, overlaybgppeer or networkconnectivitygateway.

    Plurals and any case work; with NAME only that object.
    """
    items = _get(path, f"/v1/objects/{kind}", **({"name": name} if name else {}))["items"]
    if name and not items:
        stop(f"there is no {kind} {name!r} in force; ncgctl status shows refused ones", EXIT_NO)
    whole = items[0] if name else {"apiVersion": "v1", "kind": "List", "items": items}
    if output == "json":
        click.echo(json.dumps(whole, indent=2))
    elif output == "yaml":
        click.echo(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), nl=False)
    else:
        header, rows = _rows(items, is_wide=output == "wide")
        click.echo("\n".join(lay_out(header, rows)))


@main.command(short_help="Why a prefix, a tunnel or a peer is as it is.")
@click.argument("what", metavar="PREFIX|ADDRESS|TUNNEL|PEER")
@click.pass_obj
def explain(path: Path, what: str) -> None:
    """Say why a prefix is routed (or refused) as it is, or why a tunnel or a peer is up or down."""
    click.echo("\n".join(_get(path, "/v1/explain", what=what)["lines"]))


def _rows(items: list[dict[str, Any]], *, is_wide: bool) -> tuple[list[str], list[list[object]]]:
    kind = items[0]["kind"] if items else ""
    header = ["NAMESPACE", "NAME", "STATUS"]
    extra: dict[str, list[tuple[str, Any]]] = {
        "OverlayVPNTunnel": [
            ("PEER", lambda o: (o["spec"] or {}).get("peer", {}).get("publicIP", "")),
            ("INTERFACE", lambda o: o["status"]["interface"]),
            ("REASON", lambda o: o["status"]["conditions"][0]["reason"]),
        ],
        "OverlayBGPPeer": [
            ("PEER", lambda o: (o["spec"] or {}).get("peerIP", "")),
            ("TUNNEL", lambda o: (o["spec"] or {}).get("vpnTunnel", "")),
            ("RECEIVED", lambda o: o["status"]["receivedCount"]),
            ("UP", lambda o: duration(o["status"]["uptimeSeconds"])),
        ],
        "NetworkConnectivityGateway": [
            ("NODE", lambda o: o["status"]["CurrNode"]),
            ("LASTREPORT", lambda o: o["status"]["LastReportTime"]),
        ],
    }
    columns = extra.get(kind, [])
    if is_wide:
        columns = [*columns, ("MESSAGE", lambda o: o["status"]["conditions"][0]["message"])]
    rows = [
        [
            item["metadata"]["namespace"],
            item["metadata"]["name"],
            item["status"]["Status"],
            *(f(item) for _, f in columns),
        ]
        for item in items
    ]
    return header + [title for title, _ in columns], rows


def _get(path: Path, resource: str, **query: str) -> Any:
    with told():
        try:
            return client.get(path, resource, **query)
        except Rejected as error:
            stop(str(error), EXIT_NO)


for command in (install, verify, enable, uninstall, node_facts):
    main.add_command(command)
