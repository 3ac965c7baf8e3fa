"""Which of the understood objects are in force together: keys, tunnels, peers, gateway, in that order."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from ncgd.model.spec import Finding, Gateway, Intent, ObjectRef, Peer, SecretRef, Tunnel
from ncgd.resources import v1alpha1
from ncgd.resources.convert import gateway_of, peer_of, tunnel_of
from ncgd.resources.problem import Problem, nearest
from ncgd.resources.relations import gateway_conflicts, peer_conflicts, tunnel_conflicts

Spec = TypeVar("Spec", Tunnel, Peer, Gateway)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """An object without an error of its own, and where it stands. A Secret has ``key`` or ``flaw``, no ``shape``."""

    ref: ObjectRef
    origin: str
    where: str
    shape: v1alpha1.OverlayVPNTunnel | v1alpha1.OverlayBGPPeer | v1alpha1.NetworkConnectivityGateway | None = None
    key: SecretRef | None = None
    has_trailing_newline: bool = False
    flaw: tuple[str, str] | None = None
    """Reason and message why a Secret holds no usable key; an error only when a tunnel names the Secret."""


@dataclass(frozen=True, slots=True)
class _Wanted(Generic[Spec]):
    """What a resource asks for; ``spec`` is None when something that it names is missing."""

    resource: Resource
    spec: Spec | None
    problem: Problem | None = None


def admit(resources: Collection[Resource], present: Collection[ObjectRef], previous: Intent) -> Intent:
    """Put in force together what fits together, with a finding for the rest.

    ``present`` are all objects that exist, also those that nobody could understand.
    """
    findings: list[Finding] = []
    secrets = _Secrets(resources, present, findings)
    tunnels_wanted: list[_Wanted[Tunnel]] = []
    peers_wanted: list[_Wanted[Peer]] = []
    gateways_wanted: list[_Wanted[Gateway]] = []
    for resource in resources:
        match resource.shape:
            case v1alpha1.OverlayVPNTunnel() as shape:
                tunnels_wanted.append(secrets.tunnel(resource, shape))
            case v1alpha1.OverlayBGPPeer() as shape:
                peers_wanted.append(_Wanted(resource, peer_of(resource.ref, shape)))
            case v1alpha1.NetworkConnectivityGateway() as shape:
                gateways_wanted.append(_Wanted(resource, gateway_of(resource.ref, shape)))
            case None:
                pass  # a Secret
    known = {kind: {ref.name for ref in present if ref.kind == kind} for kind in v1alpha1.KINDS}
    known_tunnels = frozenset(known["OverlayVPNTunnel"])
    tunnels = _pick(tunnels_wanted, previous.tunnels.values(), tunnel_conflicts, findings)

    def conflicts(peer: Peer, others: Collection[Peer]) -> Iterable[Problem]:
        return peer_conflicts(peer, others, tunnels, known_tunnels)

    orphans = {each.resource.ref.name for each in peers_wanted if each.spec and _is_orphan(each.spec, known_tunnels)}
    peers = _pick(peers_wanted, previous.peers.values(), conflicts, findings)
    gateways = _pick(gateways_wanted, (previous.gateway,), gateway_conflicts, findings)
    return Intent(
        gateway=next(iter(gateways.values()), Gateway()),
        tunnels=tunnels,
        peers=peers,
        manifests={item.ref: _as_written(item.shape) for item in resources if item.shape is not None},
        findings=tuple(findings),
        is_complete=known_tunnels <= tunnels.keys()
        and known["OverlayBGPPeer"] <= peers.keys() | orphans
        and (bool(gateways) or not known["NetworkConnectivityGateway"]),
    )


def _as_written(shape: msgspec.Struct) -> dict[str, Any]:
    """``spec`` of a shape in its wire spelling, without the fields that the user left out."""
    spec = msgspec.to_builtins(shape).get("spec")
    return _without_none(spec) if isinstance(spec, dict) else {}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _is_orphan(peer: Peer, known_tunnels: Collection[str]) -> bool:
    """A peer whose tunnel nobody wants: its session cannot be up either."""
    return peer.tunnel is not None and peer.tunnel not in known_tunnels


def _pick(
    wanted: list[_Wanted[Spec]],
    previous: Iterable[Spec],
    conflicts: Callable[[Spec, Collection[Spec]], Iterable[Problem]],
    findings: list[Finding],
) -> dict[str, Spec]:
    """Those that go in force, by name.

    First what stays as it was, then what changes without taking anything from what was in force, then the rest: a
    wrong address in one object must not cost another one its place.
    """
    wanted_refs = {each.resource.ref for each in wanted}
    last = {spec.ref: spec for spec in previous if spec.ref in wanted_refs}

    def rank(each: _Wanted[Spec]) -> int:
        ref, spec = each.resource.ref, each.spec
        if spec is None or spec == last.get(ref):
            return 0
        others = [other for other_ref, other in last.items() if other_ref != ref]
        return 2 if any(conflicts(spec, others)) else 1

    picked: dict[str, Spec] = {}
    for each in sorted(wanted, key=rank):
        resource = each.resource
        problems = [each.problem] if each.problem else []
        if each.spec is not None:
            problems.extend(conflicts(each.spec, picked.values()))
        findings.extend(problem.at(resource.where, resource.ref) for problem in problems)
        choice = last.get(resource.ref) if problems else each.spec
        if choice is not None and (not problems or not any(conflicts(choice, picked.values()))):
            picked[resource.ref.name] = choice
    return picked


class _Secrets:
    """Finds the key of each tunnel."""

    def __init__(self, resources: Iterable[Resource], present: Collection[ObjectRef], findings: list[Finding]) -> None:
        self._secrets = {item.ref: item for item in resources if item.ref.kind == "Secret"}
        self._present = present
        self._findings = findings
        self._warned: set[ObjectRef] = set()

    def tunnel(self, resource: Resource, shape: v1alpha1.OverlayVPNTunnel) -> _Wanted[Tunnel]:
        """The tunnel with its key, or with the reason why there is none."""
        name = shape.spec.ike_key.name
        ref = ObjectRef(kind="Secret", namespace=resource.ref.namespace, name=name)
        secret = self._secrets.get(ref)
        if secret is None or secret.key is None:
            return _Wanted(resource, None, self._no_key(ref, secret))
        if secret.has_trailing_newline and ref not in self._warned:
            self._warned.add(ref)
            text = "the key ends with a newline, which is part of the key (and was taken as such)"
            hint = "if the far end has none: echo -n PLAINTEXT_KEY | base64"
            problem = Problem("data.psk", "SecretTrailingNewline", text, hint, is_error=False)
            self._findings.append(problem.at(secret.where, ref))
        return _Wanted(resource, tunnel_of(resource.ref, shape, secret.key))

    def _no_key(self, ref: ObjectRef, secret: Resource | None) -> Problem:
        path = "spec.ikeKey"
        if secret is not None and secret.flaw is not None:
            reason, message = secret.flaw
            return Problem(path, reason, f"{ref} ({secret.where}): {message}", "put the key into data.psk")
        if ref in self._present:
            return Problem(path, "SecretInvalid", f"{ref} is not in force", "mend it; its own error says what is wrong")
        text = f"there is no Secret {ref.name!r} in namespace {ref.namespace!r}"
        others = [other.name for other in self._secrets if other.namespace == ref.namespace]
        hint = nearest(ref.name, others) or "create it; the tunnel follows by itself"
        return Problem(path, "SecretMissing", text, hint)
