"""The interfaces of the VPN gateway at the far end, two at most, as the gateway's manifests describe them.

An operator sets up HA VPN to match the manifests; so does the lab: whatever addresses, AS numbers and pre-shared
keys stand there, the cloud expects.
"""

import base64
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncgd.lab.failure import LabFailure, run
from ncgd.lab.install import VENV

ADDRESSES = {"cloud0": "198.51.100.11", "cloud1": "198.51.100.12"}
_READ_MANIFESTS = """
import json, pathlib, sys, yaml
texts = [path.read_text() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.y*ml"))]
print(json.dumps([manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest], default=str))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface: its node, tunnel and session. Addresses are texts."""

    node: str
    address: str
    gateway_id: str
    psk: bytes
    tunnel: str
    router_ip: str
    gateway_ip: str
    router_asn: int
    gateway_asn: int

    def __repr__(self) -> str:
        return f"Interface({self.node}, {self.tunnel})"  # the key stays out of tracebacks


def interfaces(resources: Path) -> tuple[Interface, ...]:
    """What the manifests in a folder ask of the cloud. Raises LabFailure when they are not for this cloud."""
    python = VENV / "bin" / "python"  # the one with YAML; in an image this is it
    manifests = json.loads(
        run(str(python) if python.exists() else sys.executable, "-c", _READ_MANIFESTS, str(resources))
    )
    tunnels = dict(_specs(manifests, "OverlayVPNTunnel"))
    sessions = {spec["vpnTunnel"]: spec for _, spec in _specs(manifests, "OverlayBGPPeer") if "vpnTunnel" in spec}
    keys = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "Secret"}
    found = []
    for node, address in ADDRESSES.items():
        for name, spec in tunnels.items():
            if spec["peer"]["publicIP"] == address and name in sessions:
                session = sessions[name]
                found.append(
                    Interface(
                        node=node,
                        address=address,
                        gateway_id=spec["self"]["publicIP"],
                        psk=_key(keys[spec["ikeKey"]["name"]]),
                        tunnel=name,
                        router_ip=session["peerIP"],
                        gateway_ip=session["localIP"],
                        router_asn=session["peerASN"],
                        gateway_asn=session["localASN"],
                    )
                )
    nodes = [each.node for each in found]
    if not nodes or len(set(nodes)) != len(nodes):
        raise LabFailure(
            f"{resources} does not hold one tunnel with a BGP peer to each, or one, of {', '.join(ADDRESSES.values())}"
        )
    return tuple(found)


def _specs(manifests: Iterable[dict[str, Any]], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((each["metadata"]["name"], each["spec"]) for each in manifests if each["kind"] == kind)


def _key(secret: dict[str, Any]) -> bytes:
    if "psk" in secret.get("stringData", {}):
        return str(secret["stringData"]["psk"]).encode()
    return base64.b64decode(secret["data"]["psk"])
