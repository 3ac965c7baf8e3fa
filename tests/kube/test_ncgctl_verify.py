"""``ncgctl verify`` of a cluster: what it asks, and what it finds."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import msgspec

from ncgd.lab.api_objects import Json
from tests.fakes.whole_cluster import Outcome
from tests.kube.keyboard import GROUP, NODES, Site, run
from tests.unit.decision.test_preflight import NODE
from tests.unit.resources.manifests import changed, gateway, peer, secret, tunnel


def facts(name: str) -> str:
    return msgspec.json.encode(replace(NODE, name=name)).decode()


def test_verify_looks_at_cluster_and_nodes(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        asked: dict[str, list[str]] = {}

        def kubelet(pod: Json) -> Outcome:
            assert {each["name"] for each in pod["spec"]["volumes"]} == {"run"}, "nothing of the node to write to"
            asked[pod["spec"]["nodeName"]] = pod["spec"]["containers"][0]["command"]
            return Outcome(log=facts(pod["spec"]["nodeName"]))

        it.server.pod = kubelet
        await it.install("--gateway-node", "worker1")
        for manifest in (secret(), tunnel(1), peer(1)):
            it.create(manifest)
        it.get(f"{GROUP}/networkconnectivitygateways", "default")["spec"] = gateway(
            advertisedPrefixes=["10.244.0.0/16"]
        )["spec"]
        it.get(f"{GROUP}/networkconnectivitygateways", "default")["status"] = {
            "Status": "Healthy",
            "CurrNode": "worker1",
        }
        answer = await it.ncgctl("--verify", "-o", "json")
        told = json.loads(answer.stdout)
        assert ("gateway", "Healthy on worker1") in {(check["name"], check["saw"]) for check in told["checks"]}
        assert [check for check in told["checks"] if check["verdict"] != "ok"] == []
        assert {("kernel", "worker2"), ("dataplane", "worker1"), ("psk", "Secret/kube-system/ike-key")} <= {
            (check["name"], check["where"]) for check in told["checks"]
        }
        assert asked["worker1"] == ["ncgctl", "node-facts", "worker1", "198.51.100.11"]
        assert asked["worker2"] == ["ncgctl", "node-facts", "worker2"]
        assert not it.server.listed("/v1/pods"), "its pods are gone"

    run(tmp_path, scenario)


def test_verify_changes_nothing_before_an_installation(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        it.server.pod = lambda _: Outcome(phase="Pending", waiting="ErrImagePull", message="not found")
        answer = await it.ncgctl("verify")
        assert answer.exit_code == 0, answer.output
        assert "none of ncgd's kinds is known" in answer.stdout
        assert "could not be looked at: ErrImagePull: not found" in answer.stdout
        assert it.server.names() == NODES

    run(tmp_path, scenario)


def test_what_only_an_option_needs_is_no_failure(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        await it.install("--gateway-node", "worker1")
        it.server.denied = {"list services", "watch services"}
        answer = await it.ncgctl("verify", "-o", "json", "--no-nodes")
        told = {check["name"]: check["verdict"] for check in json.loads(answer.stdout)["checks"]}
        assert (answer.exit_code, told["daemon-rights"]) == (0, "warn")

    run(tmp_path, scenario)


def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        await it.install()
        key = secret(key=base64.b64encode(b"correct horse battery staple"))
        for manifest in (key, tunnel(1), changed(peer(1), "spec.vpnTunnel", "tunnel-9")):
            it.create(manifest)
        it.server.has_cluster_objects = True
        cluster = {"metadata": {"name": "one", "namespace": "cluster-one"}}
        it.server.store.create("baremetal.cluster.gke.io/v1/clusters", "cluster-one", cluster)
        it.server.denied = {"create pods", "list secrets/ike-key", "watch overlaybgppeers"}
        it.server.rollout = lambda nodes: {"desiredNumberScheduled": nodes}
        answer = await it.ncgctl("verify", "-o", "json", "--no-nodes")
        assert answer.exit_code == 1
        bad = {check["name"] for check in json.loads(answer.stdout)["checks"] if check["verdict"] != "ok"}
        assert bad >= {"rights", "key-rights", "daemon-rights", "enabled", "resources", "psk", "gateway-nodes"}
        assert "horse" not in answer.output

    run(tmp_path, scenario)
