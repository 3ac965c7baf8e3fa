"""Good manifests to start from, and the way to spoil them."""

import base64
import copy
from collections.abc import Mapping
from typing import Any

import yaml

from ncgd.model.secret import Vault
from ncgd.model.spec import Finding
from ncgd.resources.load import Loaded, load_files

NAMESPACE = "kube-system"
KEY = b"correct horse battery staple"
GONE = object()
"""As a value for ``changed``: remove the field."""


def an_object(kind: str, name: str, spec: Any, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {
        "apiVersion": "networking.gke.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def secret(name: str = "ike-key", key: bytes = KEY, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"psk": base64.b64encode(key).decode()},
    }


def tunnel(number: int = 1, name: str | None = None) -> dict[str, Any]:
    spec = {
        "ikeKey": {"name": "ike-key", "namespace": NAMESPACE},
        "peer": {"publicIP": f"198.51.100.{10 + number}"},
        "self": {"publicIP": "203.0.113.10"},
        "localTunnelIP": f"169.254.{number}.2",
    }
    return an_object("OverlayVPNTunnel", name or f"tunnel-{number}", spec)


def peer(number: int = 1, name: str | None = None) -> dict[str, Any]:
    spec = {
        "localASN": 65010,
        "localIP": f"169.254.{number}.2",
        "peerIP": f"169.254.{number}.1",
        "peerASN": 64512,
        "vpnTunnel": f"tunnel-{number}",
    }
    return an_object("OverlayBGPPeer", name or f"peer-{number}", spec)


def gateway(name: str = "default", **spec: Any) -> dict[str, Any]:
    return an_object("NetworkConnectivityGateway", name, spec or None)


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the field at a dotted path set, or removed with GONE."""
    result = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    at = result
    for name in parents:
        at = at.setdefault(name, {})
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return result


def a_file(*manifests: Any) -> bytes:
    return yaml.safe_dump_all(manifests, sort_keys=False).encode()


def good_files() -> dict[str, bytes]:
    return {
        "secret.yaml": a_file(secret()),
        "tunnels.yaml": a_file(tunnel(1), tunnel(2)),
        "peers.yaml": a_file(peer(1), peer(2)),
        "gateway.yaml": a_file(gateway(advertisedPrefixes=["10.10.0.0/24"])),
    }


class Loader:
    """Loads one set of files after another, as a source does."""

    def __init__(self) -> None:
        self.vault = Vault(b"salt")
        self.loaded = Loaded()

    def load(self, files: Mapping[str, bytes | Finding]) -> Loaded:
        self.loaded = load_files(files, self.loaded, self.vault)
        return self.loaded


def findings_of(*manifests: Any) -> tuple[Finding, ...]:
    """What is found when these objects are loaded together into an empty gateway."""
    return load_files({"all.yaml": a_file(*manifests)}, Loaded(), Vault(b"salt")).intent.findings


def reasons(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.reason, finding.field) for finding in findings]
