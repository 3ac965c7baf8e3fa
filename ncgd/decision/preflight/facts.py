"""What the checks judge: values only, as collected from a node, from the Kubernetes API, from a folder.

Everything that a node tells about itself travels as JSON, so those values hold plain types only. A pre-shared key is
never among the facts, only its shape.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ncgd.model.capability import Capability
from ncgd.model.prefix import Prefix
from ncgd.model.spec import Intent

SHORT_KEY_BYTES = 16
"""Below 128 bits even of random bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What became of an IKE request to one peer and port."""

    peer: str
    port: int
    outcome: str
    """``answered``, ``silent``, or what the kernel said (``Connection refused``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One machine, as it sees itself."""

    name: str
    kernel: str
    """Release, as ``uname -r`` prints it."""
    capability: Capability
    nft: str
    """What ``nft --version`` says; empty without nft."""
    ip_forward: bool
    rp_filter: Mapping[str, int]
    """Interface to what is in force there: 0 off, 1 strict, 2 loose; the larger of its own and ``all``."""
    addresses: Mapping[str, tuple[str, ...]]
    """Interface to addresses with length, ``"192.0.2.1/24"``."""
    uplinks: tuple[str, ...]
    """Interfaces that IPv4 default routes leave by."""
    udp_ports: Mapping[int, str]
    """Of 500 and 4500, those that a program is bound to, with its name (or ``"?"``)."""
    reach: tuple[Reach, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """A Node object."""

    name: str
    is_ready: bool
    is_candidate: bool
    """It carries the label of gateway candidates."""
    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The DaemonSet ``ncgd``: counts of nodes."""

    image: str
    desired: int
    updated: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """One cluster, as far as it may be read."""

    url: str
    version: str
    """As the server says it, ``v1.29.3``."""
    minor: int
    nodes: tuple[ClusterNode, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    cni: tuple[str, ...] = ()
    """Known network plugins whose DaemonSets run, by the names of those."""
    masquerade: Mapping[str, str] = field(default_factory=dict)
    """What decides on masquerade, and its setting: ``{"cilium-config enable-ipv4-masquerade": "true"}``."""
    has_node_local_dns: bool = False
    definitions: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Kind to the installed CustomResourceDefinition; None: not installed."""
    denied: tuple[str, ...] = ()
    """What whoever asks may not do, of what an installation takes: ``create daemonsets.apps``."""
    unreadable_keys: tuple[str, ...] = ()
    """Secrets that tunnels name and that ncgd's service account may not read."""
    lacking: tuple[str, ...] = ()
    """What ncgd's service account may not do of what config/rbac grants: ``watch nodes``."""
    lacking_options: tuple[str, ...] = ()
    """The same, of what only optional features need."""
    daemon: Daemon | None = None
    has_foreign_daemon: bool = False
    """A DaemonSet of ncgd's name is there, and not of ncgd's manifests."""
    enabled: Mapping[str, str | None] = field(default_factory=dict)
    """Cluster object (``namespace/name``) to the value of NCG's annotation; empty without such objects."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """What could not be read, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShape:
    """What a pre-shared key looks like; nothing by which it could be guessed."""

    flaws: frozenset[str]
    """Of ``empty``, ``short``, ``newline``, ``space``, ``quoted``, ``base64``, ``binary``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The resources, wherever they come from."""

    intent: Intent
    keys: Mapping[str, KeyShape] = field(default_factory=dict)
    """Secrets that tunnels name and that hold a psk, by ``namespace/name``."""
    learned: tuple[Prefix, ...] = ()
    """What the peers' status says that they sent."""
    health: Mapping[str, str] = field(default_factory=dict)
    """Gateway to what its status says: ``{"default": "Healthy on worker1"}``; absent while nobody has said anything."""


def shape_of(key: bytes) -> KeyShape:
    """The shape of a key's bytes."""
    text = key.strip()
    flaws = {
        "empty": not text,
        "short": 0 < len(text) < SHORT_KEY_BYTES,
        "newline": key.endswith((b"\n", b"\r")),
        "space": text != key.rstrip(b"\r\n"),
        "quoted": len(text) > 1 and text[:1] in b"\"'" and text[:1] == text[-1:],
        "base64": _is_encoded_text(text),
        "binary": any(not 0x20 <= byte < 0x7F for byte in text),
    }
    return KeyShape(flaws=frozenset(name for name, is_so in flaws.items() if is_so))


def _is_encoded_text(text: bytes) -> bool:
    """Base64 of something printable. Random bytes in base64, as Cloud VPN makes keys, are not."""
    try:
        inner = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(inner) >= SHORT_KEY_BYTES and all(0x20 <= byte < 0x7F for byte in inner.rstrip(b"\r\n"))
