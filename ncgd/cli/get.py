"""``ncgctl get``."""

import json
from pathlib import Path
from typing import Any

import click
import yaml

from ncgd.cli.asking import ask
from ncgd.cli.completion import names_of_kind
from ncgd.cli.ending import EXIT_NO, stop
from ncgd.cli.table import duration, lay_out

KINDS = ("overlayvpntunnel", "overlaybgppeer", "networkconnectivitygateway")


@click.command("get")
@click.argument(
    "kind", shell_complete=lambda _context, _param, typed: [each for each in KINDS if each.startswith(typed)]
)
@click.argument("name", required=False, shell_complete=names_of_kind)
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "yaml", "json"]), default="table", show_default=True
)
@click.pass_obj
def get_objects(path: Path, kind: str, name: str | None, output: str) -> None:
    """Show objects with their status: overlayvpntunnel, overlaybgppeer or networkconnectivitygateway.

    Plurals, any case and kubectl's short names (ovt, obp, ncg) work; with NAME only that object. The status is what
    kubectl shows in a cluster, with more prefixes.

    \b
    ncgctl get overlayvpntunnels -o wide        # with the message of each
    ncgctl get overlaybgppeer peer-1 -o yaml    # each prefix with its verdict
    """
    items = ask(path, f"/v1/objects/{kind}", {"name": name} if name else None)["items"]
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
