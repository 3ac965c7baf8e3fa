"""``ncgctl``: look at a running ncgd, ask it why, and set a cluster up."""

from pathlib import Path

import click

from ncgd import __version__
from ncgd.cli.actions import Actions

_HELP = "Join a cluster, or a site, to a cloud VPC; see that it works, or why not."
_EPILOG = """\
Something is wrong? In this order:
  ncgctl status                    what works, what does not, and what to do
  ncgctl diagnose                  the first thing that is wrong on the path
  ncgctl diagnose --from POD_ADDRESS --to VM_ADDRESS
  ncgctl events                    what happened before, and what was changed
  ncgctl explain 10.128.0.0/20     why one prefix, address, tunnel or peer is so
  ncgctl support-bundle            for whoever helps you

Something new:
  ncgctl verify                    what is missing here, before you install
  ncgctl install --gateway-node worker1 --gateway-node worker2
  ncgctl --verify --kubeconfig admin.conf -o json

In a cluster, ask the pod on the node in question:
  kubectl exec -n kube-system POD -c ncgd -- ncgctl status

ncgctl COMMAND --help has examples for each. Colours are for terminals, and
never with NO_COLOR.

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
    options_metavar="[--socket PATH]",
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
