"""The manifests that travel in the package, as an installation takes them."""

import tomllib
from pathlib import Path

import pytest

from ncgd.cli.manifests import FOLDER, manifests, path_of, rights, with_image, with_keys
from ncgd.cli.node_pods import node_pod

ROOT = Path(__file__).parents[3]


def test_a_wheel_has_every_manifest_that_an_installation_reads() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ncgd"]
    packed = {path.relative_to(FOLDER.parent) for pattern in patterns for path in FOLDER.parent.glob(pattern)}
    folders = ("crd", "crd-cel", "rbac", "daemonset", "userspace")
    needed = {path.relative_to(FOLDER.parent) for name in folders for path in (FOLDER / name).glob("*.yaml")}
    assert {*needed, Path("config/kustomization.yaml")} <= packed
    assert FOLDER.resolve() == ROOT / "config", "there is one copy in the repository"


@pytest.mark.parametrize("minor", [20, 30])
def test_everything_is_in_ncg_s_own_namespace(minor: int) -> None:
    for item in manifests(minor):
        assert item["metadata"].get("namespace", "kube-system") == "kube-system"
        assert all(subject["namespace"] == "kube-system" for subject in item.get("subjects", ()))
        assert path_of(item).count("//") == 0
    kinds = [item["kind"] for item in manifests(minor)]
    assert kinds.index("CustomResourceDefinition") == 0
    assert kinds[-1] == "DaemonSet"


def test_keys_are_added_and_rights_are_told_one_by_one() -> None:
    items = manifests(30)
    (role,) = (item for item in items if (item["kind"], item["metadata"]["name"]) == ("Role", "ncgd-keys"))
    assert with_keys(role, ["b", "ike-key"])["rules"][0]["resourceNames"] == ["b", "ike-key"]
    told = list(rights(items))
    status = {"group": "networking.gke.io", "resource": "overlaybgppeers", "subresource": "status"}
    assert {"verb": "patch", **status, "namespace": "kube-system"} in told
    assert {"verb": "watch", "resource": "secrets", "namespace": "kube-system", "name": "b"} in told
    assert {"verb": "watch", "resource": "nodes"} in told


def test_a_pod_for_one_node_is_the_daemon_s_without_its_probes_token_and_account() -> None:
    (daemon_set,) = (item for item in manifests(30) if item["kind"] == "DaemonSet")
    pod = node_pod(with_image(daemon_set, "registry.example/ncgd:7"), "worker1", ["ncgd", "--clean"], "clean")
    (container,) = pod["spec"]["containers"]
    assert (container["image"], container["command"]) == ("registry.example/ncgd:7", ["ncgd", "--clean"])
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert not {"args", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"} & set(container)
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["spec"]["volumes"]} >= {"state", "sysctls"}
    assert "token" not in mounted
    assert pod["spec"]["nodeName"] == "worker1"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert {"operator": "Exists"} in pod["spec"]["tolerations"]
