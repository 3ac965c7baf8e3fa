"""``ncgctl install``, ``uninstall`` and ``enable``: what they do, and all that can be in the way."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ncgd.cli.main import main
from ncgd.cli.manifests import with_userspace
from ncgd.lab.api_objects import Json, Refused
from ncgd.lab.api_server import Request
from ncgd.resources import crd
from tests.fakes.whole_cluster import Outcome
from tests.kube.cluster import REAL, Place, real
from tests.kube.control_plane import given
from tests.kube.keyboard import DAEMON_SET, GROUP, LABEL, NODES, Site, run
from tests.unit.decision.test_preflight import newer
from tests.unit.resources.manifests import changed, peer, secret, tunnel


def test_install_makes_everything_and_says_what_comes_next(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        answer = await it.install("--gateway-node", "worker1", "--image", "registry.example/ncgd:7")
        assert "ready on 2 of 2 nodes" in answer.stdout
        assert "kubectl create secret generic ike-key" in answer.stdout
        assert "No node may hold the gateway" not in answer.stdout
        assert set(it.server.definitions) == set(crd.DEFINED)
        assert {"daemonsets/ncgd", "serviceaccounts/ncgd", "networkconnectivitygateways/default"} <= it.server.names()
        template = it.get(DAEMON_SET, "ncgd")["spec"]["template"]["spec"]
        assert {each["image"] for each in template["containers"]} == {"registry.example/ncgd:7"}
        assert it.get("/v1/nodes", "worker1", "")["metadata"]["labels"] == {LABEL: ""}

    run(tmp_path, scenario)


def test_installing_again_changes_nothing_and_takes_nothing_from_the_user(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        answer = await it.install()
        assert "No node may hold the gateway yet" in answer.stdout
        it.create(tunnel(1))
        it.create(changed(changed(tunnel(2), "spec.ikeKey.name", "other-key"), "metadata.name", "two"))
        kept = it.get(f"{GROUP}/networkconnectivitygateways", "default")
        kept["spec"] = {"advertisedPrefixes": ["10.10.0.0/24"]}
        await it.install()
        assert it.keys() == ["ike-key", "other-key"], "the keys that tunnels name"
        assert kept["spec"] == {"advertisedPrefixes": ["10.10.0.0/24"]}
        role = it.get("rbac.authorization.k8s.io/v1/roles", "ncgd-keys")
        role["rules"][0]["resourceNames"].append("by-hand")
        await it.install()
        assert it.keys() == ["by-hand", "ike-key", "other-key"]
        before = it.server.store.version
        await it.install()
        assert it.server.store.version == before

    run(tmp_path, scenario)


def test_an_upgrade_keeps_the_image_that_works(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        def images() -> set[str]:
            containers = it.get(DAEMON_SET, "ncgd")["spec"]["template"]["spec"]["containers"]
            return {each["image"] for each in containers}

        await it.install("--image", "registry.example:5000/ncgd:7")
        answer = await it.install()
        assert images() == {"registry.example:5000/ncgd:7"}
        assert "image registry.example:5000/ncgd:7, as before" in answer.stdout
        await it.install("--image", "ncgd:0.0.1")
        assert "image ncgd:0.1.0" in (await it.install()).stdout
        assert images() == {"ncgd:0.1.0"}, "the default of an older version follows this one's"

    run(tmp_path, scenario)


def test_an_upgrade_keeps_esp_in_userspace(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        await it.install()
        patched = with_userspace(it.get(DAEMON_SET, "ncgd"))["spec"]
        it.get(DAEMON_SET, "ncgd")["spec"] = patched
        answer = await it.install("--image", "registry.example/ncgd:7")
        assert "userspace" in answer.stdout
        pod = it.get(DAEMON_SET, "ncgd")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert (container["image"], "--supervise" in container["args"]) == ("registry.example/ncgd:7", True)
        assert "SYS_ADMIN" in container["securityContext"]["capabilities"]["add"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {"tun", "run", "state"} <= {each["name"] for each in container["volumeMounts"]}
        assert {"tun", "run", "state"} <= {each["name"] for each in pod["volumes"]}

    run(tmp_path, scenario)


@pytest.mark.parametrize(("minor", "has_rules"), [("24+", False), ("25", True)])
def test_definitions_have_cel_rules_where_the_server_has_them(tmp_path: Path, minor: str, *, has_rules: bool) -> None:
    async def scenario(it: Site) -> None:
        await it.install()
        found = json.dumps(it.server.definitions["OverlayVPNTunnel"])
        assert ("x-kubernetes-validations" in found) is has_rules

    run(tmp_path, scenario, minor=minor)


def test_newer_definitions_are_not_replaced_unless_told_so(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        it.server.definitions["OverlayVPNTunnel"] = newer("OverlayVPNTunnel")
        answer = await it.ncgctl("install")
        assert (answer.exit_code, "fieldOfTheFuture" in answer.stderr) == (2, True)
        assert it.server.names() == {*NODES, "customresourcedefinitions/OverlayVPNTunnel"}, "nothing was touched"
        await it.install("--downgrade")
        assert "fieldOfTheFuture" not in json.dumps(it.server.definitions)

    run(tmp_path, scenario)


def google_s_daemon_set() -> Json:
    labels = {"k8s-app": "ncgd"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "it", "image": "gcr.io/it:1"}]}},
    }
    return {"kind": "DaemonSet", "metadata": {"name": "ncgd", "namespace": "kube-system"}, "spec": spec}


@pytest.mark.parametrize("arguments", [("install",), ("uninstall",), ("uninstall", "--keep-resources")])
def test_a_daemon_set_of_google_s_is_left_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    async def scenario(it: Site) -> None:
        it.server.store.create(DAEMON_SET, "kube-system", google_s_daemon_set())
        answer = await it.ncgctl(*arguments)
        assert (answer.exit_code, "DaemonSet ncgd is not ncgd's" in answer.stderr) == (2, True), answer.output
        assert it.server.names() == {*NODES, "daemonsets/ncgd"}
        assert it.get(DAEMON_SET, "ncgd")["spec"] == google_s_daemon_set()["spec"]
        verified = json.loads((await it.ncgctl("verify", "-o", "json")).stdout)
        assert ("daemon", "fail") in {(check["name"], check["verdict"]) for check in verified["checks"]}

    run(tmp_path, scenario)


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_definitions_of_google_s_are_left_alone(tmp_path: Path, action: str) -> None:
    async def scenario(it: Site) -> None:
        theirs = changed(crd.definition("OverlayBGPPeer"), "spec.names.categories", [])
        it.server.definitions["OverlayBGPPeer"] = theirs
        answer = await it.ncgctl(action)
        assert answer.exit_code == 2, answer.output
        assert "overlaybgppeers.networking.gke.io is not ncgd's" in answer.stderr
        assert it.server.names() == {*NODES, "customresourcedefinitions/OverlayBGPPeer"}
        verified = json.loads((await it.ncgctl("verify", "-o", "json", "--no-nodes")).stdout)
        assert ("definitions", "OverlayBGPPeer", "fail") in {
            (check["name"], check["where"], check["verdict"]) for check in verified["checks"]
        }

    run(tmp_path, scenario)


def test_a_rollout_that_gets_stuck_says_where_and_why(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        it.server.rollout = lambda nodes: {"desiredNumberScheduled": nodes, "updatedNumberScheduled": 1}
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        pod = it.create(
            {
                "kind": "Pod",
                "metadata": {
                    "name": "ncgd-x",
                    "namespace": "kube-system",
                    "labels": {"app.kubernetes.io/name": "ncgd"},
                },
                "spec": {"nodeName": "worker2"},
            }
        )
        pod["status"] = {"containerStatuses": [{"name": "charon", "state": waiting}]}
        answer = await it.ncgctl("install", "--timeout", "0")
        assert answer.exit_code == 1
        assert "0 of 2 nodes; charon on worker2: ImagePullBackOff no such image" in answer.stderr

    run(tmp_path, scenario)


def test_a_node_that_is_away_does_not_hold_up_an_installation(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        it.server.add_node("worker3", is_ready=False)
        it.server.rollout = lambda nodes: {
            "desiredNumberScheduled": nodes,
            "updatedNumberScheduled": nodes,
            "numberAvailable": 2,
        }
        answer = await it.install()
        assert "ready on 2 of 3 nodes; worker3 will follow once ready" in answer.stdout

    run(tmp_path, scenario)


def test_refusals_are_told_with_what_to_do(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        for code, reason, words in ((403, "Forbidden", "kubeconfig that may"), (401, "Unauthorized", "not accepted")):

            def refuse(request: Request, code: int = code, reason: str = reason) -> Refused | None:
                return Refused(code, reason, reason.lower()) if "rbac" in request.path else None

            it.server.faults.refuse = refuse
            answer = await it.ncgctl("install")
            assert (answer.exit_code, words in answer.stderr) == (1, True), answer.output

    run(tmp_path, scenario)


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        trouble = [Refused(429, "TooManyRequests", "later"), Refused(500, "Internal", "etcd"), Refused(409, "C", "c")]
        it.server.faults.refuse = lambda request: trouble.pop() if trouble and request.method == "PATCH" else None
        await it.install()
        assert not trouble

    run(tmp_path, scenario)


def test_uninstall_leaves_nothing_but_secrets(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        cleaned: list[tuple[str, bool, bool]] = []

        def kubelet(pod: Json) -> Outcome:
            assert pod["spec"]["containers"][0]["command"] == ["ncgd", "--clean"]
            assert pod["spec"]["hostNetwork"]
            assert "serviceAccountName" not in pod["spec"]
            names = it.server.names()
            cleaned.append((pod["spec"]["nodeName"], "daemonsets/ncgd" in names, "roles/ncgd" in names))
            return Outcome(log="removed 2 routes and 3 nexthops\nnothing of ncgd is left here\n")

        await it.install("--gateway-node", "worker1")
        for manifest in (secret(), tunnel(1), peer(1)):
            it.create(manifest)
        lease = {"metadata": {"name": "ncgd-default", "namespace": "kube-system"}}
        it.server.store.create("coordination.k8s.io/v1/leases", "kube-system", lease)
        it.server.pod = kubelet
        it.create(changed(tunnel(2), "metadata.namespace", "somebody-else-s"))
        answer = await it.ncgctl("--uninstall")
        assert answer.exit_code == 0, answer.output
        assert "OverlayVPNTunnel tunnel-1, somebody-else-s/tunnel-2" in answer.stdout
        assert "worker2: 2 routes and 3 nexthops" in answer.stdout
        assert cleaned == [("worker1", False, True), ("worker2", False, True)], "after the daemons, before the rights"
        assert it.server.names() == {*NODES, "secrets/ike-key"}
        assert it.get("/v1/nodes", "worker1", "")["metadata"]["labels"] == {}
        assert (await it.ncgctl("--uninstall")).exit_code == 0, "safe to repeat"

    run(tmp_path, scenario)


def test_uninstall_takes_its_entries_out_of_ip_masq_agent_s_configuration(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        await it.install()
        text = "nonMasqueradeCIDRs:\n- 10.0.0.0/8 # the user's\n- 10.128.0.0/20\nresyncInterval: 30s\n"
        annotations = {"ncgd.io/non-masquerade-cidrs": '["10.128.0.0/20"]'}
        metadata = {"name": "ip-masq-agent", "namespace": "kube-system", "annotations": annotations}
        it.create({"kind": "ConfigMap", "metadata": metadata, "data": {"config": text}})
        conflicts = [Refused(409, "Conflict", "the object has been modified")]
        it.server.faults.refuse = lambda request: (
            conflicts.pop() if conflicts and "configmaps" in request.path and request.method == "PATCH" else None
        )
        assert (await it.ncgctl("uninstall")).exit_code == 0
        kept = it.get("/v1/configmaps", "ip-masq-agent")
        assert kept["data"]["config"] == text.replace("- 10.128.0.0/20\n", "")
        assert kept["metadata"]["annotations"] == {}
        assert not conflicts

    run(tmp_path, scenario)


def test_uninstall_keeps_resources_when_asked_to(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        await it.install("--gateway-node", "worker1")
        it.create(tunnel(1))
        answer = await it.ncgctl("uninstall", "--keep-resources", "--yes")
        assert answer.exit_code == 0, answer.output
        kept = {"networkconnectivitygateways/default", "overlayvpntunnels/tunnel-1"}
        assert it.server.names() == {*NODES, *kept, *(f"customresourcedefinitions/{kind}" for kind in crd.DEFINED)}
        assert it.get("/v1/nodes", "worker1", "")["metadata"]["labels"] == {LABEL: ""}

    run(tmp_path, scenario)


def test_nodes_that_cannot_be_cleaned_are_named_and_cleaned_the_next_time(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        it.server.add_node("worker2", is_ready=False)
        it.server.add_node("windows", is_ready=False, labels={"kubernetes.io/os": "windows"})
        await it.install("--image", "registry.example/ncgd:7")
        it.server.pod = lambda _: Outcome(phase="Failed", message="ncgd: not clean: interface ncg1 is busy")
        answer = await it.ncgctl("uninstall")
        assert answer.exit_code == 1
        assert "worker1: ncgd: not clean: interface ncg1 is busy" in answer.stderr
        assert "worker2: the node is not ready" in answer.stderr
        assert "ncgctl uninstall --image registry.example/ncgd:7" in answer.stderr, "the DaemonSet that knew it is gone"
        it.server.pod = lambda _: Outcome()
        it.get("/v1/nodes", "worker2", "")["status"]["conditions"][0]["status"] = "True"
        answer = await it.ncgctl("uninstall", "--image", "registry.example/ncgd:7")
        assert (answer.exit_code, answer.stderr) == (0, "")

    run(tmp_path, scenario, nodes=1)


def test_enable_sets_ncg_s_annotation_where_there_are_such_clusters(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        assert "Nothing needs enabling" in (await it.ncgctl("-e")).stdout
        it.server.has_cluster_objects = True
        annotations = {"baremetal.cluster.gke.io/enable-gng": "True"}
        made = {"metadata": {"name": "one", "namespace": "cluster-one", "annotations": annotations}}
        it.server.store.create("baremetal.cluster.gke.io/v1/clusters", "cluster-one", made)
        answer = await it.ncgctl("--enable-ncg-on-existing-cluster")
        assert (answer.exit_code, "it was 'True'" in answer.stdout) == (0, True), answer.output
        assert "enabled already" in (await it.ncgctl("enable")).stdout

    run(tmp_path, scenario)


@pytest.mark.parametrize("action", ["install", "uninstall", "verify"])
def test_there_is_one_namespace_and_so_nothing_to_name(tmp_path: Path, action: str) -> None:
    """Definitions and rights are the whole cluster's: a second ncgd beside the first would share, and lose, them."""

    async def scenario(it: Site) -> None:
        answer = await it.ncgctl(action, "-n", "elsewhere")
        assert (answer.exit_code, "No such option" in answer.stderr) == (2, True)
        assert it.server.names() == NODES

    run(tmp_path, scenario)


def test_one_action_at_a_time(tmp_path: Path) -> None:
    async def scenario(it: Site) -> None:
        answer = await it.ncgctl("--install", "--uninstall")
        assert (answer.exit_code, "one thing at a time" in answer.stderr) == (2, True)

    run(tmp_path, scenario)


@pytest.mark.skipif(
    REAL is None or given() is not None, reason="makes and removes cluster-wide objects of a real server"
)
def test_a_real_server_takes_it_twice_and_lets_it_go(tmp_path: Path) -> None:
    """There is no controller: the DaemonSet is never taken note of, and nothing else is different."""

    async def ncgctl(place: Place, *arguments: str) -> Result:
        environment = {"KUBECONFIG": str(place.kubeconfig)}
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)

    async def main_loop() -> None:
        async with real(tmp_path) as own:
            place = replace(own, namespace="kube-system")
            versions: list[int] = []
            for _ in range(2):
                answer = await ncgctl(place, "install", "--timeout", "0")
                assert (answer.exit_code, "waiting for kube-controller-manager" in answer.stderr) == (1, True), answer
                path = f"/apis/apps/v1/namespaces/{place.namespace}/daemonsets/ncgd"
                versions.append((await place.request("GET", path))["metadata"]["generation"])
            assert versions == [1, 1], "the second time no pod is replaced"
            await place.create(secret(), tunnel(1), peer(1))
            answer = await ncgctl(place, "verify", "-o", "json")
            told = {(check["name"], check["verdict"]) for check in json.loads(answer.stdout)["checks"]}
            assert {("version", "ok"), ("rights", "ok"), ("definitions", "ok"), ("daemon-rights", "ok")} <= told
            assert {("key-rights", "ok"), ("psk", "ok"), ("link-local", "ok")} <= told
            assert (await ncgctl(place, "uninstall", "--keep-resources")).exit_code == 0
            response = await place.http.get(path)
            assert response.status_code == 404
            await place.delete("NetworkConnectivityGateway", "default")
            for manifest in (secret(), tunnel(1), peer(1)):
                await place.delete(manifest["kind"], manifest["metadata"]["name"])

    asyncio.run(main_loop())
