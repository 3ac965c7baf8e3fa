"""What charon says, as values. Pure. Everything that depends on charon's words or state names is in this file.

Field names: strongSwan's ``src/libcharon/plugins/vici/README.md``. Log texts: ``src/libcharon/sa`` of 5.9.8 and
6.0.6, which agree on all that are used here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ncgd.drivers.strongswan.transport import Section
from ncgd.model.ike import CONNECTION_PREFIX, IkeFailure, SaState, Traffic, TunnelSa

CHILD_PREFIX = "esp-"

_LIVE_CHILD = frozenset({"INSTALLED", "REKEYING", "REKEYED", "UPDATING"})
"""States in which a CHILD_SA decrypts. REKEYED has a successor already."""
_LEAVING_IKE = frozenset({"DELETING", "DESTROYING", "REKEYED"})
"""States of an IKE SA that goes by itself; after an IKE rekey the children are with its successor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    unique_id: int
    digest: str
    state: str
    age: int
    cipher: str
    fields: Section

    @property
    def traffic(self) -> Traffic:
        keys = ("bytes-in", "bytes-out", "packets-in", "packets-out")
        return Traffic(*(int(_text(self.fields, key) or 0) for key in keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ike:
    unique_id: int
    state: str
    fields: Section
    children: tuple[_Child, ...]

    @property
    def is_answered_attempt(self) -> bool:
        return self.state == "CONNECTING" and bool(_text(self.fields, "responder-spi").strip("0"))


def tunnel_sas(answers: Iterable[Section], loaded: Mapping[str, str]) -> dict[str, TunnelSa]:
    """Fold the ``list-sa`` events of one ``list-sas`` into one TunnelSa per tunnel that has any.

    ``loaded`` is the digest of the configuration that charon has now, by tunnel. Of several SAs that carry
    packets the one made from that configuration is chosen, then the newest. Ages are in seconds; of two children that
    came up in the same one, that which was made later was authenticated later, and is what a peer keeps of them.
    """
    by_tunnel: dict[str, list[_Ike]] = {}
    for answer in answers:
        for name, fields in answer.items():
            if name.startswith(CONNECTION_PREFIX) and isinstance(fields, Mapping):
                by_tunnel.setdefault(name.removeprefix(CONNECTION_PREFIX), []).append(_ike(fields))
    folded = {tunnel: _fold(tunnel, sas, loaded.get(tunnel, "")) for tunnel, sas in by_tunnel.items()}
    return {tunnel: sa for tunnel, sa in folded.items() if sa is not None}


def _fold(tunnel: str, all_sas: list[_Ike], loaded: str) -> TunnelSa | None:
    sas = [ike for ike in all_sas if ike.state not in _LEAVING_IKE]
    if not sas:
        return None
    answered = _ids(ike for ike in sas if ike.is_answered_attempt)
    carrying = [(ike, child) for ike in sas for child in ike.children]
    if not carrying:
        newest = max(sas, key=lambda ike: ike.unique_id)
        return TunnelSa(
            tunnel=tunnel,
            state=SaState.CONNECTING,
            ike_id=str(newest.unique_id),
            stale_ike_ids=_ids(ike for ike in sas if ike is not newest),
            answered_ike_ids=answered,
            encap=_text(newest.fields, "nat-any") == "yes",
            established_seconds=int(_text(newest.fields, "established") or 0),
            ike_text=_ike_text(newest),
        )

    def rank(pair: tuple[_Ike, _Child]) -> tuple[bool, bool, int, int, int]:
        ike, child = pair
        return child.state != "REKEYED", child.digest == loaded, -child.age, child.unique_id, ike.unique_id

    chosen, child = max(carrying, key=rank)
    younger = [ike for ike in sas if not ike.children and ike.unique_id > chosen.unique_id]
    pending = max(younger, key=lambda ike: ike.unique_id, default=None)
    children = {str(one.unique_id): one.traffic for _, one in carrying}
    traffic = sum(children.values(), Traffic())
    return TunnelSa(
        tunnel=tunnel,
        state=SaState.INSTALLED,
        digest=child.digest,
        ike_id=str(chosen.unique_id),
        child_id=str(child.unique_id),
        stale_ike_ids=_ids(ike for ike in sas if ike not in (chosen, pending)),
        pending_ike_id=str(pending.unique_id) if pending else "",
        answered_ike_ids=answered,
        local_address=_text(chosen.fields, "local-host"),
        cipher=child.cipher,
        encap=_text(child.fields, "encap") == "yes",
        bytes_in=traffic.bytes_in,
        bytes_out=traffic.bytes_out,
        packets_in=traffic.packets_in,
        packets_out=traffic.packets_out,
        established_seconds=int(_text(chosen.fields, "established") or 0),
        child_seconds=child.age,
        selectors=tuple(dict.fromkeys(each for side in _selectors(child) for each in side)),
        children=children,
        ike_text=_ike_text(chosen),
        child_text=f"{child.state} {child.cipher} {' === '.join(map(' '.join, _selectors(child)))}",
    )


def _ids(sas: Iterable[_Ike]) -> tuple[str, ...]:
    return tuple(str(number) for number in sorted(ike.unique_id for ike in sas))


def _ike(fields: Section) -> _Ike:
    children = fields.get("child-sas", {})
    rows = children.values() if isinstance(children, Mapping) else ()
    parsed = [_child(row) for row in rows if isinstance(row, Mapping)]
    return _Ike(
        unique_id=int(_text(fields, "uniqueid") or 0),
        state=_text(fields, "state"),
        fields=fields,
        children=tuple(child for child in parsed if child.state in _LIVE_CHILD),
    )


def _child(fields: Section) -> _Child:
    name = _text(fields, "name")
    return _Child(
        unique_id=int(_text(fields, "uniqueid") or 0),
        digest=name.removeprefix(CHILD_PREFIX) if name.startswith(CHILD_PREFIX) else "",
        state=_text(fields, "state"),
        age=int(_text(fields, "install-time") or 0),
        cipher=_algorithms(fields, "encr", "integ"),
        fields=fields,
    )


def _ike_text(ike: _Ike) -> str:
    algorithms = _algorithms(ike.fields, "encr", "integ", "prf", "dh")
    return f"{ike.state} {algorithms}".strip()


def _selectors(child: _Child) -> tuple[list[str], list[str]]:
    """Ours and the peer's: what the peer has narrowed shows."""
    local, remote = (child.fields.get(key, []) for key in ("local-ts", "remote-ts"))
    return _texts(local), _texts(remote)


def _texts(values: object) -> list[str]:
    return [each.decode(errors="replace") for each in values] if isinstance(values, list) else []


def _algorithms(fields: Section, *roles: str) -> str:
    """``AES_GCM_16-256/PRF_HMAC_SHA2_256/ECP_256``; roles that were not negotiated are left out."""
    names = []
    for role in roles:
        name = _text(fields, "dh-group" if role == "dh" else f"{role}-alg")
        size = _text(fields, f"{role}-keysize")
        if name:
            names.append(f"{name}-{size}" if size else name)
    return "/".join(names)


def loaded_digests(answers: Iterable[Section]) -> dict[str, str]:
    """From the ``list-conn`` events of one ``list-conns``: the digest of each of our connections, by tunnel."""
    digests = {}
    for answer in answers:
        for name, fields in answer.items():
            if name.startswith(CONNECTION_PREFIX) and isinstance(fields, Mapping):
                children = fields.get("children", {})
                child = next(iter(children), "") if isinstance(children, Mapping) else ""
                digests[name.removeprefix(CONNECTION_PREFIX)] = child.removeprefix(CHILD_PREFIX)
    return digests


def loaded_keys(answer: Section) -> frozenset[str]:
    """From ``get-shared``: tunnels that charon has a key of ours for."""
    keys = answer.get("keys", [])
    names = (key.decode(errors="replace") for key in keys if isinstance(key, bytes)) if isinstance(keys, list) else ()
    return frozenset(name.removeprefix(CONNECTION_PREFIX) for name in names if name.startswith(CONNECTION_PREFIX))


_FAILURES: dict[str, dict[str, str]] = {
    "AuthenticationFailed": {
        r"received AUTHENTICATION_FAILED (error )?notify": (
            "the peer refused our authentication: compare the pre-shared key, and the identity that it expects"
        ),
        r"no shared key found for": "there is no pre-shared key for this peer",
        r"received (INVALID_HASH_INFORMATION|PAYLOAD_MALFORMED) error notify|ignore malformed INFORMATIONAL": (
            "the peer cannot decrypt our identity (IKEv1): the pre-shared keys differ"
        ),
    },
    "PskMismatch": {
        r"tried \d+ shared keys? for .* but MAC mismatched|calculated HASH does not match": (
            "the peer's authentication is wrong: the pre-shared keys differ"
        ),
    },
    "NoProposalChosen": {
        r"received (NO_PROPOSAL_CHOSEN|INVALID_KE_PAYLOAD) (error )?notify": (
            "the peer refused our proposal or does not know our address: compare ciphers, DH group, addresses"
        ),
        r"proposals? unacceptable|no ((acceptable|matching) )?proposal found": (
            "the peer's proposals and ours have nothing in common: compare ciphers and DH group"
        ),
        r"(proposal|DH group|key exchange method) selection invalid": (
            "the peer chose a cipher that we did not propose"
        ),
    },
    "TsUnacceptable": {
        r"received (TS_UNACCEPTABLE|INVALID_ID_INFORMATION) (error )?notify|traffic selectors .*(found|unacceptable)": (
            "the traffic selectors differ: both sides must use 0.0.0.0/0 (a route-based VPN)"
        ),
    },
    "IdentityMismatch": {
        r"constraint check(ing)? failed|IDir '.*' does not match|no matching peer config found": (
            "the peer presents another identity than its public IP"
        ),
    },
    "InstallFailed": {
        r"unable to install .*in kernel|unable to allocate SPIs from kernel": (
            "the SA was negotiated and could not be installed: charon's log names the errno"
        ),
    },
    "PeerUnreachable": {
        r"giving up after \d+ retransmits|peer not responding": (
            "the peer does not answer: check its address, UDP ports 500 and 4500, and NAT on the way"
        ),
    },
}
"""Reason → charon's words → what to tell people."""
_PATTERNS = tuple(
    (re.compile(pattern), reason, hint) for reason, texts in _FAILURES.items() for pattern, hint in texts.items()
)


def failure(log: Section) -> IkeFailure | None:
    """The failure that a ``log`` event tells of, if it does and if it is about one of our tunnels.

    The ``alert`` event says less and exists since 6.0.3 only; log lines of level 1 are the same everywhere.
    """
    name, text = _text(log, "ikesa-name"), _text(log, "msg")
    if not name.startswith(CONNECTION_PREFIX):
        return None
    for pattern, reason, hint in _PATTERNS:
        if pattern.search(text):
            tunnel = name.removeprefix(CONNECTION_PREFIX)
            return IkeFailure(tunnel=tunnel, reason=reason, message=f"{hint} (charon: {text})")
    return None


def version(answer: Section) -> str:
    """From ``version``: e.g. ``5.9.8``."""
    return _text(answer, "version")


def _text(fields: Section, key: str) -> str:
    value = fields.get(key, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
