"""Checked wire shapes → ``model.spec``. An absent field takes the model's default."""

import base64
import binascii
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from ncgd.model import prefix as px
from ncgd.model.spec import (
    DataplaneChoice,
    Export,
    Gateway,
    IkeSettings,
    LeakProtection,
    Liveness,
    Masquerade,
    Mode,
    NodeTransport,
    ObjectRef,
    OwnLiveness,
    Peer,
    PodExport,
    Policy,
    PrefixRule,
    SecretRef,
    ServiceExport,
    Tunnel,
)
from ncgd.resources import v1, v1alpha1


@dataclass(frozen=True, slots=True)
class Key:
    """What a Secret's psk holds: the exact bytes, or why there are none. ``repr`` hides them."""

    value: bytes = b""
    flaw: str = ""
    """Reason code; empty when the key can be used."""
    message: str = ""

    def __repr__(self) -> str:
        return f"<Key {self.flaw}>" if self.flaw else "<Key>"


def key_of(secret: v1.Secret) -> Key:
    """The pre-shared key of a Secret; ``stringData`` wins over ``data`` as it does in an API server."""
    plain = (secret.string_data or {}).get("psk")
    encoded = (secret.data or {}).get("psk")
    if plain is not None:
        value = plain.encode()
    elif encoded is not None:
        try:
            value = base64.b64decode("".join(encoded.split()), validate=True)
        except (binascii.Error, ValueError):
            return Key(flaw="SecretNotBase64", message="data.psk is not base64; plain text goes into stringData.psk")
    else:
        return Key(flaw="SecretEmpty", message="has no data.psk")
    return Key(value) if value else Key(flaw="SecretEmpty", message="its psk is empty")


def tunnel_of(ref: ObjectRef, shape: v1alpha1.OverlayVPNTunnel, psk: SecretRef) -> Tunnel:
    """The tunnel that an OverlayVPNTunnel asks for."""
    spec = shape.spec
    return Tunnel(
        ref=ref,
        remote_address=ip_address(spec.peer.public_ip),
        public_address=ip_address(spec.own.public_ip),
        local_tunnel_ip=IPv4Address(spec.local_tunnel_ip),
        psk=psk,
        ike=_ike(spec.ike or v1alpha1.Ike()),
        **_given(
            bind_address=spec.bind_address and ip_address(spec.bind_address),
            uplink=spec.interface,
            remote_tunnel_ip=spec.remote_tunnel_ip and ip_address(spec.remote_tunnel_ip),
            mtu=spec.mtu,
            liveness=spec.liveness and OwnLiveness(**_liveness(spec.liveness)),
            generation=shape.metadata.generation,
        ),
    )


def peer_of(ref: ObjectRef, shape: v1alpha1.OverlayBGPPeer) -> Peer:
    """The session that an OverlayBGPPeer asks for."""
    spec = shape.spec
    return Peer(
        ref=ref,
        local_asn=spec.local_asn,
        peer_asn=spec.peer_asn,
        local_ip=ip_address(spec.local_ip),
        peer_ip=ip_address(spec.peer_ip),
        **_given(
            tunnel=spec.vpn_tunnel,
            hold_seconds=spec.hold_time,
            max_prefixes=spec.max_prefixes,
            med=spec.med,
            import_policy=spec.import_policy and _policy(spec.import_policy),
            export_policy=spec.export_policy and _policy(spec.export_policy),
            generation=shape.metadata.generation,
        ),
    )


def gateway_of(ref: ObjectRef, shape: v1alpha1.NetworkConnectivityGateway) -> Gateway:
    """The gateway that a NetworkConnectivityGateway asks for."""
    spec = shape.spec or v1alpha1.GatewaySpec()
    return Gateway(
        ref=ref,
        advertised_prefixes=tuple(dict.fromkeys(px.parse(text) for text in spec.advertised_prefixes or ())),
        **_given(
            liveness=spec.liveness and Liveness(**_liveness(spec.liveness)),
            export=spec.export and _export(spec.export),
            import_policy=spec.import_policy and _policy(spec.import_policy),
            dataplane=spec.dataplane and DataplaneChoice(spec.dataplane),
            mode=spec.mode and Mode(spec.mode),
            leak_protection=spec.leak_protection and LeakProtection(spec.leak_protection),
            masquerade=spec.masquerade and Masquerade(spec.masquerade),
            node_transport=spec.node_transport and NodeTransport(spec.node_transport),
            created=shape.metadata.creation_timestamp,
            generation=shape.metadata.generation,
        ),
    )


def _ike(ike: v1alpha1.Ike) -> IkeSettings:
    usual = v1alpha1.IKEV1_PROPOSALS if ike.version == 1 else None
    return IkeSettings(
        **_given(
            version=ike.version,
            ike_proposals=tuple(ike.ike_proposals) if ike.ike_proposals else usual,
            esp_proposals=tuple(ike.esp_proposals) if ike.esp_proposals else usual,
            ike_rekey_seconds=ike.ike_rekey_seconds,
            child_rekey_seconds=ike.child_rekey_seconds,
            dpd_delay_seconds=ike.dpd_delay_seconds,
        )
    )


def _export(export: v1alpha1.ExportSpec) -> Export:
    return Export(
        **_given(
            pod_cidrs=export.pod_cidrs and PodExport(export.pod_cidrs),
            services=export.services and ServiceExport(export.services),
        )
    )


def _liveness(liveness: v1alpha1.LivenessSpec) -> dict[str, Any]:
    return _given(
        is_enabled=liveness.enabled,
        interval_seconds=liveness.interval,
        misses=liveness.misses,
        recovery_seconds=liveness.recovery,
    )


def _policy(policy: v1alpha1.ImportPolicy | v1alpha1.ExportPolicy) -> Policy:
    accepts_default = isinstance(policy, v1alpha1.ImportPolicy) and bool(policy.allow_default_route)
    return Policy(
        allow=tuple(_rule(rule) for rule in policy.allow or ()),
        deny=tuple(_rule(rule) for rule in policy.deny or ()),
        allow_default_route=accepts_default,
    )


def _rule(rule: v1alpha1.PrefixRule) -> PrefixRule:
    network = ip_network(rule.prefix)
    longest = network.prefixlen if rule.ge is None else network.max_prefixlen
    return PrefixRule(
        prefix=px.of_network(network),
        ge=network.prefixlen if rule.ge is None else rule.ge,
        le=longest if rule.le is None else rule.le,
    )


def _given(**fields: Any) -> dict[str, Any]:
    """Only the fields that are there, so that the model's defaults stand for the others."""
    return {name: value for name, value in fields.items() if value is not None}
