"""The cluster: an API server with what a user would have applied, ncgd on every node, and what may happen to nodes."""

import http.client
import json
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ncgd.lab import gateway, proof
from ncgd.lab.cluster_topology import (
    API_ADDRESS,
    CANDIDATES,
    CLUSTER,
    WORKERS,
    address,
    masquerade,
    pod_address,
    pod_cidr,
    pod_of,
)
from ncgd.lab.failure import LabFailure, run
from ncgd.lab.install import CHECKOUT, VENV
from ncgd.lab.processes import end_in, spawn, wait_until
from ncgd.lab.relay import STATUS_PORT
from ncgd.lab.topology import STATE, VM, build_nodes, exists, inside, namespace

Json = dict[str, Any]

API_PORT = 8001
KUBECONFIG = STATE / "kubeconfig"
NAMESPACE = "kube-system"
GATEWAY_LABEL = "networking.gke.io/ncgd-gateway"
_OBJECTS = STATE / "objects.json"
_GUEST = STATE / "kubeconfig.guest"
"""There while the API server is somebody else's."""
_GATEWAY = f"/apis/networking.gke.io/v1alpha1/namespaces/{NAMESPACE}/networkconnectivitygateways/default"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ncgd-default"
_SLICES = f"/apis/networking.gke.io/v1alpha1/namespaces/{NAMESPACE}/overlayrouteslices"
_API_SECONDS = 10.0
_AS_JSON = """
import json, pathlib, sys, yaml
texts = [path.read_text() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.y*ml"))]
print(json.dumps([item for text in texts for item in yaml.safe_load_all(text) if item], default=str))
"""


def start_api(kubeconfig: Path | None) -> None:
    """Start the API server with the manifests of the lab's folder and the nodes, or put them into another one.

    Raises LabFailure.
    """
    objects = [*_manifests(gateway.RESOURCES), *map(_node_object, WORKERS)]
    _OBJECTS.touch(mode=0o600)
    _OBJECTS.write_text(json.dumps(objects))
    KUBECONFIG.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "lab", "cluster": {"server": f"http://{API_ADDRESS}:{API_PORT}"}}],
                "users": [{"name": "lab", "user": {}}],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
                "current-context": "lab",
            }
        )
    )
    python = str(VENV / "bin" / "python")
    if kubeconfig is None:
        program = [python, "-m", "ncgd.lab.api", API_ADDRESS, str(API_PORT), str(_OBJECTS)]
    else:
        program = [python, "-m", "ncgd.lab.api_proxy", str(kubeconfig.absolute()), API_ADDRESS, str(API_PORT)]
    spawn("lan", "api", program)
    if not wait_until(_answers, _API_SECONDS):
        raise LabFailure("the API server does not answer", f"see {STATE}/lan/api.log")
    if kubeconfig is not None:
        _GUEST.touch()
        for item in [*_manifests(CHECKOUT / "config" / "crd"), *objects]:
            if not wait_until(partial(_applied, item), _API_SECONDS):
                raise LabFailure(f"cannot apply {item['kind']} {item['metadata']['name']}", f"see {STATE}/lan/api.log")


def _manifests(folder: Path) -> list[Json]:
    found: list[Json] = json.loads(run(str(VENV / "bin" / "python"), "-c", _AS_JSON, str(folder)))
    return found


def _applied(item: Json) -> bool:
    """Whether an object is now as it should be; a definition that was just made takes a moment to be served."""
    path = f"{_path_of(item)}?fieldManager=ncgd-lab&force=true"
    try:
        api("PATCH", path, {key: value for key, value in item.items() if key != "status"})
        if "status" in item:
            api("PATCH", path.replace("?", "/status?"), {key: value for key, value in item.items() if key != "spec"})
    except (OSError, LabFailure):
        return False
    return True


def _path_of(item: Json) -> str:
    """Where an object is; all of these have a regular plural."""
    version, metadata = item["apiVersion"], item["metadata"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{base}{where}/{item['kind'].lower()}s/{metadata['name']}"


def leave_api() -> None:
    """Take the lab's objects out of an API server that is not the lab's own; its definitions stay."""
    if not _GUEST.exists():
        return
    paths = [_path_of(item) for item in json.loads(_OBJECTS.read_text())]
    for path in [*paths, _LEASE, _SLICES]:
        with suppress(OSError, LabFailure):  # it may be gone, and so may the server
            api("DELETE", path)


def _answers() -> bool:
    try:
        api("GET", "/api/v1/nodes")
    except (OSError, LabFailure):
        return False
    return True


def _node_object(worker: str) -> Json:
    labels = {"kubernetes.io/hostname": worker} | ({GATEWAY_LABEL: ""} if worker in CANDIDATES else {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": worker, "labels": labels},
        "spec": {"podCIDR": pod_cidr(worker), "podCIDRs": [pod_cidr(worker)]},
        "status": {"addresses": [{"type": "InternalIP", "address": address(worker)}]},
    }


def api(method: str, path: str, body: Json | None = None) -> Json:
    """One request to the API server. Raises OSError when it does not answer, LabFailure when it refuses."""
    connection = http.client.HTTPConnection(API_ADDRESS, API_PORT)
    with proof.socket_in("lan") as connection.sock:
        connection.sock.connect((API_ADDRESS, API_PORT))
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
        answer = connection.getresponse()
        content: Json = json.loads(answer.read())
    if answer.status >= 300:
        raise LabFailure(f"{method} {path}: {answer.status} {content.get('message', '')}")
    return content


def start_worker(worker: str) -> None:
    """Start ncgd on a node, which has been made, as a pod of the DaemonSet would run there."""
    masquerade(worker)
    ncgd = [str(VENV / "bin" / "ncgd"), "--supervise", "--source", "kubernetes", "--kubeconfig", str(KUBECONFIG)]
    ncgd += ["--run-dir", str(STATE / worker), "--node", worker]
    ncgd += ["--status-address", f"127.0.0.1:{STATUS_PORT}"]
    keeper = [str(VENV / "bin" / "python"), "-m", "ncgd.lab.keeper", "--"]
    spawn(worker, "keeper", [*keeper, *ncgd], {"PATH": gateway.PATH})


def power_off(worker: str) -> None:
    """A node loses its power, with its pod: no goodbye to anybody, and nothing is left but its disk."""
    for node in (worker, pod_of(worker)):
        if not exists(node):
            raise LabFailure(f"{node} is off already", f"node start {worker} turns it on")
    # First the wire, so that nothing that ends can say so.
    run("ip", "-n", namespace("lan"), "link", "del", worker)
    end_in(worker, pod_of(worker))
    for node in (worker, pod_of(worker)):
        run("ip", "netns", "del", namespace(node))
    for path in (STATE / worker).iterdir():
        if path.name != "state" and path.suffix != ".log":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def power_on(worker: str) -> None:
    """A node starts again. Raises LabFailure."""
    if exists(worker):
        raise LabFailure(f"{worker} is on")
    build_nodes(CLUSTER, (worker, pod_of(worker)))
    start_worker(worker)


def cordon(worker: str, *, is_on: bool) -> None:
    """As ``kubectl cordon`` and ``uncordon``: a cordoned node hands the gateway over."""
    path = f"/api/v1/nodes/{worker}"
    node = api("GET", path)
    node["spec"]["unschedulable"] = is_on
    api("PUT", path, node)


def holder() -> str:
    """Name of the node that is the gateway, as the Lease says; empty while there is none."""
    try:
        return str(api("GET", _LEASE)["spec"].get("holderIdentity") or "")
    except (OSError, LabFailure):
        return ""


def gateway_object() -> Json:
    """``status`` of the NetworkConnectivityGateway."""
    found: Json = api("GET", _GATEWAY).get("status") or {}
    return found


def status(worker: str) -> Json:
    """What a node's ncgd says; empty while it does not answer."""
    return gateway.status(socket_of(worker))


def socket_of(worker: str) -> Path:
    """Where a node's ncgd answers."""
    return STATE / worker / "ncgd.sock"


def summary(worker: str) -> str:
    """A node in one line."""
    if not exists(worker):
        return f"{worker}: off"
    now = status(worker)
    if not now:
        return f"{worker}: ncgd does not answer"
    role = now["role"]
    return f"{worker}: {role['part']}, {now['status']}, {now['routes']['installed']} routes: {role['message']}"


def wait_ready(seconds: float) -> None:
    """Wait until every pod reaches the VM and back. Raises LabFailure with what the nodes say."""
    deadline = time.monotonic() + seconds
    while not _is_ready():
        if time.monotonic() > deadline:
            said = "\n".join([*map(summary, WORKERS), json.dumps(_object_or_nothing(), indent=1)])
            raise LabFailure("the cluster does not get ready", f"logs are in {STATE}/node*", said)
        time.sleep(0.2)


def _is_ready() -> bool:
    active = holder()
    if not active or status(active).get("status") != "Healthy":
        return False
    return all(reaches(pod_of(worker)) for worker in WORKERS if exists(worker))


def _object_or_nothing() -> Json:
    try:
        return gateway_object()
    except (OSError, LabFailure):
        return {}


def reaches(pod: str) -> bool:
    """Whether a pod's ping to the VM is answered."""
    try:
        run(*inside(pod, "ping", "-c", "1", "-W", "1", "-q", VM))
    except LabFailure:
        return False
    return True


def prove() -> list[str]:
    """Connections between the VM and every pod, either way, each seeing the other's own address. Raises LabFailure."""
    lines = []
    for worker in filter(exists, WORKERS):
        pod = pod_of(worker)
        lines.append(proof.tcp("vm", VM, pod, pod_address(pod)))
        lines.append(proof.tcp(pod, pod_address(pod), "vm", VM))
    return lines
