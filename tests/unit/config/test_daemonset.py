"""config/: the pod fits the code, holds no right too many, and one apply brings all of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd import __version__
from ncgd.daemon import settings
from ncgd.drivers.strongswan.charon import socket_path

Json = dict[str, Any]
CONFIG = Path(__file__).parents[3] / "config"
DAEMONSET: Json = yaml.safe_load((CONFIG / "daemonset" / "daemonset.yaml").read_text())
POD: Json = DAEMONSET["spec"]["template"]["spec"]
CONTAINERS: dict[str, Json] = {each["name"]: each for each in POD["containers"]}
GIVEN = settings.parse([argument.replace("$(NODE_NAME)", "node-1") for argument in CONTAINERS["ncgd"]["args"]])


def commands(container: Json) -> list[list[str]]:
    """What the kubelet runs in a container besides its program."""
    hooks = [container.get(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    hooks.append(container.get("lifecycle", {}).get("preStop"))
    return [hook["exec"]["command"] for hook in hooks if hook]


def mounts(container: Json) -> dict[str, str]:
    return {each["name"]: each["mountPath"] for each in container["volumeMounts"]}


def test_one_apply_brings_every_manifest() -> None:
    listed = yaml.safe_load((CONFIG / "kustomization.yaml").read_text())["resources"]
    folders = ("crd", "rbac", "daemonset")
    assert sorted(listed) == sorted(
        str(path.relative_to(CONFIG)) for folder in folders for path in (CONFIG / folder).glob("*.yaml")
    )


def test_all_containers_are_one_image_of_this_version() -> None:
    assert {each["image"] for each in CONTAINERS.values()} == {f"ncgd:{__version__}"}


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [("ncgd", {"NET_ADMIN", "NET_RAW"}), ("charon", {"NET_ADMIN", "NET_BIND_SERVICE"}), ("exabgp", set())],
)
def test_no_container_has_rights_that_are_not_proven_necessary(name: str, capabilities: set[str]) -> None:
    context = CONTAINERS[name]["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(context["capabilities"].get("add", ())) == capabilities
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert not context.get("privileged")
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_only_ncgd_has_a_token_the_state_and_the_kernel_s_settings() -> None:
    assert POD["automountServiceAccountToken"] is False
    assert set(mounts(CONTAINERS["ncgd"])) == {"run", "state", "sysctls", "token"}
    assert mounts(CONTAINERS["charon"]) == mounts(CONTAINERS["exabgp"]) == {"run": "/run"}


def test_the_three_find_one_another_in_the_shared_run() -> None:
    shared = Path("/run")
    assert socket_path(shared) == GIVEN.vici_socket
    for path in (GIVEN.run_dir, GIVEN.bridge_socket, GIVEN.exabgp_config):
        assert path.is_relative_to(shared)
    (ready,) = [command for command in commands(CONTAINERS["charon"]) if command[0] == "test"]
    assert ready[-1] == str(GIVEN.vici_socket)
    (ready,) = [command for command in commands(CONTAINERS["exabgp"]) if command[0] == "test"]
    assert ready[-1] == str(GIVEN.bridge_socket)


def test_what_is_to_outlive_the_pod_lies_on_the_node() -> None:
    volumes = {each["name"]: each for each in POD["volumes"]}
    assert mounts(CONTAINERS["ncgd"])["state"] == str(GIVEN.state_dir)
    assert volumes["state"]["hostPath"]["path"] == str(GIVEN.state_dir)
    assert Path(mounts(CONTAINERS["ncgd"])["sysctls"]) == GIVEN.sysctl_root / "net"


def test_the_patch_for_userspace_keeps_every_argument() -> None:
    patch = yaml.safe_load((CONFIG / "userspace" / "patch.yaml").read_text())["spec"]["template"]["spec"]
    (ncgd,) = [each for each in patch["containers"] if each["name"] == "ncgd" and "args" in each]
    assert set(ncgd["args"]) == {*CONTAINERS["ncgd"]["args"], "--supervise"}, "a patch replaces the whole list"


def test_nothing_that_befalls_ncgd_restarts_charon_or_exabgp() -> None:
    for name in ("charon", "exabgp"):
        assert "livenessProbe" not in CONTAINERS[name]
        assert "startupProbe" not in CONTAINERS[name]
        assert not any("healthz" in word for command in commands(CONTAINERS[name]) for word in command)
    asked = {command[-2] for command in commands(CONTAINERS["ncgd"]) if command[0] == "curl"}
    assert asked == {str(GIVEN.socket)}


def test_charon_and_exabgp_wait_for_ncgd_before_they_end() -> None:
    for name in ("charon", "exabgp"):
        flock, _, seconds, lock, _ = CONTAINERS[name]["lifecycle"]["preStop"]["exec"]["command"]
        assert (flock, lock) == ("flock", str(GIVEN.run_dir / "ncgd.lock"))
        assert int(seconds) < POD["terminationGracePeriodSeconds"]


def test_the_pod_runs_as_the_service_account_that_has_the_rights() -> None:
    documents = [each for path in (CONFIG / "rbac").glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    named = [each["metadata"] for each in documents if each["kind"] == "ServiceAccount"]
    accounts = {(each["name"], each["namespace"]) for each in named}
    subjects = {(each["name"], each["namespace"]) for item in documents for each in item.get("subjects", ())}
    assert accounts == subjects == {(POD["serviceAccountName"], DAEMONSET["metadata"]["namespace"])}
    assert GIVEN.namespace == DAEMONSET["metadata"]["namespace"]
    assert GIVEN.node == "node-1"
    assert GIVEN.source == "kubernetes"
