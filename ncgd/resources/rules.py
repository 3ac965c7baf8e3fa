"""Rules inside one object that a schema cannot state, as a table: kind, paths, check.

A rule runs when its first path is given and nothing is wrong with it yet; what else it reads is None when absent
or wrong. ``[]`` at the end of the first path means each entry of a list.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ncgd.model.prefix import IPAddress
from ncgd.model.spec import ObjectRef, Peer
from ncgd.resources import addresses
from ncgd.resources.problem import Problem, shown
from ncgd.resources.v1alpha1 import default_of

_GROUP = re.compile(r"modp\d+(s\d+)?|ecp\d+(bp)?|curve25519|x25519|curve448|x448", re.ASCII)
"""strongSwan's Diffie-Hellman groups (docs: IKEv2 Cipher Suites)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A check of one field, or of several together; problems are reported at the first path."""

    paths: tuple[str, ...]
    check: Callable[..., Problem | None]
    """Takes the concrete first path and the values; returns what is wrong."""


def broken_rules(ref: ObjectRef, content: dict[str, Any], known: list[Problem]) -> Iterator[Problem]:
    """All broken rules of an object, given the problems that are known already (they are extended)."""
    scope = {**content, "metadata": {**content["metadata"], "namespace": ref.namespace}}
    for rule in RULES.get(ref.kind, ()):
        first, *others = rule.paths
        rest = [None if _is_tainted(known, other) else _value(scope, other) for other in others]
        for path, value in _values(scope, first):
            if value is None or _is_tainted(known, path):
                continue
            if problem := rule.check(path, value, *rest):
                known.append(problem)
                yield problem


def _values(content: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    """The value at a path, or each entry of the list there, with concrete paths."""
    value = _value(content, path.removesuffix("[]"))
    if not path.endswith("[]"):
        return [(path, value)]
    items = value if isinstance(value, list) else []
    return [(f"{path[:-2]}[{index}]", item) for index, item in enumerate(items)]


def _value(content: dict[str, Any], path: str) -> Any:
    value: Any = content
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_tainted(known: list[Problem], path: str) -> bool:
    """True when an error is known at a path, above or below it."""
    for problem in known:
        if problem.is_error and (_is_within(path, problem.field) or _is_within(problem.field, path)):
            return True
    return False


def _is_within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _public(path: str, value: str) -> Problem | None:
    return addresses.unicast(path, value, "PublicIPNotUnicast")


def _bind(path: str, value: str, remote: str | None) -> Problem | None:
    return addresses.unicast(path, value, "BindAddressNotUnicast") or _same_version(path, value, remote)


def _ends(path: str, own: str, remote: str | None) -> Problem | None:
    if remote and _address(own) == _address(remote):
        return Problem(path, "PeerIsSelf", f"{own} is also spec.peer.publicIP; the two ends differ")
    return _same_version(path, own, remote)


def _same_version(path: str, value: str, other: str | None) -> Problem | None:
    if other and _address(value).version != _address(other).version:
        return Problem(path, "IPVersionMismatch", f"{value} and {other} are not of one IP version")
    return None


def _local_tunnel(path: str, value: str) -> Problem | None:
    return addresses.tunnel_address(path, value, "LocalIPNotLinkLocal")


def _remote_tunnel(path: str, value: str, local: str | None) -> Problem | None:
    problem = addresses.tunnel_address(path, value, "PeerIPNotLinkLocal")
    if problem is None and local and _address(value) == _address(local):
        return Problem(path, "PeerIPIsLocal", f"{value} is also spec.localTunnelIP; the two ends differ")
    return problem


def _secret_namespace(path: str, value: str, namespace: str) -> Problem | None:
    if value != namespace:
        text = f"{shown(value)} is another namespace; a tunnel in {namespace!r} reads Secrets of {namespace!r} only"
        return Problem(path, "SecretOtherNamespace", text, f"create the Secret in {namespace!r}")
    return None


def _proposal(path: str, value: str) -> Problem | None:
    words = value.split("-")
    if "none" in words or not any(_GROUP.fullmatch(word) for word in words):
        text = f"{shown(value)} has no Diffie-Hellman group, so there is no PFS"
        hint = "append one, such as -ecp256: Cloud VPN refuses the first rekey without"
        return Problem(path, "ProposalWithoutGroup", text, hint)
    return None


def _one_proposal(path: str, value: list[str]) -> Problem | None:
    if len(value) > 1:
        text = f"{len(value)} proposals: the far end may choose another at a rekey, and the room for payload changes"
        return Problem(path, "SeveralProposals", text, "keep one, the same on all tunnels", is_error=False)
    return None


def _session_local(path: str, value: str, tunnel: str | None) -> Problem | None:
    return addresses.session_address(path, value, "LocalIPNotLinkLocal", in_tunnel=tunnel is not None)


def _session_peer(path: str, value: str, tunnel: str | None) -> Problem | None:
    return addresses.session_address(path, value, "PeerIPNotLinkLocal", in_tunnel=tunnel is not None)


def _session_ends(path: str, peer: str, local: str | None) -> Problem | None:
    if local and _address(peer) == _address(local):
        return Problem(path, "PeerIPIsLocal", f"{peer} is also spec.localIP; the two ends differ")
    return _same_version(path, peer, local)


def _external(path: str, peer: int, local: int | None) -> Problem | None:
    if peer == local:
        text = f"{peer} is also spec.localASN; HA VPN is external BGP only"
        return Problem(path, "SameASN", text, "take a private ASN of your own: 64512 to 65534")
    return None


def _keepalive(path: str, value: int, hold: int | None) -> Problem | None:
    sent = (hold or default_of(Peer, "hold_seconds")) // 3
    if value != sent:
        text = f"{value} has no effect: keepalives are sent every holdTime / 3 = {sent} seconds"
        return Problem(path, "KeepaliveIgnored", text, "remove it, or set holdTime to three times it", is_error=False)
    return None


def _not_probed(path: str, value: dict[str, Any]) -> Problem | None:
    idle = sorted(name for name, given in value.items() if name != "enabled" and given is not None)
    if value.get("enabled") is False and idle:
        text = f"{', '.join(idle)} has no effect: {path}.enabled is false, so nothing is probed"
        return Problem(path, "LivenessIgnored", text, "remove it, or set enabled to true", is_error=False)
    return None


def _advertised(path: str, value: str) -> Problem | None:
    prefix = addresses.parse_prefix(path, value)
    return prefix if isinstance(prefix, Problem) else None


def _prefix_rule(path: str, value: dict[str, Any]) -> Problem | None:
    prefix = addresses.parse_prefix(f"{path}.prefix", value["prefix"])
    if isinstance(prefix, Problem):
        return prefix
    ge, le = value.get("ge"), value.get("le")
    low = prefix.prefixlen if ge is None else ge
    high = le if le is not None else (prefix.prefixlen if ge is None else prefix.max_prefixlen)
    if prefix.prefixlen <= low <= high <= prefix.max_prefixlen:
        return None
    field = f"{path}.ge" if ge is not None and not prefix.prefixlen <= ge <= prefix.max_prefixlen else f"{path}.le"
    text = f"ge {low} and le {high} do not fit {prefix}: {prefix.prefixlen} <= ge <= le <= {prefix.max_prefixlen}"
    return Problem(field, "LengthOutOfRange", text)


def _address(value: str) -> IPAddress:
    address = addresses.parse_address("", value)
    if isinstance(address, Problem):
        raise TypeError("a rule reads addresses that earlier rules accepted")
    return address


def _policy(*paths: str) -> tuple[Rule, ...]:
    return tuple(Rule((f"{path}.{part}[]",), _prefix_rule) for path in paths for part in ("allow", "deny"))


RULES: dict[str, tuple[Rule, ...]] = {
    "OverlayVPNTunnel": (
        Rule(("spec.ikeKey.namespace", "metadata.namespace"), _secret_namespace),
        Rule(("spec.peer.publicIP",), _public),
        Rule(("spec.self.publicIP",), _public),
        Rule(("spec.self.publicIP", "spec.peer.publicIP"), _ends),
        Rule(("spec.localTunnelIP",), _local_tunnel),
        Rule(("spec.remoteTunnelIP", "spec.localTunnelIP"), _remote_tunnel),
        Rule(("spec.bindAddress", "spec.peer.publicIP"), _bind),
        Rule(("spec.ike.ikeProposals[]",), _proposal),
        Rule(("spec.ike.espProposals[]",), _proposal),
        Rule(("spec.ike.ikeProposals",), _one_proposal),
        Rule(("spec.ike.espProposals",), _one_proposal),
        Rule(("spec.liveness",), _not_probed),
    ),
    "OverlayBGPPeer": (
        Rule(("spec.localASN",), addresses.asn),
        Rule(("spec.peerASN",), addresses.asn),
        Rule(("spec.peerASN", "spec.localASN"), _external),
        Rule(("spec.localIP", "spec.vpnTunnel"), _session_local),
        Rule(("spec.peerIP", "spec.vpnTunnel"), _session_peer),
        Rule(("spec.peerIP", "spec.localIP"), _session_ends),
        Rule(("spec.keepaliveTime", "spec.holdTime"), _keepalive),
        *_policy("spec.importPolicy", "spec.exportPolicy"),
    ),
    "NetworkConnectivityGateway": (
        Rule(("spec.advertisedPrefixes[]",), _advertised),
        Rule(("spec.liveness",), _not_probed),
        *_policy("spec.importPolicy"),
    ),
}
