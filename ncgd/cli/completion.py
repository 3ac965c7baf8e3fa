"""``ncgctl completion``, and what there is to complete: names and prefixes, as the running ncgd has them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem, get_completion_class

from ncgd.cli import client
from ncgd.cli.ending import EXIT_USAGE, stop
from ncgd.errors import NcgdError

SHELLS = ("bash", "zsh", "fish")
MOST_PREFIXES = 200
"""So many are offered at most."""
_VARIABLE = "_NCGCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete ncgctl: commands, options, and the names of tunnels, peers and prefixes.

    \b
    bash, 4.4 or later, in ~/.bashrc:
      source <(ncgctl completion bash)
    bash, for all users, once:
      ncgctl completion bash > /etc/bash_completion.d/ncgctl
    zsh, in ~/.zshrc, after compinit:
      source <(ncgctl completion zsh)
    fish, once:
      ncgctl completion fish > ~/.config/fish/completions/ncgctl.fish
    """
    made = get_completion_class(shell)
    if made is None:
        stop(f"nothing is known of {shell}", EXIT_USAGE)
    script = made(context.find_root().command, {}, "ncgctl", _VARIABLE)
    click.echo(script.source_template % script.source_vars())


def names(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Tunnels and peers, with their state."""
    status = _asked(context, "/v1/status")
    listed = [(each["name"], f"{each['status']}: {each['message']}") for each in _of(status, "tunnels", "peers")]
    return [CompletionItem(name, help=text) for name, text in listed if name.startswith(typed)]


def names_of_kind(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """The objects of the kind that stands before."""
    items = _asked(context, f"/v1/objects/{quote(str(context.params['kind']))}").get("items", [])
    listed = [(each["metadata"]["name"], each["status"]["Status"]) for each in items]
    return [CompletionItem(name, help=text) for name, text in listed if name.startswith(typed)]


def names_and_prefixes(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The same, or received prefixes once a digit is typed."""
    if not typed[:1].isdigit():
        return names(context, parameter, typed)
    found: dict[str, str] = {}
    for peer in _asked(context, "/v1/objects/overlaybgppeer").get("items", []):
        for row in peer["status"]["received"]:
            if row["prefix"].startswith(typed):
                found.setdefault(row["prefix"], f"{row['reason']}, from {peer['metadata']['name']}")
    return [CompletionItem(prefix, help=text) for prefix, text in list(found.items())[:MOST_PREFIXES]]


def _asked(context: click.Context, resource: str) -> dict[str, Any]:
    """What ncgd answers; nothing when it does not, since nobody wants to read that while typing."""
    path = context.find_root().params.get("path")
    try:
        answer = client.get(path, resource, seconds=1.0) if isinstance(path, Path) else {}
    except NcgdError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _of(status: dict[str, Any], *parts: str) -> list[dict[str, Any]]:
    return [each for part in parts for each in status.get(part, [])]
