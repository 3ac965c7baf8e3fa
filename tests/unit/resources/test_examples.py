"""The examples load without a word."""

from pathlib import Path

import pytest

from ncgd.model.prefix import texts
from ncgd.model.secret import Vault
from ncgd.resources.load import Loaded, load_files
from ncgd.resources.yaml_documents import parse

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"


def example(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (EXAMPLES / name).glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if any(path.glob("*.yaml"))))
def test_loads_without_findings(name: str) -> None:
    intent = load_files(example(name), Loaded(), Vault(b"salt")).intent
    assert intent.findings == ()
    assert intent.tunnels
    assert intent.peers


def test_ha_vpn_is_the_manual_s() -> None:
    intent = load_files(example("ha-vpn"), Loaded(), Vault(b"salt")).intent
    assert {name: str(tunnel.remote_address) for name, tunnel in intent.tunnels.items()} == {
        "tunnel-1": "198.51.100.11",
        "tunnel-2": "198.51.100.12",
    }
    assert {name: (peer.tunnel, str(peer.local_ip), str(peer.peer_ip)) for name, peer in intent.peers.items()} == {
        "peer-1": ("tunnel-1", "169.254.1.2", "169.254.1.1"),
        "peer-2": ("tunnel-2", "169.254.2.2", "169.254.2.1"),
    }
    assert texts(intent.gateway.advertised_prefixes) == ["10.10.0.0/24"]


def test_only_the_manual_s_fields_but_for_the_gateway() -> None:
    files = example("ha-vpn")
    allowed = {
        "overlay-vpn-tunnels.yaml": {"ikeKey", "peer", "self", "localTunnelIP"},
        "overlay-bgp-peers.yaml": {"localASN", "localIP", "peerIP", "peerASN", "vpnTunnel"},
    }
    for name, fields in allowed.items():
        for document in parse(files[name]).documents:
            assert isinstance(document, dict)
            assert set(document["spec"]) == fields
