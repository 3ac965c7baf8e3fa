"""Rules between fields in CEL (``x-kubernetes-validations``), for API servers that have it (Kubernetes 1.25 and later).

They say early, at ``kubectl apply``, what ``rules`` says in any case; they are never stricter. Older servers drop them,
but kubectl of that age refuses the definition, so they are in definitions of their own (``config/crd-cel``).
"""

from typing import Any

from ncgd.resources.schema import Schema

_LOCAL = "must be inside 169.254.0.0/16: the address of the tunnel, not a public one"

RULES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "OverlayVPNTunnel": {
        "spec": (("self.self.publicIP != self.peer.publicIP", "self.publicIP and peer.publicIP: the two ends differ"),),
        "spec.localTunnelIP": (("self.startsWith('169.254.')", _LOCAL),),
    },
    "OverlayBGPPeer": {
        "spec": (
            ("self.localASN != self.peerASN", "localASN and peerASN must differ: HA VPN is external BGP only"),
            ("self.localIP != self.peerIP", "localIP and peerIP: the two ends differ"),
            (
                "!has(self.vpnTunnel) || self.localIP.contains(':') || self.localIP.startsWith('169.254.')",
                f"localIP {_LOCAL}",
            ),
            (
                "!has(self.vpnTunnel) || self.peerIP.contains(':') || self.peerIP.startsWith('169.254.')",
                f"peerIP {_LOCAL}",
            ),
        ),
    },
}
"""Kind → dotted path of the schema node → rules and messages."""


def add_rules(kind: str, schema: Schema) -> None:
    """Put the rules of a kind into its schema."""
    for path, rules in RULES.get(kind, {}).items():
        node: dict[str, Any] = schema
        for name in path.split("."):
            node = node["properties"][name]
        node["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
