"""The cluster-shaped lab with a real API server instead of its own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncgd.lab import cluster
from ncgd.lab.cluster_topology import CANDIDATES
from tests.integration.netns import until
from tests.kube import control_plane
from tests.lab.conftest import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(control_plane.programs() is None, reason="there is no etcd or kube-apiserver on this machine"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab()
    lab.command("down")
    with control_plane.started(tmp_path_factory.mktemp("control-plane")) as kubeconfig:
        try:
            lab.up("--topology", "cluster", "--kubeconfig", str(kubeconfig))
            yield lab
        finally:
            assert lab.command("down").returncode == 0


def listed(path: str) -> list[str]:
    return [item["metadata"]["name"] for item in cluster.api("GET", path)["items"]]


def test_the_gateway_hands_over_and_everything_is_taken_back(real: Lab) -> None:
    first = cluster.holder()
    other = next(each for each in CANDIDATES if each != first)
    assert real.command("node", "cordon", first).returncode == 0
    until(lambda: cluster.holder() == other and cluster.reaches("pod3"), 60, "the other one is the gateway")
    until(lambda: cluster.gateway_object().get("CurrNode") == other, 60)
    prefixes = cluster.gateway_object()["export"]["prefixes"]
    assert [each["prefix"] for each in prefixes] == ["10.20.1.0/24", "10.20.2.0/23"], json.dumps(prefixes)
    assert listed("/api/v1/nodes") == ["node1", "node2", "node3"]
    cluster.leave_api()
    assert listed("/api/v1/nodes") == []
    assert listed("/apis/networking.gke.io/v1alpha1/overlayvpntunnels") == []


def test_a_real_api_server_is_for_the_cluster_only(tmp_path: Path) -> None:
    refused: subprocess.CompletedProcess[str] = Lab().command("up", "--kubeconfig", str(tmp_path))
    assert refused.returncode == 1
    assert "--topology cluster" in refused.stderr
