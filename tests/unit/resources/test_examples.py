"""The examples load without a word, and keep to what the far end's documents say."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from ncgd.model.prefix import texts
from ncgd.model.secret import Vault
from ncgd.model.spec import Intent
from ncgd.resources.load import Loaded, load_files
from ncgd.resources.yaml_documents import parse

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def example(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (EXAMPLES / name).glob("*.yaml")}


def loaded(name: str, vault: Vault | None = None) -> Intent:
    return load_files(example(name), Loaded(), vault or Vault(b"salt")).intent


@pytest.mark.parametrize("name", NAMES)
def test_loads_without_findings(name: str) -> None:
    intent = loaded(name)
    assert intent.findings == ()
    assert intent.tunnels
    assert {peer.tunnel for peer in intent.peers.values()} == set(intent.tunnels), "a session in every tunnel"


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is_and_is_listed(name: str) -> None:
    assert "Tried:" in (EXAMPLES / name / "README.md").read_text()
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()


def test_every_key_is_another_one_and_says_that_it_is_no_secret() -> None:
    vault, keys = Vault(b"salt"), []
    for name in NAMES:
        keys += [vault.get(ref) for ref in {tunnel.psk for tunnel in loaded(name, vault).tunnels.values()}]
    assert len(set(keys)) == len(keys)
    assert all(re.match(rb"demo[-_]key[-_]change[-_]me[-_]\w+$", key) for key in keys)


def test_ha_vpn_is_the_manual_s() -> None:
    intent = loaded("ha-vpn")
    assert {name: str(tunnel.remote_address) for name, tunnel in intent.tunnels.items()} == {
        "tunnel-1": "198.51.100.11",
        "tunnel-2": "198.51.100.12",
    }
    assert {name: (peer.tunnel, str(peer.local_ip), str(peer.peer_ip)) for name, peer in intent.peers.items()} == {
        "peer-1": ("tunnel-1", "169.254.1.2", "169.254.1.1"),
        "peer-2": ("tunnel-2", "169.254.2.2", "169.254.2.1"),
    }
    assert texts(intent.gateway.advertised_prefixes) == ["10.10.0.0/24"]


@pytest.mark.parametrize("name", ["ha-vpn", "kubernetes"])
def test_only_the_manual_s_fields_but_for_the_gateway(name: str) -> None:
    files = example(name)
    allowed = {
        "overlay-vpn-tunnels.yaml": {"ikeKey", "peer", "self", "localTunnelIP"},
        "overlay-bgp-peers.yaml": {"localASN", "localIP", "peerIP", "peerASN", "vpnTunnel"},
    }
    for file, fields in allowed.items():
        for document in parse(files[file]).documents:
            assert isinstance(document, dict)
            assert set(document["spec"]) == fields


@dataclass(frozen=True, kw_only=True)
class Documented:
    """What a far end's documents say; the README of its example has the links. Times in seconds."""

    ike: set[str]
    """Words of which an IKE proposal may consist, in strongSwan's spelling."""
    esp: set[str]
    ike_rekeys_at: int
    esp_rekeys_at: int
    gives_up_after: int
    """DPD at the far end."""
    inside: tuple[IPv4Network, ...]
    not_inside: tuple[IPv4Network, ...] = ()
    far_host: int
    """Which host of the /30 is the far end's."""
    taken_asns: set[int]
    hold: int
    most_prefixes: int
    key: str


_AWS_GROUPS = {"modp1024", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192", "ecp256", "ecp384", "ecp521"}
AWS = Documented(
    ike={"aes128", "aes256", "aes128gcm16", "aes256gcm16", "sha1", "sha256", "sha384", "sha512", "prfsha256"}
    | _AWS_GROUPS,
    esp={"aes128", "aes256", "aes128gcm16", "aes256gcm16", "sha1", "sha256", "sha384", "sha512"} | _AWS_GROUPS,
    ike_rekeys_at=28_800 - 540,
    esp_rekeys_at=3_600 - 540,
    gives_up_after=30,
    inside=(IPv4Network("169.254.0.0/16"),),
    not_inside=(
        *(IPv4Network(f"169.254.{third}.0/30") for third in range(6)),
        IPv4Network("169.254.169.252/30"),
    ),
    far_host=1,
    taken_asns=set(),
    hold=30,
    most_prefixes=100,
    key=r"(?!0)[A-Za-z0-9._]{8,64}",
)
AZURE = Documented(
    ike={"aes256gcm16", "prfsha256", "ecp256"},
    esp={"aes256gcm16", "ecp256"},
    ike_rekeys_at=28_800,
    esp_rekeys_at=27_000,
    gives_up_after=45,
    inside=(IPv4Network("169.254.21.0/24"), IPv4Network("169.254.22.0/24")),
    far_host=2,
    taken_asns={8074, 8075, 12076, 65515, 65517, 65518, 65519, 65520},
    hold=180,
    most_prefixes=4000,
    key=r"[ -~]{1,128}",
)


@pytest.mark.parametrize(("name", "says"), [("aws", AWS), ("azure", AZURE)])
def test_keeps_to_what_the_far_end_documents(name: str, says: Documented) -> None:
    vault = Vault(b"salt")
    intent = loaded(name, vault)
    for tunnel in intent.tunnels.values():
        assert set("-".join(tunnel.ike.ike_proposals).split("-")) <= says.ike
        assert set("-".join(tunnel.ike.esp_proposals).split("-")) <= says.esp
        assert tunnel.ike.ike_rekey_seconds < says.ike_rekeys_at, "we are the first to rekey"
        assert tunnel.ike.child_rekey_seconds < says.esp_rekeys_at
        assert tunnel.ike.dpd_delay_seconds < says.gives_up_after
        assert re.fullmatch(says.key, vault.get(tunnel.psk).decode())
    for peer in intent.peers.values():
        assert isinstance(peer.peer_ip, IPv4Address)
        network = IPv4Network(f"{peer.peer_ip}/30", strict=False)
        assert peer.peer_ip == network[says.far_host]
        assert peer.local_ip == network[3 - says.far_host]
        assert any(network.subnet_of(each) for each in says.inside)
        assert network not in says.not_inside
        assert peer.local_asn not in says.taken_asns
        assert peer.hold_seconds == says.hold
    assert len(intent.gateway.advertised_prefixes) <= says.most_prefixes


def test_the_readme_of_azure_names_the_policy_that_ncgd_proposes() -> None:
    readme = (EXAMPLES / "azure" / "README.md").read_text()
    words = "-IkeEncryption GCMAES256 -IkeIntegrity SHA256 -DhGroup ECP256"
    assert words in readme
    (tunnel,) = loaded("azure").tunnels.values()
    assert tunnel.ike.ike_proposals == ("aes256gcm16-prfsha256-ecp256",)
    assert tunnel.ike.esp_proposals == ("aes256gcm16-ecp256",)
