"""config/chart, rendered by Helm's own code: it is what config/ is, and its values change what they say."""

import asyncio
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from ncgd import __version__
from ncgd.sources.kubernetes.client import connect
from tests.kube.control_plane import programs, started

Json = dict[str, Any]
CONFIG = Path(__file__).parents[2] / "config"
CHART = CONFIG / "chart"
KEEP = {"helm.sh/resource-policy": "keep"}


def documents(text: str) -> list[Json]:
    return [item for item in yaml.safe_load_all(text) if item]


def by_name(items: list[Json]) -> dict[tuple[str, str], Json]:
    named = {(item["kind"], item["metadata"]["name"]): item for item in items}
    assert len(named) == len(items)
    return named


def rendered(**values: Any) -> dict[tuple[str, str], Json]:
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="ncgd", namespace="kube-system")
    return by_name([item for text in texts.values() for item in documents(text)])


def applied(definitions: str) -> dict[tuple[str, str], Json]:
    """What `kubectl apply -k config` brings, with the definitions of one of the two folders."""
    listed = yaml.safe_load((CONFIG / "kustomization.yaml").read_text())["resources"]
    paths = [CONFIG / path.replace("crd/", f"{definitions}/") for path in listed]
    return by_name([item for path in paths for item in documents(path.read_text())])


def with_keep(items: dict[tuple[str, str], Json]) -> dict[tuple[str, str], Json]:
    for (kind, _), item in items.items():
        if kind == "CustomResourceDefinition":
            item["metadata"]["annotations"] = KEEP
    return items


def test_without_values_it_is_what_kustomize_applies() -> None:
    assert rendered() == with_keep(applied("crd-cel"))


def test_values_name_image_keys_arguments_and_more() -> None:
    got = rendered(
        image="registry.example/ncgd:1",
        keys=["psk-1", "psk-2"],
        args=["--log-format=json"],
        pod={"imagePullSecrets": [{"name": "registry"}]},
    )
    pod = got["DaemonSet", "ncgd"]["spec"]["template"]["spec"]
    assert {each["image"] for each in pod["containers"]} == {"registry.example/ncgd:1"}
    assert pod["containers"][0]["args"][-1] == "--log-format=json"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert got["Role", "ncgd-keys"]["rules"][0]["resourceNames"] == ["psk-1", "psk-2"]
    plain = applied("crd-cel")
    assert {key for key, item in with_keep(plain).items() if got[key] != item} == {
        ("DaemonSet", "ncgd"),
        ("Role", "ncgd-keys"),
    }


def test_helm_finds_nothing_to_complain_of_and_the_versions_fit() -> None:
    report = helm.lint(CHART, strict=True)
    assert not report["errors"]
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]
    with helm.Chart.load(CHART) as chart:
        assert (chart.version, chart.metadata["appVersion"]) == (__version__, __version__)
        assert chart.values["image"] == f"ncgd:{__version__}"


@pytest.mark.skipif(programs() is None, reason="only a real API server has a version and schemas")
def test_a_server_gets_the_definitions_that_it_understands_and_takes_all_of_it(tmp_path: Path) -> None:
    with started(tmp_path) as kubeconfig, helm.Config(kubeconfig_path=kubeconfig, namespace="kube-system") as config:
        release = config.install(str(CHART), "ncgd", create_namespace=True)
        got = by_name(documents(str(release["manifest"])))
        assert got == with_keep(applied("crd-cel" if version(kubeconfig) >= (1, 25) else "crd"))
        config.upgrade(str(CHART), "ncgd", {"args": ["--log-format=json"]})
        config.uninstall("ncgd")


def version(kubeconfig: Path) -> tuple[int, int]:
    async def ask() -> Json:
        cluster = connect(kubeconfig)
        try:
            return await cluster.get("/version")
        finally:
            await cluster.close()

    said = asyncio.run(ask())
    return int(said["major"]), int(said["minor"].rstrip("+"))
