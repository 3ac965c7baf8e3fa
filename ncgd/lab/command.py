"""The command line: ``up``, ``status``, ``page``, ``exec``, ``node``, ``down``."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from ncgd.lab import cloud, cluster, gateway, install, interface, machine, processes, proof, relay, render, topology
from ncgd.lab.cluster_topology import CLUSTER, WORKERS
from ncgd.lab.failure import LabFailure
from ncgd.lab.far_end import far_end_of

READY_SECONDS = 90.0
CLUSTER_READY_SECONDS = 120.0
_OPTIONS = topology.STATE / "options.json"
_EXAMPLES = ("ha-vpn", "standalone-vm", "aws", "azure")

_DESCRIPTION = """\
A site, an internet and a cloud VPC on this machine, in network namespaces:

    pod ──── gw ──── nat ════ internet ════ cloud0 ──── vm
    pods     ncgd    1:1 NAT                ╚══ cloud1 ──┘

"gw" runs the real ncgd on the manifests of config/examples/ha-vpn: two IPsec tunnels
to a simulated HA VPN gateway, two BGP sessions with its Cloud Router (BIRD), and the
VPC's prefixes in the kernel. "up --example" takes another folder of config/examples;
for aws and azure the far end is one as their documents describe it.

"up --topology cluster" has three nodes with a pod each instead of "pod" and "gw": ncgd
runs on each of them and reads its resources from an API server; one of node1 and node2
is the gateway, and the others send their pods' packets there.

Needs root and Debian 12, 13 or Ubuntu 24.04, where the first "up" installs what is
missing; elsewhere it says what to install.
"""
_EPILOG = """\
try this:
  sudo python3 -m ncgd.lab up
  sudo python3 -m ncgd.lab exec pod -- ping 10.128.0.10          the VM, through the tunnels
  sudo python3 -m ncgd.lab exec internet -- tcpdump -nq ip       only IKE and ESP
  sudo python3 -m ncgd.lab exec gw -- ip route show proto 157    what ncgd learned and installed
  sudo python3 -m ncgd.lab exec gw -- ncgctl explain 10.128.0.0/20
  sudo python3 -m ncgd.lab exec cloud0 -- birdc -s /run/ncgd-lab/cloud0/bird.ctl show route
  sudo python3 -m ncgd.lab page                                  the status page, for your browser
  edit /run/ncgd-lab/resources/*.yaml                            live in under a second
  sudo python3 -m ncgd.lab down

in the cluster:
  sudo python3 -m ncgd.lab up --topology cluster
  sudo python3 -m ncgd.lab exec pod3 -- ping 10.128.0.10         from a node that is not the gateway
  sudo python3 -m ncgd.lab status                                who is the gateway, and why
  sudo python3 -m ncgd.lab node kill node1                       power loss: the other takes over
  sudo python3 -m ncgd.lab node start node1
  sudo python3 -m ncgd.lab node cordon node2                     hands the gateway over
  sudo python3 -m ncgd.lab node uncordon node2
  sudo python3 -m ncgd.lab exec node3 -- ncgctl status
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 when it failed, 2 for a wrong command line, or that of ``exec``."""
    options = _parser().parse_args(argv)
    try:
        if os.geteuid():
            raise LabFailure("the lab needs root: it makes network namespaces", "run it with sudo")
        return int(options.run(options))
    except LabFailure as failure:
        if failure.details:
            print(failure.details, file=sys.stderr)
        print(f"ncgd.lab: {failure}", file=sys.stderr)
        if failure.hint:
            print(f"  {failure.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nncgd.lab: interrupted; `down` removes what was made so far", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m ncgd.lab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="up|status|page|exec|node|down")
    up = commands.add_parser("up", help="install what is missing, build and start everything, prove that it works")
    up.add_argument(
        "--topology",
        choices=("site", "cluster"),
        default="site",
        help="a gateway with a pod behind it (default), or three nodes of a cluster",
    )
    up.add_argument(
        "--example",
        choices=_EXAMPLES,
        default=_EXAMPLES[0],
        help=f"manifests of config/examples that gw runs on (default {_EXAMPLES[0]}); a cluster has its own",
    )
    up.add_argument(
        "--kubeconfig",
        type=Path,
        help="with --topology cluster: a real API server instead of the lab's own, one whose controllers do not mind "
        "nodes without a kubelet",
    )
    up.add_argument(
        "--dataplane",
        choices=("auto", "kernel", "userspace"),
        default="auto",
        help="who encrypts on gw: the kernel, strongSwan in userspace, or what this machine can (default)",
    )
    up.add_argument(
        "--prefixes",
        type=_count,
        default=0,
        metavar="N",
        help=f"the Cloud Router advertises N more, out of {topology.EXTRA}",
    )
    up.set_defaults(run=_up)
    commands.add_parser("status", help="nodes, programs, and the gateway's own status").set_defaults(run=_status)
    page = commands.add_parser("page", help="show the status page to a browser on this machine, until ^C")
    page.add_argument("--port", type=int, default=relay.STATUS_PORT, help="on 127.0.0.1 (default %(default)s)")
    page.add_argument("--node", choices=("gw", *WORKERS), help="whose (default: the gateway's)")
    page.set_defaults(run=_page)
    execute = commands.add_parser("exec", help="run a command in a node: exec pod -- ping 10.128.0.10")
    execute.add_argument(
        "node", choices=tuple(topology.ALL_NODES), help="; ".join(f"{k}: {v}" for k, v in topology.ALL_NODES.items())
    )
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    execute.set_defaults(run=_exec)
    node = commands.add_parser("node", help="in the cluster: what happens to a node")
    node.add_argument("what", choices=("kill", "start", "cordon", "uncordon"))
    node.add_argument("node", choices=WORKERS)
    node.set_defaults(run=_node)
    commands.add_parser("down", help="end every process, remove every namespace, leave nothing").set_defaults(run=_down)
    return parser


def _count(text: str) -> int:
    try:
        return len(render.extra_prefixes(int(text)))
    except (ValueError, LabFailure) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class _Progress:
    """Prints lines with the seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)


def _up(options: argparse.Namespace) -> int:
    say = _Progress()
    install.ensure(say)
    example = "kubernetes" if options.topology == "cluster" else options.example
    wanted = {
        "topology": options.topology,
        "example": example,
        "dataplane": options.dataplane,
        "prefixes": options.prefixes,
    }
    if options.kubeconfig is not None and options.topology != "cluster":
        raise LabFailure("--kubeconfig is for --topology cluster")
    if topology.STATE.exists() or any(map(topology.exists, topology.ALL_NODES)):
        return _already_up(wanted, say)
    kernel = _kernel_encrypts(options.dataplane)
    shape = CLUSTER if options.topology == "cluster" else topology.SITE
    say("making network namespaces: " + " ".join(shape.nodes))
    topology.build(shape)
    gateway.copy_resources(options.dataplane, options.prefixes, gateway.EXAMPLES / example)
    interfaces = interface.interfaces(gateway.RESOURCES)
    esp = "kernel" if kernel else "userspace"
    say(f"starting the cloud: strongSwan ({esp} ESP) and BIRD, {options.prefixes} more prefixes")
    cloud.start(interfaces, far_end_of(example), kernel=kernel, prefixes=options.prefixes)
    if options.topology == "cluster":
        say("starting the API server, then ncgd on " + " ".join(WORKERS))
        cluster.start_api(options.kubeconfig)
        for worker in WORKERS:
            cluster.start_worker(worker)
    else:
        say(f"starting ncgd on {gateway.RESOURCES}")
        gateway.start()
    _OPTIONS.write_text(json.dumps(wanted))
    _prove(interfaces, options.prefixes, say)
    say("the lab is up and stays up; `python3 -m ncgd.lab --help` says what to try, `down` removes it")
    return 0


def _kernel_encrypts(dataplane: str) -> bool:
    """Whether the cloud's ESP runs in the kernel; refuses what this machine cannot do before anything is made."""
    machine.can_make_namespaces()
    kernel = machine.kernel_has_esp()
    if dataplane == "kernel" and not kernel:
        hint = "use --dataplane auto or userspace, or another kernel (every distribution's own has both)"
        raise LabFailure("this kernel has no XFRM interfaces or no ESP with AES-GCM", hint)
    if not machine.has_tun() and (dataplane == "userspace" or not kernel):
        raise LabFailure("there is no /dev/net/tun, which ESP in userspace needs", "modprobe tun")
    return kernel


def _already_up(wanted: dict[str, object], say: _Progress) -> int:
    ended = [f"{node}/{name}" for (node, name), pid in processes.recorded().items() if pid is None]
    if ended or not _OPTIONS.exists():
        why = f"{', '.join(ended)} ended" if ended else "an earlier `up` did not finish"
        raise LabFailure(f"half a lab is here: {why}", "`python3 -m ncgd.lab down` clears it away, then `up` again")
    if json.loads(_OPTIONS.read_text()) != wanted:
        raise LabFailure(f"a lab with other options is up: {_OPTIONS.read_text()}", "`down` first, then `up` again")
    say("the lab is already up; proving it again")
    _prove(interface.interfaces(gateway.RESOURCES), int(str(wanted["prefixes"])), say)
    return 0


def _is_cluster() -> bool:
    return topology.exists("lan")


def _prove(interfaces: tuple[interface.Interface, ...], prefixes: int, say: _Progress) -> None:
    if _is_cluster():
        _prove_cluster(say)
        return
    say("waiting until the gateway says Healthy")
    status = gateway.wait_ready(READY_SECONDS, prefixes)
    devices = {each["name"]: each["interface"] for each in status["tunnels"]}
    say(f"Healthy; routes installed: {status['routes']['installed']}\n")
    print(gateway.screen() + "\n")
    for each in interfaces:
        say(f"ping pod -> vm: {proof.ping_through(each, devices[each.tunnel])}")
    for line in proof.tcp_both_ways():
        say(f"TCP {line}")


def _prove_cluster(say: _Progress) -> None:
    say("waiting until one node is the gateway, and every pod reaches the VM")
    cluster.wait_ready(CLUSTER_READY_SECONDS)
    active = cluster.holder()
    say(f"{active} is the gateway\n")
    print(gateway.screen(cluster.socket_of(active)) + "\n")
    for line in cluster.prove():
        say(f"TCP {line}")


def _status(_options: argparse.Namespace) -> int:
    programs = processes.recorded()
    running = processes.in_nodes()
    nodes = CLUSTER.nodes if _is_cluster() else topology.NODES
    for node, what in nodes.items():
        if node not in running:
            print(f"{node:9} not there    {what}")
            continue
        ours = [name if pid else f"{name} (ENDED)" for (where, name), pid in programs.items() if where == node]
        print(f"{node:9} {len(running[node]):2} processes {what}{': ' if ours else ''}{', '.join(ours)}")
    if _is_cluster():
        return _cluster_status()
    if not topology.exists("gw"):
        raise LabFailure("the lab is not up", "sudo python3 -m ncgd.lab up")
    print("\n" + gateway.screen())
    return 0 if gateway.status().get("status") == "Healthy" else 1


def _cluster_status() -> int:
    active = cluster.holder()
    print("\n" + "\n".join(map(cluster.summary, WORKERS)) + "\n")
    if not active or not topology.exists(active):
        print(f"the Lease names {active or 'nobody'}")
        return 1
    print(gateway.screen(cluster.socket_of(active)))
    return 0 if cluster.status(active).get("status") == "Healthy" else 1


def _node(options: argparse.Namespace) -> int:
    if not _is_cluster():
        raise LabFailure("no cluster is up", "sudo python3 -m ncgd.lab up --topology cluster")
    match options.what:
        case "kill":
            cluster.power_off(options.node)
        case "start":
            cluster.power_on(options.node)
        case what:
            cluster.cordon(options.node, is_on=what == "cordon")
    return 0


def _page(options: argparse.Namespace) -> int:
    node = options.node or (cluster.holder() if _is_cluster() else "gw")
    if not node or not topology.exists(node):
        raise LabFailure("the lab is not up, or there is no gateway", "sudo python3 -m ncgd.lab up")
    try:
        outside = relay.listener(options.port)
    except OSError as error:
        raise LabFailure(f"cannot listen on port {options.port}: {error.strerror}", "give another --port") from error
    outside.set_inheritable(True)
    print(f"the page of {node}: http://127.0.0.1:{options.port}/ until ^C", flush=True)
    relaying = (str(install.VENV / "bin" / "python"), "-m", "ncgd.lab.relay", str(outside.fileno()))
    os.execvp("ip", topology.inside(node, *relaying))  # noqa: S606


def _exec(options: argparse.Namespace) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise LabFailure("no command", "exec pod -- ping 10.128.0.10")
    if not topology.exists(options.node):
        raise LabFailure("the lab is not up", "sudo python3 -m ncgd.lab up")
    env = {**os.environ, "PATH": gateway.PATH, "NCGD_SOCKET": str(topology.STATE / options.node / "ncgd.sock")}
    os.execvpe("ip", topology.inside(options.node, *argv), env)  # noqa: S606 - the exit status is the command's own


def _down(_options: argparse.Namespace) -> int:
    if _is_cluster():
        cluster.leave_api()
    processes.end_all()
    topology.remove()
    left = [node for node in topology.ALL_NODES if topology.exists(node)]
    if left or topology.STATE.exists():
        raise LabFailure(f"still there: {' '.join(left)} {topology.STATE if topology.STATE.exists() else ''}")
    print("the lab is down; nothing of it is left")
    return 0
