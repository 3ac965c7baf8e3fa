"""The resources of the HA VPN example, as they are in force."""

from dataclasses import replace
from ipaddress import IPv4Address

from ncgd.model.spec import ObjectRef, Peer, SecretRef, Tunnel


def tunnel(number: int, **changes: object) -> Tunnel:
    """Tunnel ``tunnel-N`` of the HA VPN example."""
    base = Tunnel(
        ref=ObjectRef(kind="OverlayVPNTunnel", namespace="kube-system", name=f"tunnel-{number}"),
        remote_address=IPv4Address(f"198.51.100.1{number}"),
        public_address=IPv4Address("203.0.113.10"),
        local_tunnel_ip=IPv4Address(f"169.254.{number}.2"),
        psk=SecretRef(namespace="kube-system", name="ike-key", fingerprint="f0"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def peer(number: int, **changes: object) -> Peer:
    """Peer ``peer-N`` of the HA VPN example."""
    base = Peer(
        ref=ObjectRef(kind="OverlayBGPPeer", namespace="kube-system", name=f"peer-{number}"),
        local_asn=65010,
        peer_asn=64512,
        local_ip=IPv4Address(f"169.254.{number}.2"),
        peer_ip=IPv4Address(f"169.254.{number}.1"),
        tunnel=f"tunnel-{number}",
    )
    return replace(base, **changes)  # type: ignore[arg-type]
