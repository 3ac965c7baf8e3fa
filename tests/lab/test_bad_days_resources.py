"""Bad days that begin in the manifests: broken files, deleted tunnels, wrong keys, other ciphers. All on one lab."""

import base64
from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest

from ncgd.lab import gateway
from tests.integration.netns import until
from tests.lab import cloud_side, site_side
from tests.lab.conftest import Lab
from tests.lab.site_side import GATEWAY, PEERS, SECRET, TUNNELS, Manifest, edited, says
from tests.lab.steadily import undisturbed

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.fixture(autouse=True)
def mended(lab: Lab) -> Iterator[Lab]:
    """Whatever a test writes into the manifests, the first ones make the gateway Healthy again."""
    saved = {path: path.read_bytes() for path in gateway.RESOURCES.iterdir()}
    site_side.healthy()
    yield lab
    for path in set(gateway.RESOURCES.iterdir()) - saved.keys():
        path.unlink()
    for path, text in saved.items():
        if path.read_bytes() != text if path.exists() else True:
            path.write_bytes(text)
    site_side.untroubled()


def test_an_edit_is_live_and_touches_nothing_else() -> None:
    before = {name: site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")}
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["advertisedPrefixes"].append("10.10.7.0/24")
    for node in ("cloud0", "cloud1"):
        until(lambda node=node: "10.10.7.0/24" in cloud_side.learned(node), 8, f"{node} learns the new prefix")
    assert {name: site_side.sa_ids(name) for name in before} == before
    with edited(GATEWAY) as documents:
        documents[0]["spec"]["advertisedPrefixes"].remove("10.10.7.0/24")
    for node in ("cloud0", "cloud1"):
        until(lambda node=node: cloud_side.learned(node) == {"10.10.0.0/24"}, 8, f"{node} forgets it at once")


def _set_asn(documents: list[Manifest]) -> None:
    documents[1]["spec"]["peerASN"] = 0


def _misspell(documents: list[Manifest]) -> None:
    documents[0]["spec"]["holdtime"] = 30


def _name_no_tunnel(documents: list[Manifest]) -> None:
    documents[1]["spec"]["vpnTunnel"] = "tunnel-3"


def _use_a_public_address(documents: list[Manifest]) -> None:
    documents[0]["spec"]["localIP"] = "203.0.113.10"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set_asn, ("document 2", "peer-2", "spec.peerASN", "0 is out of range: 1 to 4294967295")),
        (_misspell, ("document 1", "peer-1", "holdtime", "did you mean 'holdTime'?")),
        (_name_no_tunnel, ("document 2", "spec.vpnTunnel", "'tunnel-3'", "did you mean 'tunnel-")),
        (_use_a_public_address, ("document 1", "spec.localIP", "203.0.113.10", "link-local")),
    ],
)
def test_a_broken_object_is_named_and_the_last_good_one_stays_in_force(
    change: Callable[[list[Manifest]], None], words: tuple[str, ...]
) -> None:
    before = {name: site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")}
    ages = [site_side.peer(name)["uptimeSeconds"] for name in ("peer-1", "peer-2")]
    with edited(PEERS) as documents:
        change(documents)
    says("ERROR", PEERS, *words)
    _assert_everything_works(before, ages)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"apiVersion: networking.gke.io/v1alpha1\nkind: [\n", ("YamlSyntax", "line 3, column 1")),
        (b"kind: OverlayBGPPeer\nmetadata: \xff\xfe\n", ("UTF-8",)),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", ("alias",)),
        (b"#" * 10_000_000, ("FileTooLarge", "1024 KiB")),
    ],
)
def test_an_unreadable_file_takes_nothing_away(content: bytes, words: tuple[str, ...]) -> None:
    before = {name: site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")}
    ages = [site_side.peer(name)["uptimeSeconds"] for name in ("peer-1", "peer-2")]
    (gateway.RESOURCES / PEERS).write_bytes(content)
    says("ERROR", PEERS, *words)
    _assert_everything_works(before, ages)


def test_an_unreadable_folder_takes_nothing_away() -> None:
    before = {name: site_side.sa_ids(name) for name in ("tunnel-1", "tunnel-2")}
    ages = [site_side.peer(name)["uptimeSeconds"] for name in ("peer-1", "peer-2")]
    aside = gateway.RESOURCES.with_name("elsewhere")
    gateway.RESOURCES.rename(aside)
    try:
        says("FolderMissing", str(gateway.RESOURCES), "what was in force stays")
        _assert_everything_works(before, ages)
    finally:
        aside.rename(gateway.RESOURCES)


def _assert_everything_works(sa_ids: dict[str, set[str]], ages: list[int]) -> None:
    """Degraded is right: traffic passes, and somebody has to mend a file."""
    now = gateway.status()
    assert now["status"] == "Degraded"
    assert all(row["usable"] for row in now["tunnels"])
    assert all(row["uptimeSeconds"] >= age for row, age in zip(now["peers"], ages, strict=True))
    assert {name: site_side.sa_ids(name) for name in sa_ids} == sa_ids


def test_a_deleted_tunnel_goes_without_a_trace_and_the_other_one_notices_nothing(mended: Lab) -> None:
    gone, kept = site_side.tunnel("tunnel-1"), site_side.tunnel("tunnel-2")
    kept_sas, age = site_side.sa_ids("tunnel-2"), site_side.peer("peer-2")["uptimeSeconds"]
    with site_side.vm_with_many_addresses():
        address = site_side.address_through("tunnel-2")
        with site_side.flowing(address) as lost:
            tunnels, peers = _without(TUNNELS, "tunnel-1"), _without(PEERS, "peer-1")
            until(lambda: cloud_side.learned("cloud0") == set(), 15, "the Cloud Router has nothing from us through it")
            until(lambda: gone["interface"] not in site_side.links(), 20, "its interface goes")
            until(lambda: len(site_side.nexthops()) == 3, 20, "its nexthop goes: one left, its group, a blackhole")
            until(lambda: not site_side.sa_ids("tunnel-1"), 20, "its SAs go")
            assert [row["name"] for row in site_side.healthy()["tunnels"]] == ["tunnel-2"]
            assert not [row for row in site_side.nexthops() if row.get("dev") == gone["interface"]]
            assert len(mended.processes("charon")) == 1
            assert kept["interface"] in site_side.links()
            assert site_side.sa_ids("tunnel-2") == kept_sas
            assert site_side.peer("peer-2")["uptimeSeconds"] >= age
            (gateway.RESOURCES / TUNNELS).write_bytes(tunnels)
            (gateway.RESOURCES / PEERS).write_bytes(peers)
            until(lambda: len(gateway.status()["tunnels"]) == 2, 20, "it is wanted again")
            site_side.healthy()
            assert site_side.sa_ids("tunnel-2") == kept_sas
        assert lost == {address: 0}


def test_a_peer_without_its_tunnel_says_so_and_the_rest_works() -> None:
    tunnels = (gateway.RESOURCES / TUNNELS).read_bytes()
    with edited(TUNNELS) as documents:
        del documents[1]
    says("ERROR TunnelMissing", PEERS, "document 2", "no OverlayVPNTunnel 'tunnel-2'", "did you mean 'tunnel-1'?")
    assert site_side.tunnel("tunnel-1")["usable"]
    (gateway.RESOURCES / TUNNELS).write_bytes(tunnels)
    until(lambda: len(gateway.status()["tunnels"]) == 2, 20)


def _without(name: str, resource: str) -> bytes:
    """Delete an object from a file; what the file held before."""
    path = gateway.RESOURCES / name
    before = path.read_bytes()
    with edited(name) as documents:
        documents[:] = [each for each in documents if each["metadata"]["name"] != resource]
    return before


def test_a_wrong_key_takes_nothing_away_until_the_tunnel_has_to_come_up_again() -> None:
    alive = site_side.sa_ids("tunnel-2")
    with edited(SECRET) as documents:
        other = deepcopy(documents[0])
        other["metadata"]["name"] = "other-key"
        other["data"] = {"psk": base64.b64encode(b"what the cloud does not know").decode()}
        documents.append(other)
    with edited(TUNNELS) as documents:
        documents[1]["spec"]["ikeKey"]["name"] = "other-key"
    until(lambda: gateway.ncgctl("get", "overlayvpntunnel", "tunnel-2", "-o", "json").stdout.count("other-key"), 20)
    assert site_side.healthy()
    assert site_side.sa_ids("tunnel-2") == alive
    cloud_side.terminate("cloud1")
    said = says("AuthenticationFailed", "OverlayVPNTunnel/kube-system/tunnel-2", "the keys differ")
    assert "what the cloud does not know" not in said + site_side.log_text()
    assert site_side.tunnel("tunnel-1")["usable"]
    with edited(TUNNELS) as documents:
        documents[1]["spec"]["ikeKey"]["name"] = "ike-key"
    site_side.healthy()


def test_another_proposal_replaces_the_tunnel_and_no_packet_is_lost() -> None:
    with undisturbed():
        for proposal, cipher in (
            ("aes256-sha256-ecp256", "AES_CBC-256/HMAC_SHA2_256"),
            ("aes256gcm16-ecp256", "AES_GCM"),
        ):
            before = site_side.sa_ids("tunnel-1")
            with edited(TUNNELS) as documents:
                documents[0]["spec"]["ike"] = {"espProposals": [proposal]}
            until(lambda cipher=cipher: cipher in site_side.tunnel("tunnel-1")["child"], 30, "the new cipher")
            until(
                lambda old=before: len(ids := site_side.sa_ids("tunnel-1")) == 1 and not ids & old, 30, "the old goes"
            )
            site_side.healthy()


def test_a_proposal_that_the_cloud_refuses_leaves_the_old_tunnel_up() -> None:
    before = site_side.sa_ids("tunnel-1")
    with site_side.vm_with_many_addresses():
        address = site_side.address_through("tunnel-1")
        with site_side.flowing(address) as lost:
            with edited(TUNNELS) as documents:
                documents[0]["spec"]["ike"] = {"espProposals": ["chacha20poly1305-ecp521"]}
            until(lambda: "NO_PROPOSAL_CHOSEN" in gateway.ncgctl("explain", "tunnel-1").stdout, 30, "it says why")
            assert before <= site_side.sa_ids("tunnel-1")
            assert site_side.tunnel("tunnel-1")["usable"]
        assert lost == {address: 0}
