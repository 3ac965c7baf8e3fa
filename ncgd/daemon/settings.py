"""How this process runs. Read once; changing a setting means a restart. (Resources are another thing: they are hot.)"""

import argparse
import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from ncgd import __version__
from ncgd.model.prefix import IPAddress
from ncgd.resources.v1 import DEFAULT_NAMESPACE

RUN_DIR = Path("/run/ncgd")
_STATE_DIR = Path("/var/lib/ncgd")
EPILOG = """\
ncgd reads OverlayVPNTunnel, OverlayBGPPeer, NetworkConnectivityGateway and Secret manifests from a folder, or these
objects from the Kubernetes API (--source kubernetes; it needs the extra "kubernetes"). It brings the tunnels and BGP
sessions up, and installs what it learns in the kernel. An edit is live in under a second. Look at it with
`ncgctl status`, ask it with `ncgctl explain`.

In a cluster one ncgd is active: of the nodes with the label networking.gke.io/ncgd-gateway, the one that holds
the Lease.

Killing or restarting ncgd stops no tunnel and no session: the next ncgd finds them.

exit status: 0 ended by a signal or clean, 1 not clean, 2 wrong settings, 70 a bug in ncgd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The process settings."""

    source: str
    """``files`` or ``kubernetes``."""
    resources: Path
    kubeconfig: Path | None
    """None: the service account of the pod."""
    namespace: str
    run_dir: Path
    state_dir: Path
    socket: Path
    node: str
    node_address: IPAddress | None
    """Where other nodes reach this one; None: as its Node object says."""
    gateway: str
    hands_over: bool
    """At SIGTERM another node takes over first."""
    is_supervisor: bool
    is_cleaning: bool
    """Take everything of ncgd off this machine, and end."""
    vici_socket: Path
    bridge_socket: Path
    exabgp_config: Path
    sysctl_root: Path
    status_address: tuple[IPAddress, int] | None
    """Where the status page and the metrics are served: address and port."""
    log_format: str
    log_level: str


def bridge_socket(run_dir: Path) -> Path:
    """Where the bridge of ExaBGP listens for ncgd."""
    return run_dir / "exabgp.sock"


def exabgp_config(run_dir: Path) -> Path:
    """ExaBGP's configuration, which ncgd writes."""
    return run_dir / "exabgp.conf"


def parse(argv: list[str] | None = None) -> Settings:
    """Settings from the command line; ends the process with status 2 and a usage text when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="ncgd",
        description="Network Connectivity Gateway: IPsec tunnels and BGP between this site and a cloud VPC.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--resources", type=Path, default=Path("/etc/ncgd/resources"), help="folder of manifests (default %(default)s)"
    )
    parser.add_argument(
        "--source",
        choices=("files", "kubernetes"),
        default="files",
        help="where resources are read, and their status goes (default %(default)s)",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="API server and credentials (default: the service account of this pod)"
    )
    parser.add_argument(
        "--namespace",
        default=DEFAULT_NAMESPACE,
        help="the only one read, with --source kubernetes (default %(default)s)",
    )
    parser.add_argument(
        "--run-dir",
        type=Path,
        default=RUN_DIR,
        help="sockets, logs and process records (default %(default)s)",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        help=f"what must survive a reboot (default {_STATE_DIR}; with another --run-dir, RUN_DIR/state)",
    )
    parser.add_argument("--socket", type=Path, help="where ncgctl finds us (default RUN_DIR/ncgd.sock)")
    parser.add_argument(
        "--node",
        default=os.environ.get("NODE_NAME") or socket.gethostname(),
        help="name of this node in the cluster, shown as CurrNode (default: NODE_NAME, or the host's name)",
    )
    parser.add_argument(
        "--node-address",
        type=ip_address,
        default=os.environ.get("NODE_IP") or None,
        help="where other nodes reach this one (default: NODE_IP, or the InternalIP of its Node object)",
    )
    parser.add_argument(
        "--gateway",
        default="default",
        help="NetworkConnectivityGateway whose Lease, ncgd-GATEWAY, says which node is active, with --source "
        "kubernetes (default %(default)s)",
    )
    parser.add_argument(
        "--hand-over",
        action="store_true",
        help="at SIGTERM first have another node take over, if one can: for a pod that ends with its charon",
    )
    parser.add_argument(
        "--supervise", action="store_true", help="start charon and exabgp ourselves, and again whenever they die"
    )
    parser.add_argument(
        "--vici-socket",
        type=Path,
        default=Path("/run/charon.vici"),
        help="charon's VICI socket, without --supervise (default %(default)s)",
    )
    parser.add_argument(
        "--sysctl-root",
        type=Path,
        default=Path("/proc/sys"),
        help="where kernel settings are written; a container has this one read-only (default %(default)s)",
    )
    parser.add_argument(
        "--status-address",
        type=_address_and_port,
        metavar="ADDRESS:PORT",
        help="serve the status page and /metrics there, read-only, to whoever reaches it (default: nowhere)",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument(
        "--clean",
        action="store_true",
        help="end what ncgd has started, take its links, routes, tables and state off this machine, and end",
    )
    parser.add_argument("--version", action="version", version=f"ncgd {__version__}")
    given = parser.parse_args(argv)
    run_dir: Path = given.run_dir.absolute()
    return Settings(
        source=given.source,
        resources=given.resources,
        kubeconfig=given.kubeconfig,
        namespace=given.namespace,
        run_dir=run_dir,
        state_dir=(given.state_dir or (_STATE_DIR if run_dir == RUN_DIR else run_dir / "state")).absolute(),
        socket=given.socket or run_dir / "ncgd.sock",
        node=given.node,
        node_address=given.node_address,
        gateway=given.gateway,
        hands_over=given.hand_over,
        is_supervisor=given.supervise,
        is_cleaning=given.clean,
        vici_socket=given.vici_socket,
        bridge_socket=bridge_socket(run_dir),
        exabgp_config=exabgp_config(run_dir),
        sysctl_root=given.sysctl_root,
        status_address=given.status_address,
        log_format=given.log_format,
        log_level=given.log_level,
    )


def _address_and_port(text: str) -> tuple[IPAddress, int]:
    """``127.0.0.1:9179`` or ``[::1]:9179``."""
    address, _, port = text.rpartition(":")
    is_bracketed = address.startswith("[") and address.endswith("]")
    try:
        parsed = ip_address(address[1:-1] if is_bracketed else address)
    except ValueError:
        parsed = None
    if parsed is None or is_bracketed != (parsed.version == 6) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, as 127.0.0.1:9179 or [::1]:9179")
    return parsed, int(port)
