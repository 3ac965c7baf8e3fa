"""The manifests of ``config/``, as an installation needs them; they travel in the package."""

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "config"
CEL_MINOR = 25
"""CEL rules in definitions are on by default from Kubernetes 1.25 (KEP-2876)."""
DAEMON_SET, KEYS = "DaemonSet", "ncgd-keys"
OPTIONAL = frozenset({"ncgd-definitions", "ncgd-services"})
"""ClusterRoles that ncgd does without: what each is for stands in config/rbac."""
PODS = "app.kubernetes.io/name=ncgd"
"""Selects ncgd's pods."""

_APIS = {
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1",
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1",
}
"""Kinds without a namespace, and where they are."""


def manifests(minor: int) -> list[Json]:
    """Everything of the kustomization, in its order, for a Kubernetes of 1.``minor``."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    found: list[Json] = []
    for name in listed:
        path = FOLDER / (name.replace("crd/", "crd-cel/", 1) if minor >= CEL_MINOR else name)
        found.extend(item for item in yaml.safe_load_all(path.read_text()) if item)
    return found


def with_image(daemon_set: Json, image: str | None) -> Json:
    """The DaemonSet with another image in every container; None keeps its own."""
    if image is not None:
        spec = daemon_set["spec"]["template"]["spec"]
        spec["containers"] = [{**each, "image": image} for each in spec["containers"]]
    return daemon_set


def is_ours(daemon_set: Json) -> bool:
    """Whether a DaemonSet ``kube-system/ncgd`` is of these manifests: Google's NCG has one of the same name."""
    selected = (daemon_set["spec"].get("selector") or {}).get("matchLabels") or {}
    return bool(selected.get("app.kubernetes.io/name") == "ncgd")


def image_of(daemon_set: Json) -> str:
    """The image of ncgd in a DaemonSet."""
    containers = daemon_set["spec"]["template"]["spec"]["containers"]
    return str(next((each["image"] for each in containers if each["name"] == "ncgd"), containers[0]["image"]))


def is_default(image: str) -> bool:
    """Whether an image is that of our manifests, in whatever version."""
    return re.fullmatch(r"ncgd:[0-9.]+", image) is not None


def with_userspace(daemon_set: Json) -> Json:
    """The DaemonSet with ``userspace/patch.yaml`` over it, as ``kubectl patch`` does it."""
    patched: Json = _patched(daemon_set, yaml.safe_load((FOLDER / "userspace" / "patch.yaml").read_text()))
    return patched


def has_userspace(daemon_set: Json) -> bool:
    """Whether that patch has been applied: ncgd keeps its own charons."""
    return "charon" not in {each["name"] for each in daemon_set["spec"]["template"]["spec"]["containers"]}


def _patched(old: Any, patch: Any) -> Any:
    """A strategic merge, as far as our patch needs one: lists of objects by name, other lists as a whole."""
    if isinstance(patch, dict):
        return {**(old or {}), **{key: _patched((old or {}).get(key), value) for key, value in patch.items()}}
    if isinstance(patch, list) and all(isinstance(each, dict) for each in patch):
        named = {each["name"]: each for each in old or ()}
        for each in patch:
            if each.get("$patch") == "delete":
                named.pop(each["name"], None)
            else:
                named[each["name"]] = _patched(named.get(each["name"]), each)
        return list(named.values())
    return patch


def with_keys(role: Json, names: Iterable[str]) -> Json:
    """The Role of keys, for these Secrets beside those that it lists."""
    (rule,) = role["rules"]
    rule["resourceNames"] = sorted({*rule["resourceNames"], *names})
    return role


def rights(items: Iterable[Json]) -> Iterator[Json]:
    """What the Roles grant, one by one, as a review of access asks for it."""
    for item in items:
        for rule in item.get("rules") or ():
            for verb, group, resource in product(rule["verbs"], rule["apiGroups"], rule["resources"]):
                plural, _, part = resource.partition("/")
                asked = {"verb": verb, "group": group, "resource": plural, "subresource": part}
                asked |= {"namespace": item["metadata"]["namespace"]} if item["kind"] == "Role" else {}
                for name in rule.get("resourceNames") or ("",):
                    yield {key: value for key, value in {**asked, "name": name}.items() if value}


def path_of(item: Json) -> str:
    """Where an API server has an object."""
    return f"{collection_of(item)}/{item['metadata']['name']}"


def collection_of(item: Json) -> str:
    """Where an API server has all objects of its kind (and namespace)."""
    plural = f"{item['kind'].lower()}s"
    if item["kind"] in _APIS:
        return f"/{_APIS[item['kind']]}/{plural}"
    version = item["apiVersion"]
    root = f"apis/{version}" if "/" in version else f"api/{version}"
    return f"/{root}/namespaces/{item['metadata']['namespace']}/{plural}"
