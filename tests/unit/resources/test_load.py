"""Whole sets: rules between objects, and what stays in force when something breaks."""

from typing import Any

import pytest

from ncgd.model.secret import Vault
from ncgd.model.spec import Finding, Intent
from ncgd.resources.load import Loaded, hold, load_files
from tests.unit.resources.manifests import (
    GONE,
    KEY,
    Loader,
    a_file,
    an_object,
    changed,
    findings_of,
    gateway,
    good_files,
    peer,
    reasons,
    secret,
    tunnel,
)


def test_a_good_set_has_no_findings() -> None:
    loader = Loader()
    intent = loader.load(good_files()).intent
    assert intent.findings == ()
    assert intent.is_complete
    assert list(intent.tunnels) == ["tunnel-1", "tunnel-2"]
    assert list(intent.peers) == ["peer-1", "peer-2"]
    assert loader.vault.get(intent.tunnels["tunnel-1"].psk) == KEY
    assert loader.load(good_files()).intent == intent


NAME = "metadata.name"
IN = "metadata.namespace"
SAME_LOCAL = changed(tunnel(2), "spec.localTunnelIP", "169.254.1.2")
SAME_REMOTE = changed(tunnel(2), "spec.peer.publicIP", "198.51.100.11")
OTHER_LOCAL = changed(peer(), "spec.localIP", "169.254.9.2")
SECOND_IN_TUNNEL = changed(peer(name="second"), "spec.peerIP", "169.254.1.9")
OTHER_REMOTE = changed(tunnel(), "spec.remoteTunnelIP", "169.254.1.5")
ELSEWHERE = changed(tunnel(3, "tunnel-1"), IN, "other")
ELSEWHERE["spec"]["ikeKey"] = {"name": "ike-key"}


@pytest.mark.parametrize(
    ("manifests", "reason", "where", "field"),
    [
        ([tunnel()], "SecretMissing", "OverlayVPNTunnel/kube-system/tunnel-1", "spec.ikeKey"),
        ([secret(namespace="default"), tunnel()], "SecretMissing", "kube-system/tunnel-1", "spec.ikeKey"),
        ([secret(key=b""), tunnel()], "SecretEmpty", "kube-system/tunnel-1", "spec.ikeKey"),
        ([changed(secret(), "data", {"key": "eA=="}), tunnel()], "SecretEmpty", "/tunnel-1", "spec.ikeKey"),
        ([changed(secret(), "data", {"psk": None}), tunnel()], "SecretEmpty", "/tunnel-1", "spec.ikeKey"),
        ([changed(secret(), "data", None), tunnel()], "SecretEmpty", "/tunnel-1", "spec.ikeKey"),
        (
            [changed(secret(), "data", {"psk": "no base64!"}), tunnel()],
            "SecretNotBase64",
            "/tunnel-1",
            "spec.ikeKey",
        ),
        ([changed(secret(), "data", "psk"), tunnel()], "SecretInvalid", "/tunnel-1", "spec.ikeKey"),
        ([changed(secret(), "data", "psk")], "WrongType", "Secret/kube-system/ike-key", "data"),
        ([peer()], "TunnelMissing", "OverlayBGPPeer/kube-system/peer-1", "spec.vpnTunnel"),
        ([tunnel(), peer()], "TunnelInvalid", "OverlayBGPPeer/kube-system/peer-1", "spec.vpnTunnel"),
        ([secret(), tunnel(), changed(peer(), IN, "x")], "TunnelMissing", "x/peer-1", "spec.vpnTunnel"),
        (
            [secret(), tunnel(), tunnel()],
            "DuplicateName",
            "document 3, OverlayVPNTunnel/kube-system/tunnel-1",
            NAME,
        ),
        ([secret(), secret(namespace="other"), tunnel(), ELSEWHERE], "DuplicateName", "other/tunnel-1", NAME),
        ([secret(), tunnel(), SAME_LOCAL], "DuplicateLocalTunnelIP", "/tunnel-2", "spec.localTunnelIP"),
        ([secret(), tunnel(), SAME_REMOTE], "DuplicatePeerAddress", "/tunnel-2", "spec.peer.publicIP"),
        ([secret(), tunnel(), OTHER_LOCAL], "LocalIPMismatch", "/peer-1", "spec.localIP"),
        ([secret(), OTHER_REMOTE, peer()], "PeerIPMismatch", "/peer-1", "spec.peerIP"),
        ([secret(), tunnel(), peer(), peer(name="twin")], "DuplicateSession", "/twin", "spec.peerIP"),
        ([secret(), tunnel(), peer(), SECOND_IN_TUNNEL], "TunnelTaken", "/second", "spec.vpnTunnel"),
        (
            [gateway("one"), gateway("two")],
            "SecondGateway",
            "NetworkConnectivityGateway/kube-system/two",
            NAME,
        ),
        ([secret(key=b"key\n"), tunnel()], "SecretTrailingNewline", "Secret/kube-system/ike-key", "data.psk"),
        ([["a", "list"]], "NotAnObject", "document 1", ""),
        (["text"], "NotAnObject", "document 1", ""),
        ([{"apiVersion": "v1"}], "FieldMissing", "document 1", "kind"),
        ([{"kind": "Secret"}], "FieldMissing", "document 1", "apiVersion"),
        ([changed(tunnel(), "metadata", None)], "FieldMissing", "document 1, OverlayVPNTunnel", "metadata"),
        ([changed(tunnel(), NAME, GONE)], "FieldMissing", "document 1, OverlayVPNTunnel", NAME),
        ([changed(tunnel(), NAME, "A/../b")], "BadFormat", "document 1, OverlayVPNTunnel", NAME),
        ([changed(tunnel(), NAME, "a\n")], "BadFormat", "document 1, OverlayVPNTunnel", NAME),
        ([changed(tunnel(), "kind", "OverlayVpnTunnel")], "UnknownKind", "document 1", "kind"),
        (
            [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}],
            "KindIgnored",
            "document 1",
            "kind",
        ),
    ],
)
def test_found(manifests: list[Any], reason: str, where: str, field: str) -> None:
    findings = findings_of(*manifests)
    assert (reason, field) in reasons(findings)
    finding = next(finding for finding in findings if finding.reason == reason)
    assert finding.where.startswith("all.yaml, document ")
    assert finding.where.endswith(where)
    assert finding.is_error == (reason not in {"SecretTrailingNewline", "KindIgnored"})


def test_two_tunnels_may_share_their_local_public_address() -> None:
    assert findings_of(secret(), tunnel(1), tunnel(2)) == ()


def test_nearest_names_are_offered() -> None:
    (kind,) = findings_of(changed(tunnel(), "kind", "OverlayVpnTunel"))
    assert kind.hint == "did you mean 'OverlayVPNTunnel'?"
    findings = findings_of(secret(), tunnel(), changed(peer(), "spec.vpnTunnel", "tunel-1"))
    assert findings[0].hint == "did you mean 'tunnel-1'?"
    assert findings_of(secret("ike-keys"), tunnel())[0].hint == "did you mean 'ike-keys'?"


def test_a_list_is_expanded() -> None:
    items = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [secret(), tunnel(), changed(tunnel(2), "spec.mtu", 1)],
    }
    intent = load_files({"all.yaml": a_file(items)}, Loaded(), Vault(b"")).intent
    assert list(intent.tunnels) == ["tunnel-1"]
    assert intent.findings[0].where == "all.yaml, document 1, item 3, OverlayVPNTunnel/kube-system/tunnel-2"


def test_the_namespace_may_be_left_out() -> None:
    bare = [changed(manifest, "metadata.namespace", GONE) for manifest in (secret(), tunnel(), peer())]
    intent = load_files({"all.yaml": a_file(*bare)}, Loaded(), Vault(b"")).intent
    assert intent.findings == ()
    assert intent.peers["peer-1"].ref.namespace == "kube-system"


def test_exact_bytes_of_the_key() -> None:
    for text, key in (
        ("psk: 'two\nlines'", b"two lines"),
        ('psk: "a\\n"', b"a\n"),
        ("psk: ключ", "ключ".encode()),
    ):
        plain = secret()
        plain.pop("data")
        vault = Vault(b"")
        text_file = a_file(plain, tunnel()).replace(b"---\n", f"stringData:\n  {text}\n---\n".encode(), 1)
        intent = load_files({"all.yaml": text_file}, Loaded(), vault).intent
        assert vault.get(intent.tunnels["tunnel-1"].psk) == key


def spoiled(files: dict[str, bytes], name: str, data: bytes | Finding) -> dict[str, bytes | Finding]:
    return {**files, name: data}


UNREADABLE = Finding(reason="FileUnreadable", where="tunnels.yaml", message="no permission")


BROKEN = [
    *(b"a: [", b"\xff", b"a: 1\na: 2\n", b"#" * 2_000_000, b"- 1\n", b"a: &x 1"),
    UNREADABLE,
    a_file({"kind": "x"}),
]


@pytest.mark.parametrize("name", sorted(good_files()))
@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_file_changes_nothing(name: str, data: bytes | Finding) -> None:
    loader = Loader()
    good = loader.load(good_files()).intent
    intent = loader.load(spoiled(good_files(), name, data)).intent
    assert intent.findings
    assert all(name in finding.where or finding is UNREADABLE for finding in intent.findings)
    assert without_findings(intent) == without_findings(good)
    assert intent.is_complete
    assert loader.load(good_files()).intent == good


def without_findings(intent: Intent) -> tuple[Any, ...]:
    return intent.gateway, intent.tunnels, intent.peers


def test_a_broken_file_at_the_start_makes_the_intent_incomplete() -> None:
    loader = Loader()
    intent = loader.load(spoiled(good_files(), "tunnels.yaml", b"a: [")).intent
    assert not intent.tunnels
    assert not intent.peers
    assert not intent.is_complete
    assert loader.load(good_files()).intent.is_complete


@pytest.mark.parametrize(
    "manifests",
    [
        [tunnel()],
        [secret(), tunnel(), SAME_LOCAL],
        [secret(), changed(tunnel(), "spec.mtu", 1)],
        [{"kind": "x"}],
    ],
)
def test_what_is_broken_from_the_start_makes_the_intent_incomplete_until_it_is_mended(
    manifests: list[Any],
) -> None:
    loader = Loader()
    assert not loader.load({"a.yaml": a_file(*manifests)}).intent.is_complete
    assert not loader.load({"a.yaml": a_file(*manifests)}).intent.is_complete
    assert loader.load({"a.yaml": a_file(secret(), tunnel())}).intent.is_complete
    assert loader.load({"a.yaml": a_file(*manifests)}).intent.is_complete


def test_a_peer_without_tunnel_does_not_make_the_intent_incomplete() -> None:
    loader = Loader()
    intent = loader.load({"a.yaml": a_file(secret(), tunnel(1), peer(1), peer(2))}).intent
    assert [finding.reason for finding in intent.findings] == ["TunnelMissing"]
    assert intent.is_complete


def test_the_rest_of_a_set_goes_in_force_beside_a_broken_file() -> None:
    loader = Loader()
    loader.load(good_files())
    files = spoiled(good_files(), "tunnels.yaml", b"a: [")
    files["more.yaml"] = a_file(tunnel(3), peer(3))
    del files["peers.yaml"]
    intent = loader.load(files).intent
    assert sorted(intent.tunnels) == ["tunnel-1", "tunnel-2", "tunnel-3"]
    assert list(intent.peers) == ["peer-3"]


def test_a_document_that_cannot_be_told_holds_what_its_file_held() -> None:
    loader = Loader()
    loader.load(good_files())
    files = good_files() | {
        "tunnels.yaml": a_file(changed(tunnel(1), "spec.mtu", 1300), changed(tunnel(2), "kind", "Tunnel"))
    }
    intent = loader.load(files).intent
    assert reasons(intent.findings) == [("UnknownKind", "kind")]
    assert intent.tunnels["tunnel-1"].mtu == 1300
    assert "tunnel-2" in intent.tunnels
    assert len(intent.peers) == 2


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("spec.peer.publicIP", "224.0.0.1", "PublicIPNotUnicast"),
        ("spec.localTunnelIP", "169.254.2.2", "DuplicateLocalTunnelIP"),
        ("spec.peer.publicIP", "198.51.100.12", "DuplicatePeerAddress"),
        ("spec.ikeKey.name", "other-key", "SecretMissing"),
        ("spec.mtuu", 1300, "UnknownField"),
    ],
)
def test_a_broken_object_stays_as_it_was(path: str, value: Any, reason: str) -> None:
    loader = Loader()
    good = loader.load(good_files()).intent
    files = good_files() | {
        "tunnels.yaml": a_file(changed(tunnel(1), path, value), changed(tunnel(2), "spec.mtu", 1300))
    }
    intent = loader.load(files).intent
    assert [finding.reason for finding in intent.findings] == [reason]
    assert intent.tunnels["tunnel-1"] == good.tunnels["tunnel-1"]
    assert intent.tunnels["tunnel-2"].mtu == 1300
    assert intent.is_complete
    again = loader.load(files).intent
    assert again == intent


def test_a_broken_secret_leaves_the_key_in_force_and_in_the_vault() -> None:
    loader = Loader()
    good = loader.load(good_files()).intent
    for data in (a_file(secret(key=b"")), a_file(changed(secret(), "data", 5)), b"a: ["):
        loaded = loader.load(good_files() | {"secret.yaml": data})
        assert loaded.intent.tunnels == good.tunnels
        assert loaded.intent.findings
        loader.vault.retain(loaded.secret_refs)
        assert loader.vault.get(loaded.intent.tunnels["tunnel-1"].psk) == KEY
    files = good_files()
    del files["secret.yaml"]
    loaded = loader.load(files)
    assert [finding.reason for finding in loaded.intent.findings] == ["SecretMissing", "SecretMissing"]
    assert loader.vault.get(loaded.intent.tunnels["tunnel-2"].psk) == KEY


def test_a_rotated_key_changes_the_reference_of_its_tunnels_only() -> None:
    loader = Loader()
    files = good_files() | {"more.yaml": a_file(secret("other", b"x"), changed(tunnel(3), "spec.ikeKey.name", "other"))}
    before = loader.load(files).intent.tunnels
    after = loader.load(files | {"secret.yaml": a_file(secret(key=b"new"))}).intent.tunnels
    assert before["tunnel-1"].psk != after["tunnel-1"].psk
    assert before["tunnel-3"] == after["tunnel-3"]
    assert loader.vault.get(after["tunnel-1"].psk) == b"new"


def test_a_removed_object_is_removed() -> None:
    loader = Loader()
    loader.load(good_files())
    intent = loader.load(good_files() | {"tunnels.yaml": a_file(tunnel(1)), "peers.yaml": a_file(peer(1))}).intent
    assert (list(intent.tunnels), list(intent.peers), intent.findings) == (["tunnel-1"], ["peer-1"], ())
    assert loader.load({}).intent == Intent()


def test_a_peer_does_not_outlive_its_tunnel() -> None:
    loader = Loader()
    loader.load(good_files())
    intent = loader.load(good_files() | {"tunnels.yaml": a_file(tunnel(1))}).intent
    assert list(intent.peers) == ["peer-1"]
    assert [finding.reason for finding in intent.findings] == ["TunnelMissing"]


def test_what_is_in_force_wins_over_what_is_new() -> None:
    loader = Loader()
    loader.load(good_files())
    early = changed(tunnel(1, "early"), "spec.localTunnelIP", "169.254.9.2")
    intent = loader.load(good_files() | {"a.yaml": a_file(early, gateway("second"), peer(2, "double"))}).intent
    assert list(intent.tunnels) == ["tunnel-1", "tunnel-2"]
    assert intent.gateway.ref.name == "default"
    assert sorted(intent.peers) == ["peer-1", "peer-2"]
    assert sorted(finding.reason for finding in intent.findings) == [
        "DuplicatePeerAddress",
        "DuplicateSession",
        "SecondGateway",
    ]


def test_an_object_in_two_files_counts_where_it_was_before() -> None:
    loader = Loader()
    loader.load({"b.yaml": a_file(secret(), tunnel())})
    moved = {"a.yaml": a_file(changed(tunnel(), "spec.mtu", 1300)), "b.yaml": a_file(secret(), tunnel())}
    intent = loader.load(moved).intent
    assert intent.tunnels["tunnel-1"].mtu is None
    assert intent.findings[0].where.startswith("a.yaml, document 1")
    assert "b.yaml, document 2" in intent.findings[0].message
    assert loader.load(moved | {"b.yaml": a_file(secret())}).intent.tunnels["tunnel-1"].mtu == 1300


def test_two_tunnels_may_swap_their_addresses_at_once() -> None:
    loader = Loader()
    loader.load({"a.yaml": a_file(secret(), tunnel(1), tunnel(2))})
    intent = loader.load({"a.yaml": a_file(secret(), tunnel(2, "tunnel-1"), tunnel(1, "tunnel-2"))}).intent
    assert intent.findings == ()
    assert str(intent.tunnels["tunnel-1"].local_tunnel_ip) == "169.254.2.2"


def test_no_object_at_all_is_the_empty_gateway() -> None:
    assert load_files({}, Loaded(), Vault(b"")).intent == Intent()
    assert findings_of(an_object("NetworkConnectivityGateway", "default", None)) == ()


def test_hold_keeps_everything_and_adds_why() -> None:
    loader = Loader()
    good = loader.load(good_files())
    missing = Finding(reason="FolderMissing", where="/etc/ncgd/resources")
    held = hold(good, missing)
    assert held.intent.findings == (missing,)
    assert without_findings(held.intent) == without_findings(good.intent)
    assert held.intent.is_complete
    assert not hold(Loaded(), missing).intent.is_complete
