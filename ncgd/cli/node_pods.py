"""One short-lived pod on each node, made from ncgd's own DaemonSet: same image, same rights, another command."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncgd.cli.patience import Say, if_there, patiently
from ncgd.errors import DriverError
from ncgd.sources.kubernetes.client import Cluster

Json = dict[str, Any]

PURPOSE = "ncgd.io/purpose"
"""Label of these pods: what they are for."""
CONTAINER = "ncgd"
POLL_SECONDS = 0.5
_NOT_FOR_LONG = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "args")
_TOKEN = "token"  # noqa: S105 - the name of a volume
_HOPELESS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pod ended."""

    is_done: bool
    text: str
    """What it printed; why it failed, else."""


def node_pod(daemon_set: Json, node: str, command: Sequence[str], purpose: str, without: Collection[str] = ()) -> Json:
    """The pod for one node. It has no service account: that may be gone already, and it asks the API nothing.

    ``without``: volumes that the command does not need.
    """
    without = {_TOKEN, *without}
    template = daemon_set["spec"]["template"]["spec"]
    own = next(each for each in template["containers"] if each["name"] == CONTAINER)
    container = {name: value for name, value in own.items() if name not in _NOT_FOR_LONG}
    container["command"] = list(command)
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    container["volumeMounts"] = [each for each in own.get("volumeMounts", ()) if each["name"] not in without]
    kept = ("hostNetwork", "dnsPolicy", "priorityClassName", "tolerations", "securityContext", "imagePullSecrets")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"ncgctl-{purpose}-{node}",
            "namespace": daemon_set["metadata"]["namespace"],
            "labels": {PURPOSE: purpose},
        },
        "spec": {
            **{name: template[name] for name in kept if name in template},
            "nodeName": node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            "volumes": [each for each in template.get("volumes", ()) if each["name"] not in without],
        },
    }


async def run(
    cluster: Cluster,
    daemon_set: Json,
    commands: Mapping[str, Sequence[str]],
    purpose: str,
    *,
    seconds: float,
    say: Say,
    without: Collection[str] = (),
) -> dict[str, Ended]:
    """Run a command on each node, and say by node how it ended; the pods are removed. Raises DriverError."""
    pods = f"/api/v1/namespaces/{daemon_set['metadata']['namespace']}/pods"
    ended: dict[str, Ended] = {}
    try:
        for node, command in commands.items():
            pod = node_pod(daemon_set, node, command, purpose, without)
            await _remove(cluster, f"{pods}/{pod['metadata']['name']}")
            await patiently(lambda pod=pod: cluster.create(pods, pod))  # type: ignore[misc]
        clock = asyncio.get_running_loop().time
        end, shown = clock() + seconds, -1
        while len(ended) < len(commands):
            is_over = clock() > end
            listed = await patiently(lambda: cluster.get(pods, labelSelector=f"{PURPOSE}={purpose}"))
            for pod in listed["items"]:
                node = pod["spec"]["nodeName"]
                if node in commands and node not in ended:
                    result = await _result(cluster, pods, pod, is_over=is_over)
                    ended |= {node: result} if result else {}
            if len(ended) != shown:
                shown = len(ended)
                say(f"{purpose}: {shown} of {len(commands)} nodes")
            if is_over:
                break
            await asyncio.sleep(POLL_SECONDS)
        return {node: ended.get(node, Ended(is_done=False, text="its pod has vanished")) for node in commands}
    finally:
        for node in commands:
            await _remove(cluster, f"{pods}/ncgctl-{purpose}-{node}")


async def _result(cluster: Cluster, pods: str, pod: Json, *, is_over: bool) -> Ended | None:
    status = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    phase = status.get("phase")
    if phase == "Succeeded":
        try:
            path = f"{pods}/{pod['metadata']['name']}/log"
            return Ended(is_done=True, text=await patiently(lambda: cluster.text(path)))
        except DriverError as error:
            return Ended(is_done=True, text=str(error))
    if phase == "Failed":
        messages = [(state.get("terminated") or {}).get("message") or "" for state in states]
        told = " ".join(filter(None, (status.get("reason"), status.get("message"), *messages)))
        return Ended(is_done=False, text=told.strip() or "its pod failed without a word")
    for waiting in (state.get("waiting") or {} for state in states):
        if waiting.get("reason") in _HOPELESS:
            return Ended(is_done=False, text=f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": "))
    return Ended(is_done=False, text=f"its pod is still {phase or 'not seen by a kubelet'}") if is_over else None


async def _remove(cluster: Cluster, path: str) -> None:
    await if_there(lambda: cluster.delete(path, gracePeriodSeconds="0"))
