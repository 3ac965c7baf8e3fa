"""The ConfigMap of ip-masq-agent, as a user makes it."""

from typing import Any

from ncgd.resources.agent_config import CONFIG_MAP, KEY


def agent_config(text: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": "kube-system", "labels": {"app": "ip-masq-agent"}},
        "data": {KEY: text, "other": "stays"},
    }
