"""Every rule about one object: what is refused, where, and with which reason."""

from dataclasses import replace
from typing import Any

import pytest

from ncgd.model.prefix import texts
from ncgd.model.secret import Vault
from ncgd.model.spec import DataplaneChoice, Intent, Liveness, Mode
from ncgd.resources.load import Loaded, load_files
from tests.unit.resources.manifests import (
    GONE,
    a_file,
    changed,
    findings_of,
    gateway,
    peer,
    reasons,
    secret,
    tunnel,
)

LINK_LESS: dict[str, Any] = {
    **peer(),
    "spec": {**peer()["spec"], "localIP": "192.0.2.1", "peerIP": "192.0.2.2"},
}
del LINK_LESS["spec"]["vpnTunnel"]


def result_of(manifest: dict[str, Any]) -> Intent:
    """The manifest beside good objects that it may refer to."""
    beside = [secret()] if manifest["kind"] == "OverlayVPNTunnel" else [secret(), tunnel()]
    return load_files({"all.yaml": a_file(*beside, manifest)}, Loaded(), Vault(b"salt")).intent


TUNNEL_ERRORS = [
    # path, value, reason, field when it differs from path
    *[
        (f"spec.{end}.publicIP", value, "PublicIPNotUnicast", "")
        for end in ("peer", "self")
        for value in ("224.0.0.5", "127.0.0.1", "0.0.0.0", "169.254.1.1", "255.255.255.255", "240.1.2.3", "0.1.2.3",
                      "::", "::1", "ff02::1", "fe80::1", "::ffff:192.0.2.1")
    ],
    ("spec.peer.publicIP", "198.51.100.256", "InvalidAddress", ""),
    ("spec.peer.publicIP", "198.51.100.11/32", "InvalidAddress", ""),
    ("spec.peer.publicIP", "198.51.100.011", "InvalidAddress", ""),
    ("spec.peer.publicIP", "vpn.example.com", "InvalidAddress", ""),
    ("spec.peer.publicIP", "", "InvalidAddress", ""),
    ("spec.peer.publicIP", "2001:db8::1%eth0", "InvalidAddress", ""),
    ("spec.peer.publicIP", 5, "WrongType", ""),
    ("spec.peer.publicIP", None, "FieldMissing", ""),
    ("spec.peer.publicIP", GONE, "FieldMissing", ""),
    ("spec.peer.publicIp", "198.51.100.11", "UnknownField", ""),
    ("spec.peer", "198.51.100.11", "WrongType", ""),
    ("spec.self.publicIP", "198.51.100.11", "PeerIsSelf", ""),
    ("spec.self.publicIP", "2001:db8::1", "IPVersionMismatch", ""),
    ("spec.localTunnelIP", "10.0.0.1", "LocalIPNotLinkLocal", ""),
    ("spec.localTunnelIP", "fe80::1", "LocalIPNotLinkLocal", ""),
    ("spec.localTunnelIP", "169.254.1.2/30", "InvalidAddress", ""),
    ("spec.localTunnelIP", "169.254.169.254", "AddressReserved", ""),
    ("spec.localTunnelIP", GONE, "FieldMissing", ""),
    ("spec.self.localTunnelIP", "169.254.1.2", "UnknownField", ""),
    ("spec.remoteTunnelIP", "169.254.1.2", "PeerIPIsLocal", ""),
    ("spec.remoteTunnelIP", "10.0.0.1", "PeerIPNotLinkLocal", ""),
    ("spec.ikeKey", GONE, "FieldMissing", ""),
    ("spec.ikeKey.name", GONE, "FieldMissing", ""),
    ("spec.ikeKey.name", "Not A Name", "BadFormat", ""),
    ("spec.ikeKey.namespace", "default", "SecretOtherNamespace", ""),
    ("spec.bindAddress", "127.0.0.1", "BindAddressNotUnicast", ""),
    ("spec.bindAddress", "2001:db8::1", "IPVersionMismatch", ""),
    ("spec.interface", "eth0/1", "BadFormat", ""),
    ("spec.interface", "a-name-that-is-too-long", "BadFormat", ""),
    ("spec.mtu", 500, "OutOfRange", ""),
    ("spec.mtu", "1400", "WrongType", ""),
    ("spec.mtu", True, "WrongType", ""),
    ("spec.ike.version", 3, "NotAllowed", ""),
    ("spec.ike.version", "2", "WrongType", ""),
    ("spec.ike.espProposals", [], "BadLength", ""),
    ("spec.ike.espProposals", ["aes256gcm16"], "ProposalWithoutGroup", "spec.ike.espProposals[0]"),
    ("spec.ike.espProposals", ["aes256gcm16-ecp256-none"], "ProposalWithoutGroup", "spec.ike.espProposals[0]"),
    ("spec.ike.espProposals", ["default"], "ProposalWithoutGroup", "spec.ike.espProposals[0]"),
    ("spec.ike.espProposals", "aes256gcm16-ecp256", "WrongType", ""),
    ("spec.ike.ikeProposals", ["aes256-sha256"], "ProposalWithoutGroup", "spec.ike.ikeProposals[0]"),
    ("spec.ike.ikeProposals", ["AES256-SHA256-MODP2048"], "BadFormat", "spec.ike.ikeProposals[0]"),
    ("spec.ike.dpdDelaySeconds", 0, "OutOfRange", ""),
    ("spec.ike.childRekeySeconds", -1, "OutOfRange", ""),
    ("spec.ike.rekey", 5, "UnknownField", ""),
    ("spec", None, "FieldMissing", ""),
    ("spec", GONE, "FieldMissing", ""),
    ("spec", [], "WrongType", ""),
    ("sepc", {}, "UnknownField", ""),
    ("apiVersion", "networking.gke.io/v1", "UnknownVersion", ""),
    ("metadata.labels", {"a": 1}, "WrongType", "metadata.labels.a"),
    ("metadata.nmae", "x", "UnknownField", ""),
]  # fmt: skip

PEER_ERRORS = [
    *[(f"spec.{field}", 0, "OutOfRange", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", 2**32, "OutOfRange", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", -1, "OutOfRange", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", True, "WrongType", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", "65010", "WrongType", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", 1.5, "WrongType", "") for field in ("localASN", "peerASN")],
    *[(f"spec.{field}", value, "ASNReserved", "")
      for field in ("localASN", "peerASN") for value in (23456, 65535, 4294967295)],
    ("spec.peerASN", 65010, "SameASN", ""),
    ("spec.localIP", "203.0.113.10", "LocalIPNotLinkLocal", ""),
    ("spec.peerIP", "198.51.100.11", "PeerIPNotLinkLocal", ""),
    ("spec.peerIP", "10.0.0.1", "PeerIPNotLinkLocal", ""),
    ("spec.peerIP", "2001:db8::1", "PeerIPNotLinkLocal", ""),
    ("spec.peerIP", "169.254.169.254", "AddressReserved", ""),
    ("spec.peerIP", "169.254.1.2", "PeerIPIsLocal", ""),
    ("spec.peerIP", "fe80::1", "IPVersionMismatch", ""),
    ("spec.holdTime", 0, "OutOfRange", ""),
    ("spec.holdTime", 2, "OutOfRange", ""),
    ("spec.holdTime", 65536, "OutOfRange", ""),
    ("spec.maxPrefixes", 0, "OutOfRange", ""),
    ("spec.med", -1, "OutOfRange", ""),
    ("spec.med", 2**32, "OutOfRange", ""),
    ("spec.vpnTunnel", "", "BadLength", ""),
    ("spec.importPolicy", {"allow": [{"prefix": "10.0.0.1/8"}]}, "HostBits", "spec.importPolicy.allow[0].prefix"),
    ("spec.importPolicy", {"deny": [{"prefix": "10.0.0.0"}]}, "InvalidPrefix", "spec.importPolicy.deny[0].prefix"),
    ("spec.importPolicy", {"allow": [{}]}, "FieldMissing", "spec.importPolicy.allow[0].prefix"),
    ("spec.importPolicy", {"allowDefaultRoute": "yes"}, "WrongType", "spec.importPolicy.allowDefaultRoute"),
    ("spec.exportPolicy", {"allowDefaultRoute": True}, "UnknownField", "spec.exportPolicy.allowDefaultRoute"),
    *[
        ("spec.exportPolicy", {"deny": [{"prefix": "10.0.0.0/8", **lengths}]}, reason,
         f"spec.exportPolicy.deny[0].{at}")
        for lengths, reason, at in (
            ({"ge": 7}, "LengthOutOfRange", "ge"),
            ({"ge": 33}, "LengthOutOfRange", "ge"),
            ({"le": 33}, "LengthOutOfRange", "le"),
            ({"le": 7}, "LengthOutOfRange", "le"),
            ({"ge": 24, "le": 16}, "LengthOutOfRange", "le"),
            ({"ge": 129}, "OutOfRange", "ge"),
        )
    ],
]  # fmt: skip

GATEWAY_ERRORS = [
    ("spec.advertisedPrefixes", ["10.10.0.0/24", "10.10.0.1/24"], "HostBits", "spec.advertisedPrefixes[1]"),
    ("spec.advertisedPrefixes", ["10.0.0.0/255.0.0.0"], "InvalidPrefix", "spec.advertisedPrefixes[0]"),
    ("spec.advertisedPrefixes", ["10.0.0.0/33"], "InvalidPrefix", "spec.advertisedPrefixes[0]"),
    ("spec.advertisedPrefixes", ["pods"], "InvalidPrefix", "spec.advertisedPrefixes[0]"),
    ("spec.advertisedPrefixes", [None], "FieldMissing", "spec.advertisedPrefixes[0]"),
    ("spec.advertisedPrefixes", "10.10.0.0/24", "WrongType", ""),
    ("spec.dataplane", "Kernel", "NotAllowed", ""),
    ("spec.mode", "activePassive", "NotAllowed", ""),
    ("spec.liveness.interval", 0, "OutOfRange", ""),
    ("spec.liveness.interval", float("nan"), "WrongType", ""),
    ("spec.liveness.misses", 1.5, "WrongType", ""),
    ("spec.liveness.enabled", "no", "WrongType", ""),
    (
        "spec.importPolicy.allow",
        [{"prefix": "::/0", "le": 129}],
        "OutOfRange",
        "spec.importPolicy.allow[0].le",
    ),
    ("spec.advertised", [], "UnknownField", ""),
]

CASES = [
    *[(tunnel(), *case) for case in TUNNEL_ERRORS],
    *[(peer(), *case) for case in PEER_ERRORS],
    *[(gateway(advertisedPrefixes=[]), *case) for case in GATEWAY_ERRORS],
]


@pytest.mark.parametrize(("good", "path", "value", "reason", "field"), CASES)
def test_refused(good: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    intent = result_of(changed(good, path, value))
    expected = (reason, field or path)
    errors = [finding for finding in intent.findings if finding.is_error]
    assert expected in reasons(tuple(errors))
    finding = next(finding for finding in errors if (finding.reason, finding.field) == expected)
    name = good["metadata"]["name"]
    assert finding.where.startswith("all.yaml, document ")
    assert finding.where.endswith(f"{good['kind']}/kube-system/{name}")
    assert str(finding.ref) == f"{good['kind']}/kube-system/{name}"
    assert finding.message
    assert not intent.is_complete
    in_force = {"OverlayVPNTunnel": intent.tunnels, "OverlayBGPPeer": intent.peers}.get(good["kind"], {})
    assert not in_force or good["kind"] == "NetworkConnectivityGateway"


@pytest.mark.parametrize(
    ("manifest", "path", "value"),
    [
        (tunnel(), "spec.ikeKey.namespace", None),
        (tunnel(), "spec.ikeKey.namespace", GONE),
        (tunnel(), "spec.peer.publicIP", "10.1.2.3"),
        (tunnel(), "spec.bindAddress", "192.168.1.10"),
        (tunnel(), "spec.remoteTunnelIP", "169.254.1.1"),
        (tunnel(), "spec.ike", None),
        (tunnel(), "status", {"Status": "established", "anything": [1]}),
        (tunnel(), "metadata.resourceVersion", "12"),
        (tunnel(), "metadata.managedFields", [{"manager": "kubectl"}]),
        (peer(), "spec.localASN", 4200000001),
        (peer(), "spec.vpnTunnel", "tunnel-1"),
        (LINK_LESS, "spec.peerIP", "10.0.0.2"),
        (LINK_LESS, "spec.peerIP", "169.254.7.1"),
        (peer(), "spec.holdTime", 3),
        (gateway(), "spec", None),
        (gateway(), "spec", GONE),
        (gateway(mode=None), "spec.importPolicy", {"allow": [{"prefix": "10.0.0.0/8", "ge": 8, "le": 32}]}),
    ],
)
def test_accepted(manifest: dict[str, Any], path: str, value: Any) -> None:
    intent = result_of(changed(manifest, path, value))
    assert intent.findings == ()
    assert intent.is_complete


def test_ipv6_inside_and_outside() -> None:
    outer = changed(changed(tunnel(), "spec.peer.publicIP", "2001:db8::1"), "spec.self.publicIP", "2001:db8::2")
    assert result_of(outer).findings == ()
    for local, far in (("fe80::2", "fe80::1"), ("fdff:1::2", "fdff:1::1")):
        session = changed(changed(peer(), "spec.localIP", local), "spec.peerIP", far)
        assert result_of(session).findings == ()


@pytest.mark.parametrize(
    ("manifest", "path", "value", "reason"),
    [
        (peer(), "spec.keepaliveTime", 10, "KeepaliveIgnored"),
        (tunnel(), "spec.ike.espProposals", ["aes256gcm16-ecp256", "aes128gcm16-ecp256"], "SeveralProposals"),
        (
            tunnel(),
            "spec.ike.ikeProposals",
            ["aes256-sha256-modp2048", "aes128-sha256-x25519"],
            "SeveralProposals",
        ),
        (tunnel(), "spec.liveness", {"enabled": False, "misses": 5}, "LivenessIgnored"),
    ],
)
def test_warned_about_but_in_force(manifest: dict[str, Any], path: str, value: Any, reason: str) -> None:
    intent = result_of(changed(manifest, path, value))
    (finding,) = intent.findings
    assert (finding.reason, finding.field, finding.is_error) == (reason, path, False)
    assert manifest["metadata"]["name"] in {**intent.tunnels, **intent.peers}


def test_keepalive_of_a_third_is_no_news() -> None:
    manifest = changed(changed(peer(), "spec.keepaliveTime", 10), "spec.holdTime", 30)
    assert result_of(manifest).findings == ()
    assert result_of(changed(peer(), "spec.keepaliveTime", 20)).findings == ()


def test_every_error_at_once() -> None:
    bad = peer()
    bad["spec"].update(localASN=0, peerIP="10.0.0.1", holdTime=1, medd=5, importPolicy={"allow": [{"prefix": "x"}, {}]})
    del bad["spec"]["localIP"]
    assert set(reasons(findings_of(secret(), tunnel(), bad))) == {
        ("OutOfRange", "spec.localASN"),
        ("FieldMissing", "spec.localIP"),
        ("PeerIPNotLinkLocal", "spec.peerIP"),
        ("OutOfRange", "spec.holdTime"),
        ("UnknownField", "spec.medd"),
        ("InvalidPrefix", "spec.importPolicy.allow[0].prefix"),
        ("FieldMissing", "spec.importPolicy.allow[1].prefix"),
    }


def test_messages_say_value_rule_and_way_out() -> None:
    (unknown,) = findings_of(secret(), changed(tunnel(), "spec.localTunelIP", "169.254.1.2"))
    assert unknown.hint == "did you mean 'localTunnelIP'?"
    public = findings_of(secret(), tunnel(), changed(peer(), "spec.localIP", "203.0.113.10"))[0]
    assert "203.0.113.10 is not in 169.254.0.0/16" in public.message
    assert "copy error" in public.hint
    (proposal,) = findings_of(secret(), changed(tunnel(), "spec.ike.espProposals", ["aes128gcm16"]))
    assert "-ecp256" in proposal.hint
    (bits,) = findings_of(gateway(advertisedPrefixes=["10.10.0.1/24"]))
    assert bits.hint == "did you mean 10.10.0.0/24?"
    text = a_file(gateway()).replace(b"null", b"{liveness: {misses: 03}}")
    (leading,) = load_files({"a.yaml": text}, Loaded(), Vault(b"")).intent.findings
    assert "'03' is a string, must be an integer" in leading.message
    assert "leading zeros" in leading.hint


def test_hundreds_of_problems_are_cut_short() -> None:
    findings = findings_of(gateway(advertisedPrefixes=[1] * 500))
    assert len(findings) == 51
    assert findings[-1].message == "450 more problems are not listed"


def test_what_the_fields_become() -> None:
    bad_old = changed(tunnel(), "spec.ike", {"version": 1})
    one = result_of(bad_old).tunnels["tunnel-1"]
    assert one.ike.ike_proposals == one.ike.esp_proposals == ("aes128-sha1-modp1024",)
    own = changed(tunnel(), "spec.ike", {"version": 1, "espProposals": ["aes256-sha1-modp2048"], "dpdDelaySeconds": 5})
    two = result_of(own).tunnels["tunnel-1"]
    assert two.ike.esp_proposals == ("aes256-sha1-modp2048",)
    assert two.ike.dpd_delay_seconds == 5
    assert two.ike.child_rekey_seconds == 9000

    session = peer()
    session["metadata"]["generation"] = 4
    session["spec"].update(holdTime=30, maxPrefixes=10, med=0, importPolicy={"allowDefaultRoute": True})
    session["spec"]["exportPolicy"] = {
        "allow": [
            {"prefix": "10.0.0.0/8"},
            {"prefix": "10.0.0.0/8", "ge": 16},
            {"prefix": "10.0.0.0/8", "le": 24},
        ]
    }
    it = result_of(session).peers["peer-1"]
    assert (it.hold_seconds, it.max_prefixes, it.med, it.generation) == (30, 10, 0, 4)
    assert it.import_policy is not None
    assert it.import_policy.allow_default_route
    assert [(rule.ge, rule.le) for rule in it.export_policy.allow] == [(8, 8), (16, 32), (8, 24)]

    whole = gateway(
        advertisedPrefixes=["10.10.0.0/24", "2001:db8::/48"],
        dataplane="userspace",
        mode="ActivePassive",
        liveness={"interval": 1, "misses": 5, "recovery": 0.5},
    )
    gw = result_of(whole).gateway
    assert texts(gw.advertised_prefixes) == ["10.10.0.0/24", "2001:db8::/48"]
    assert (gw.dataplane, gw.mode) == (DataplaneChoice.USERSPACE, Mode.ACTIVE_PASSIVE)
    assert (gw.liveness.interval_seconds, gw.liveness.misses, gw.liveness.recovery_seconds) == (1, 5, 0.5)


def test_a_tunnel_is_probed_as_it_says_itself_and_else_as_the_gateway_says() -> None:
    usual = result_of(gateway(liveness={"interval": 1, "misses": 5})).gateway.liveness
    own = result_of(changed(tunnel(), "spec.liveness", {"misses": 2, "recovery": 0})).tunnels["tunnel-1"].liveness
    assert own.over(usual) == Liveness(interval_seconds=1, misses=2, recovery_seconds=0)
    silent = replace(usual, is_enabled=False)
    assert own.over(silent) == Liveness(is_enabled=False, interval_seconds=1, misses=2, recovery_seconds=0)
    off = result_of(changed(tunnel(), "spec.liveness", {"enabled": False})).tunnels["tunnel-1"].liveness
    on = result_of(changed(tunnel(), "spec.liveness", {"enabled": True})).tunnels["tunnel-1"].liveness
    assert (off.over(usual).is_enabled, on.over(silent).is_enabled) == (False, True)
